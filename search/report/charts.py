"""Charts of a search: each is a function from plain values to a figure (panels.py has what they share). Knows no files and no HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from nasarch.cells.space import OWN_OPERATIONS, Edge, Space
from nasarch.drawing.draw import INK, WIRE
from nasarch.search.runs.history import Span, Timeline, node_name

from .panels import FONT, PENS, RULE, SINGLE, SMALL, TITLE, WIDTH, Line, Sheet, cycle_pen, draw_line, draw_time, key_rows, pen_of


class Panel(NamedTuple):
    """A quantity by epoch: one line without a name, or several with names; `counts` are whole numbers and change in steps."""

    title: str
    lines: Mapping[str, Line]
    log: bool = False
    counts: bool = False


# --- the charts --------------------------------------------------------------------------------------------------------------


def curves(panels: Sequence[Panel], timeline: Timeline, unit: str = "epoch") -> Figure:
    """Panels in two columns (one, if there is one), each with its own scale; their lines have the same names, and one legend.

    `unit` is what the timeline counts.
    """
    names = [name for name in panels[0].lines if name]
    columns = min(2, len(panels))
    width = WIDTH if columns == 2 else SINGLE
    in_a_row = max(1, int(width / (0.75 + 0.075 * max(map(len, names), default=0))))
    top = 0.5 + 0.19 * max(0, -(-len(names) // in_a_row) - 1)
    sheet = Sheet(-(-len(panels) // columns), columns, width=width, height=1.75, top=top, between=0.62)
    for index, panel in enumerate(panels):
        axes = sheet.axes(index // columns, index % columns)
        draw_time(axes, timeline, names=True)
        for rank, line in enumerate(panel.lines.values()):
            wide = panel.counts and rank == 0 and len(names) > 1  # so that it shows below another of the same value
            draw_line(axes, line, timeline, cycle_pen(rank)._replace(width=3.2) if wide else cycle_pen(rank), steps=panel.counts)
        axes.set_ylabel(panel.title, fontsize=FONT, color=INK)
        axes.set_xlabel(unit, fontsize=SMALL, color=WIRE, labelpad=1)
        _scale(axes, panel)
    sheet.note(timeline)
    sheet.legend([(name, cycle_pen(rank)) for rank, name in enumerate(names)], columns=in_a_row, top=0.04)
    return sheet.figure


def operation_weights(space: Space, title: str, tables_TEO: Sequence[Sequence[Sequence[float]]], timeline: Timeline) -> Figure:
    """A panel an edge, a row a target and a column a source; one line an operation. All panels have one scale."""
    lines = {(e, o): live([table[e][o] for table in tables_TEO], timeline) for e in range(len(space.edges)) for o in _columns(space)}
    seen = [o for o in _columns(space) if any(_numbers(lines[e, o]) for e in range(len(space.edges)))]
    columns = space.inner_nodes[-1]
    width = max(WIDTH, 1.25 * columns)
    top = 0.65 + 0.19 * key_rows(len(seen), width)
    sheet = Sheet(space.nodes, columns, width=width, height=1.2, top=top, between=0.3, gap=0.16)
    limits = _limits([number for line in lines.values() for number in _numbers(line)])
    for e, edge in enumerate(space.edges):
        axes = sheet.axes(edge.target - space.inputs, edge.source)
        draw_time(axes, timeline)
        for o in sorted(seen, key=lambda o: space.operations[o] != "none"):
            draw_line(axes, lines[e, o], timeline, pen_of(space.operations[o]))
        axes.set_ylim(limits)
        axes.set_title(edge_title(space, edge), fontsize=TITLE, color=INK, pad=3)
        axes.tick_params(labelleft=edge.source == 0, labelbottom=edge.target == space.inner_nodes[-1])
    sheet.heading(f"{title}: operation weights by epoch")
    sheet.note(timeline)
    sheet.legend([(space.operations[o], pen_of(space.operations[o])) for o in seen])
    return sheet.figure


def edge_weights(
    space: Space, title: str, tables_TE: Sequence[Sequence[float]], kept: Mapping[int, Sequence[int]], timeline: Timeline
) -> Figure:
    """A panel a node, one line an incoming edge; `kept` are the sources that each node keeps, whose lines are thick."""
    columns = min(4, space.nodes)
    sheet = Sheet(-(-space.nodes // columns), columns, width=WIDTH, height=1.9, top=0.85, between=0.45, gap=0.48)
    for index, j in enumerate(space.inner_nodes):
        axes = sheet.axes(index // columns, index % columns)
        draw_time(axes, timeline)
        for e, edge in enumerate(space.edges):
            if edge.target == j:
                pen = cycle_pen(edge.source)._replace(width=2.3 if edge.source in kept.get(j, ()) else 0.9)
                draw_line(axes, live([table[e] for table in tables_TE], timeline), timeline, pen)
        axes.set_title(f"into {j}", fontsize=TITLE, color=INK, pad=3)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    sheet.heading(f"{title}: edge weights by epoch; thick: kept")
    sheet.note(timeline)
    sheet.legend([(f"from {_math(node_name(space, i))}", cycle_pen(i)) for i in range(space.inner_nodes[-1])], formulas=True)
    return sheet.figure


def changes(space: Space, histories: Mapping[str, Mapping[Edge, Sequence[Span]]], timeline: Timeline) -> Figure:
    """A row an edge, a bar where the present cell has it, in the colour of its operation; a column a cell kind."""
    used = {span.value for history in histories.values() for stretches in history.values() for span in stretches}
    rows, width = len(space.edges), WIDTH if len(histories) > 1 else SINGLE
    top = 0.55 + 0.19 * key_rows(len(used), width) + 0.15 * (len(timeline.stages) > 1)
    sheet = Sheet(1, len(histories), width=width, height=0.215 * rows + 0.1, top=top, gap=0.85)
    for column, (kind, history) in enumerate(histories.items()):
        axes = sheet.axes(0, column)
        draw_time(axes, timeline, names=True)
        for row, (edge, stretches) in enumerate(history.items()):
            for span in stretches:
                _bar(axes, row, span, timeline.epochs, sheet.panel_width)
            if row and edge.source == 0:
                axes.axhline(row - 0.5, color=RULE, linewidth=0.6)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_yticks(range(rows), [edge_title(space, edge) for edge in history])
        axes.set_ylabel(f"{kind} cell", fontsize=FONT, color=INK, parse_math=False)
        axes.set_xlabel("epoch", fontsize=SMALL, color=WIRE, labelpad=1)
    sheet.heading("edges of the present cell, by epoch")
    sheet.note(timeline)
    sheet.patches([(name, pen_of(name).colour) for name in space.operations if name in used])
    return sheet.figure


def _bar(axes: Axes, row: int, span: Span, epochs: int, width: float) -> None:
    """A stretch of a row, with the operation's name where it fits (about 0.052 inches a letter)."""
    count = span.last - span.first + 1
    colour = pen_of(span.value).colour if span.value in PENS or span.value in OWN_OPERATIONS else RULE
    axes.broken_barh([(span.first - 0.5, count)], (row - 0.41, 0.82), facecolor=colour, edgecolor="white", linewidth=0.6)
    if 0.056 * len(span.value) < width * count / epochs:
        ink = "white" if _is_dark(colour) else "#111111"
        middle = (span.first + span.last) / 2
        axes.text(middle, row, span.value, fontsize=6.5, color=ink, ha="center", va="center_baseline", parse_math=False)


