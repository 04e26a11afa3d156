"""A sheet of panels over time: positions in inches, heading, legend, the axis of epochs, lines. Knows no search.

The horizontal axis is always the epoch, counted over all stages; a vertical line parts stages, grey ground is a warm-up. Operations have
the same colour everywhere (Okabe and Ito's palette, which the colour-blind can tell apart); of a family the larger kernel is dashed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from nasarch.drawing.draw import INK, WIRE
from nasarch.search.runs.history import Timeline

WIDTH, SINGLE = 9.6, 6.0  # inches, of two columns and of one
LEFT, RIGHT, GAP = 0.62, 0.15, 0.30  # inches beside and between panels
TITLE, FONT, SMALL = 8.5, 8.0, 7.0  # points
SHADE, RULE = "#eceff2", "#8b97a2"
FEW = 16  # epochs up to which every one has its dot


class Pen(NamedTuple):
    """Style of a line."""

    colour: str
    dashes: Any = "solid"
    width: float = 1.4


DASHED = (0, (4, 1.6))
PENS = {
    "none": Pen("#a3abb3", width=1.1),
    "skip_connect": Pen("#111111", width=1.7),
    "max_pool_3x3": Pen("#d55e00"),
    "avg_pool_3x3": Pen("#e69f00", DASHED),
    "sep_conv_3x3": Pen("#0072b2"),
    "sep_conv_5x5": Pen("#56b4e9", DASHED),
    "dil_conv_3x3": Pen("#cc79a7"),
    "dil_conv_5x5": Pen("#009e73", DASHED),
    "nor_conv_1x1": Pen("#56b4e9", DASHED),
    "nor_conv_3x3": Pen("#0072b2"),
}
CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#111111")
CYCLE_DASHES = ("solid", DASHED, (0, (1, 1.2)))
Line = Sequence[float | None]


class Sheet:
    """A figure with a grid of panels whose positions are given in inches; a heading and a legend may stand above them."""

    def __init__(
        self, rows: int, columns: int, *, width: float, height: float, top: float, between: float = GAP, gap: float = GAP + 0.4
    ) -> None:
        self.rows, self.top, self.panel_height, self.between, self.gap = rows, top, height, between, gap
        self.left = LEFT + (0.15 if gap > GAP + 0.4 else 0)
        self.width, self.height = width, top + rows * height + (rows - 1) * between + 0.42
        self.panel_width = (width - self.left - RIGHT - (columns - 1) * gap) / columns
        self.figure = Figure(figsize=(self.width, self.height), facecolor="white")

    def axes(self, row: int, column: int) -> Axes:
        x = self.left + column * (self.panel_width + self.gap)
        y = self.height - self.top - row * (self.panel_height + self.between) - self.panel_height
        position = (x / self.width, y / self.height, self.panel_width / self.width, self.panel_height / self.height)
        axes = self.figure.add_axes(position)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(RULE)
        axes.tick_params(labelsize=SMALL, color=RULE, labelcolor=INK, length=2.5, pad=2)
        return axes

    def heading(self, words: str) -> None:
        position = (0.15 / self.width, 1 - 0.12 / self.height)
        self.figure.text(*position, words, fontsize=TITLE + 1.5, fontweight="bold", color=INK, va="top", parse_math=False)

    def note(self, timeline: Timeline) -> None:
        """What the grey ground means, where there is some."""
        if timeline.warmups:
            position = (1 - RIGHT / self.width, 1 - 0.1 / self.height)
            self.figure.text(*position, "grey: warm-up, the weights alone are trained", fontsize=SMALL, color=WIRE, ha="right", va="top")

    def legend(self, entries: Sequence[tuple[str, Pen]], *, columns: int | None = None, top: float = 0.3, formulas: bool = False) -> None:
        """Names (or formulas) with their lines, in up to two rows below the heading, or in so many columns."""
        handles = [Line2D([], [], color=p.colour, linestyle=p.dashes, linewidth=max(p.width, 1.6), label=name) for name, p in entries]
        self._key(handles, columns, top, formulas)

    def patches(self, entries: Sequence[tuple[str, str]]) -> None:
        """Names with their colours."""
        self._key([Patch(facecolor=colour, label=name) for name, colour in entries], None, 0.3, False)

    def _key(self, handles: Sequence[Any], columns: int | None, top: float, formulas: bool) -> None:
        found = self.figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0.08 / self.width, 1 - top / self.height),
            ncols=columns or -(-len(handles) // key_rows(len(handles), self.width)),
            fontsize=FONT,
            frameon=False,
            labelcolor=INK,
            handlelength=2.2,
            columnspacing=1.2,
        )
        for text in found.get_texts():
            text.set_parse_math(formulas)


def key_rows(count: int, width: float) -> int:
    """Rows of a legend of operations or nodes; it is filled column by column, so that two rows pair the kernels of a family."""
    return 1 if 1.3 * count < width else 2


def pen_of(operation: str) -> Pen:
    """The line of an operation; own ones share one."""
    return PENS.get(operation, Pen("#a3264f", (0, (1, 1.2))))


def cycle_pen(rank: int) -> Pen:
    """A line of its own for each of 21."""
    return Pen(CYCLE[rank % len(CYCLE)], CYCLE_DASHES[rank // len(CYCLE) % len(CYCLE_DASHES)])


def draw_line(axes: Axes, line: Line, timeline: Timeline, pen: Pen, *, steps: bool = False) -> None:
    """A line that is broken where a stage begins, since the network starts anew there."""
    for stage in timeline.stages:
        values = [math.nan if value is None else value for value in line[stage.first - 1 : stage.last]]
        axes.plot(
            range(stage.first, stage.first + len(values)),
            values,
            color=pen.colour,
            linestyle=pen.dashes,
            linewidth=pen.width,
            drawstyle="steps-mid" if steps and len(values) > 1 else "default",
            marker="o" if timeline.epochs <= FEW or len(values) == 1 else None,
            markersize=1.2 + pen.width,
            markeredgewidth=0,
            solid_capstyle="round",
        )


def draw_time(axes: Axes, timeline: Timeline, *, names: bool = False) -> None:
    """The axis of epochs, its stages and warm-ups; `names` stand above it."""
    axes.set_xlim(timeline.first - 0.5, timeline.last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    for span in timeline.warmups:
        axes.axvspan(span.first - 0.5, span.last + 0.5, color=SHADE, linewidth=0, zorder=0)
    for span in timeline.stages[1:]:
        axes.axvline(span.first - 0.5, color=RULE, linewidth=0.9, zorder=1)
    if names and len(timeline.stages) > 1:
        for span in timeline.stages:
            style: dict[str, Any] = {"fontsize": SMALL, "color": WIRE, "ha": "center", "va": "bottom", "parse_math": False}
            axes.text((span.first + span.last) / 2, 1.03, span.value, transform=axes.get_xaxis_transform(), **style)
