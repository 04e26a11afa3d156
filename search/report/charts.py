"""Charts of a search as SVG: each is a function from plain values to a chart (panels.py has what they share). Knows no files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nasarch.cells.space import Edge, Space
from nasarch.search.runs.history import Span, Timeline, node_name

from .panels import Axes, Line, Panel, Pen, Size, cycle_pen, describe, limits, pen_of

WIDE = Size(360, 196, left=48, top=24)
SMALL = Size(214, 154, left=47, top=26)
MEDIUM = Size(270, 174, left=46, top=26)
STAGES = 14  # pixels of the names of stages
ROW, BAR = 19.0, 15.0  # heights of a row of bars and of a bar


class Metric(NamedTuple):
    """A quantity by epoch: one line without a name, or several with names; `counts` are whole numbers and change in steps."""

    title: str
    lines: Mapping[str, Line]
    log: bool = False
    counts: bool = False


class Chart(NamedTuple):
    """Panels with a heading and a legend; `columns` is the width of the grid that they have positions in (0: as many as there is room for).

    The `legend` is in pens, or in bars if `bars`.
    """

    heading: str
    panels: tuple[Panel, ...]
    legend: tuple[tuple[str, Pen], ...] = ()
    columns: int = 0
    bars: bool = False
    warmup: bool = False


def curves(metrics: Sequence[Metric], timeline: Timeline, unit: str = "epoch") -> Chart:
    """A panel a metric, each with its own scale; their lines have the same names, and one legend. `unit` is what the timeline counts."""
    names = [name for name in metrics[0].lines if name]
    panels = [_curve(metric, timeline, unit, len(names)) for metric in metrics]
    legend = tuple((name, cycle_pen(rank)) for rank, name in enumerate(names))
    return Chart("", tuple(panels), legend, warmup=bool(timeline.warmups))


def _curve(metric: Metric, timeline: Timeline, unit: str, count: int) -> Panel:
    values = [number for line in metric.lines.values() for number in _numbers(line)]
    log = metric.log and bool(values) and 0 < 10 * min(values) < max(values)
    if log:
        y = min(values) / 1.15, max(values) * 1.15
    else:
        y = (-0.4, max([*values, 1]) + 0.6) if metric.counts else limits(values)
    size = WIDE._replace(top=WIDE.top + STAGES) if len(timeline.stages) > 1 else WIDE
    axes = Axes(size, timeline, y, log=log, unit=unit)
    axes.time(names=True)
    axes.values(whole=metric.counts)
    for rank, (name, line) in enumerate(metric.lines.items()):
        wide = metric.counts and rank == 0 and count > 1  # so that it is seen below another line of the same values
        axes.line(name, line, cycle_pen(rank)._replace(width=4.0) if wide else cycle_pen(rank), steps=metric.counts)
    return axes.panel(metric.title, "; ".join(describe([*metric.lines.items()], timeline, unit)))


def operation_weights(space: Space, title: str, tables_TEO: Sequence[Sequence[Sequence[float]]], timeline: Timeline) -> Chart:
    """A panel an edge, a row a target and a column a source; one line an operation. All panels have one scale."""
    columns = range(len(space.operations))
    lines = {(e, o): live([table[e][o] for table in tables_TEO], timeline) for e in range(len(space.edges)) for o in columns}
    shown = [o for o in columns if any(_numbers(lines[e, o]) for e in range(len(space.edges)))]
    y = weight_limits([number for line in lines.values() for number in _numbers(line)])
    panels = []
    for e, edge in enumerate(space.edges):
        axes = Axes(SMALL, timeline, y)
        axes.time(names=False)
        axes.values()
        for o in sorted(shown, key=lambda o: space.operations[o] != "none"):
            axes.line(space.operations[o], lines[e, o], pen_of(space.operations[o]))
        if not any(_numbers(lines[e, o]) for o in shown):
            axes.text((SMALL.left + axes.right) / 2, (SMALL.top + axes.bottom) / 2, "no candidates", "middle soft")
        words = "; ".join(describe([(space.operations[o], lines[e, o]) for o in shown], timeline))
        panels.append(axes.panel(edge_title(space, edge), words, row=edge.target - space.inputs + 1, column=edge.source + 1))
    legend = tuple((space.operations[o], pen_of(space.operations[o])) for o in shown)
    heading = f"{title}: operation weights by epoch"
    return Chart(heading, tuple(panels), legend, space.inner_nodes[-1], warmup=bool(timeline.warmups))


def edge_weights(
    space: Space, title: str, tables_TE: Sequence[Sequence[float]], kept: Mapping[int, Sequence[int]], timeline: Timeline
) -> Chart:
    """A panel a node, one line an incoming edge; `kept` are the sources that each node keeps, whose lines are thick."""
    panels = []
    for j in space.inner_nodes:
        edges = [(e, edge.source) for e, edge in enumerate(space.edges) if edge.target == j]
        lines = {source: live([table[e] for table in tables_TE], timeline) for e, source in edges}
        axes = Axes(MEDIUM, timeline, limits([number for line in lines.values() for number in _numbers(line)]))
        axes.time(names=False)
        axes.values()
        for source, line in lines.items():
            axes.line(f"from {node_name(space, source)}", line, cycle_pen(source)._replace(width=2.6 if source in kept.get(j, ()) else 1.1))
        words = "; ".join(describe([(f"from {node_name(space, source)}", line) for source, line in lines.items()], timeline))
        panels.append(axes.panel(f"into {j}", words))
    legend = tuple((f"from {node_name(space, i)}", cycle_pen(i)) for i in range(space.inner_nodes[-1]))
    return Chart(f"{title}: edge weights by epoch; thick: kept", tuple(panels), legend, warmup=bool(timeline.warmups))


def changes(space: Space, histories: Mapping[str, Mapping[Edge, Sequence[Span]]], timeline: Timeline) -> Chart:
    """A row an edge, a bar where the present cell has it, in the colour of its operation; a panel a cell kind."""
    used = {span.value for history in histories.values() for stretches in history.values() for span in stretches}
    top = 26.0 + STAGES * (len(timeline.stages) > 1)
    panels = []
    for kind, history in histories.items():
        axes = Axes(Size(400, top + ROW * len(history) + 26, left=58, top=top), timeline, (len(history), 0.0))
        axes.time(names=True)
        for row, (edge, stretches) in enumerate(history.items()):
            y = top + row * ROW
            if row and edge.source == 0:
                axes.parts.append(f'<path class="gridline" d="M6 {y:g}H{axes.right:g}"/>')
            axes.label(edge_title(space, edge), y + ROW / 2 + 3.5)
            axes.bars(edge_title(space, edge), stretches, y + (ROW - BAR) / 2, BAR)
        last = [
            f"{edge_title(space, edge)} {spans[-1].value}" for edge, spans in history.items() if spans and spans[-1].last == timeline.last
        ]
        panels.append(axes.panel(f"{kind} cell", f"edges of the cell of each epoch; at epoch {timeline.last}: {'; '.join(last)}"))
    legend = tuple((name, pen_of(name)) for name in space.operations if name in used)
    return Chart("edges of the present cell, by epoch", tuple(panels), legend, bars=True, warmup=bool(timeline.warmups))


def live(line: Sequence[float], timeline: Timeline) -> list[float | None]:
    """None outside of the timeline, and in stages in which the weight is zero throughout: there it stands for no candidate."""
    values: list[float | None] = [None] * len(line)
    for stage in timeline.stages:
        part = line[stage.first - 1 : stage.last]
        if any(part):
            values[stage.first - 1 : stage.last] = part
    return values


def edge_title(space: Space, edge: Edge) -> str:
    """For example c_{k-2} -> 3, with an arrow."""
    return f"{node_name(space, edge.source)} \N{RIGHTWARDS ARROW} {edge.target}"


def weight_limits(values: Sequence[float]) -> tuple[float, float]:
    """From zero, unless all values lie far from it."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = 0.0 if low < 0.4 * high else low
    margin = 0.06 * (high - low) or 0.05
    return low - margin, high + margin


def _numbers(line: Iterable[float | None]) -> list[float]:
    return [value for value in line if value is not None and math.isfinite(value)]