def _is_dark(colour: str) -> bool:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 140


def live(line: Sequence[float], timeline: Timeline) -> list[float | None]:
    """None outside of the timeline, and in stages in which the weight is zero throughout: there it stands for no candidate."""
    found: list[float | None] = [None] * len(line)
    for stage in timeline.stages:
        part = line[stage.first - 1 : stage.last]
        if any(part):
            found[stage.first - 1 : stage.last] = part
    return found


def edge_title(space: Space, edge: Edge) -> str:
    """For example c_{k-2} -> 3, in matplotlib's notation."""
    return f"{_math(node_name(space, edge.source))} \N{RIGHTWARDS ARROW} {edge.target}"


def _math(name: str) -> str:
    return f"${name}$" if "_" in name else name


def _scale(axes: Axes, panel: Panel) -> None:
    """A logarithmic scale where it is asked for and the values span a decade; whole numbers for counts."""
    values = [number for line in panel.lines.values() for number in _numbers(line)]
    if panel.log and values and 0 < 10 * min(values) < max(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif panel.counts:
        axes.set_ylim(-0.4, max([*values, 1]) + 0.6)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.ticklabel_format(axis="y", useOffset=False)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """From zero, unless all values lie far from it."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = 0.0 if low < 0.4 * high else low
    pad = 0.06 * (high - low) or 0.05
    return low - pad, high + pad


def _numbers(line: Line) -> list[float]:
    return [value for value in line if value is not None and math.isfinite(value)]


def _columns(space: Space) -> Iterable[int]:
    return range(len(space.operations))
