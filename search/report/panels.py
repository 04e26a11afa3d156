"""Panels of charts over time as SVG: scales, axes, lines, bars. Knows no search.

The horizontal axis counts the epochs over all stages; a vertical line parts stages, a grey background is a warm-up. Operations have the
same colour everywhere, after Okabe and Ito's palette, which colour-blind people can tell apart; of a family the larger kernel is dashed
and has another marker. Colours are classes, whose values for light and dark pages are in report.css.

A panel has the attributes data-x (first epoch, its x, distance of two epochs, number of epochs), data-y (lowest and highest value, their
y, linear or log), data-unit, and data-labels where positions have names; a line has data-name and data-values, one an epoch, "-" without
one. report.js shows values by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nasarch.drawing.svg import element, escape, node_label, number
from nasarch.search.runs.history import Span, Timeline

MARKED, SPARSE = 16, 8  # epochs up to which every point has a marker; about as many markers has a longer line, if it is one of several
LETTER = 6.2  # mean width of a letter, pixels


class Pen(NamedTuple):
    """Style of a line: classes of report.css for colour and dashes, width in pixels, marker."""

    colour: str
    dashes: str = "solid"
    width: float = 1.6
    marker: str = "circle"


PENS = {
    "none": Pen("grey", width=1.2),
    "skip_connect": Pen("black", width=2.0, marker="diamond"),
    "max_pool_3x3": Pen("vermilion"),
    "avg_pool_3x3": Pen("orange", "dashed", marker="square"),
    "sep_conv_3x3": Pen("blue"),
    "sep_conv_5x5": Pen("sky", "dashed", marker="square"),
    "dil_conv_3x3": Pen("purple"),
    "dil_conv_5x5": Pen("green", "dashed", marker="square"),
    "nor_conv_1x1": Pen("sky", "dashed", marker="square"),
    "nor_conv_3x3": Pen("blue"),
}
CYCLE = ("blue", "vermilion", "green", "purple", "orange", "sky", "black")
CYCLE_DASHES = ("solid", "dashed", "dotted")
MARKERS = ("circle", "square", "triangle", "diamond")
SHAPES = {  # a marker of 5 pixels around the current point
    "circle": "m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0",
    "square": "m-2.3-2.3h4.6v4.6h-4.6z",
    "triangle": "m-2.9 2.2l2.9-5l2.9 5z",
    "diamond": "m-3.1 0l3.1-3.1l3.1 3.1l-3.1 3.1z",
}
Line = Sequence[float | None]


def pen_of(operation: str) -> Pen:
    """Style of an operation; own operations share one."""
    return PENS.get(operation, Pen("wine", "dotted", marker="triangle"))


def cycle_pen(rank: int) -> Pen:
    """Another style for each of 21 lines."""
    rank %= len(CYCLE) * len(CYCLE_DASHES)
    return Pen(CYCLE[rank % len(CYCLE)], CYCLE_DASHES[rank // len(CYCLE)], marker=MARKERS[rank % len(MARKERS)])


class Scale(NamedTuple):
    """Map of the values `low` to `high` to the pixels `start` to `end`, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        a, b, c = (math.log(x) if self.log else x for x in (value, self.low, self.high))
        return self.start + (a - b) / (c - b) * (self.end - self.start)

    def ticks(self, count: int, *, whole: bool = False) -> list[float]:
        """At least `count` round values where there are as many: multiples of 1, 2 or 5 times a power of ten."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            positions = [m * 10.0**p for p in powers for m in (1, 2, 5) if self.low <= m * 10.0**p <= self.high]
            return positions[:: max(1, len(positions) // count)]
        power = 10.0 ** math.floor(math.log10(self.high - self.low))
        for step in (power * share for share in (5, 2, 1, 0.5, 0.2, 0.1)):
            step = max(step, 1.0) if whole else step
            positions = [k * step for k in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]
            if len(positions) >= count:
                break
        return positions


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Least and greatest value with a margin of a twentieth of their distance (of the value, if all are equal)."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - margin, high + margin


class Size(NamedTuple):
    """Sizes of a panel in pixels: the whole of it, and the margins around its axes."""

    width: float
    height: float
    left: float
    top: float
    right: float = 10.0
    bottom: float = 22.0


class Panel(NamedTuple):
    """A panel as SVG; `row` and `column` are its position in the grid of its chart, from 1 on, where it has one."""

    svg: str
    size: Size
    row: int | None = None
    column: int | None = None


class Axes:
    """The axes of a panel, which parts are drawn into: first what is behind."""

    def __init__(
        self,
        size: Size,
        timeline: Timeline,
        y: tuple[float, float],
        *,
        log: bool = False,
        unit: str = "epoch",
        labels: Sequence[str] | None = None,
    ) -> None:
        """`labels` name the positions of the timeline, where they are not its numbers."""
        self.size, self.timeline, self.unit, self.labels = size, timeline, unit, labels
        self.bottom, self.right = size.height - size.bottom, size.width - size.right
        self.x = Scale(timeline.first - 0.5, timeline.last + 0.5, size.left, self.right)
        self.y = Scale(*y, self.bottom, size.top, log)
        self.parts: list[str] = []

    def time(self, *, names: bool) -> None:
        """Warm-ups, borders of stages with their `names` above, ticks of the epochs."""
        top, bottom, size = self.size.top, self.bottom, self.size
        for span in self.timeline.warmups:
            x, width = self.x(span.first - 0.5), self.x(span.last + 0.5) - self.x(span.first - 0.5)
            self.parts.append(element("rect", class_="warmup", x=x, y=top, width=width, height=bottom - top))
        for stage in self.timeline.stages[1:]:
            self.parts.append(element("path", class_="stage", d=f"M{number(self.x(stage.first - 0.5))} {number(top)}V{number(bottom)}"))
        if names and len(self.timeline.stages) > 1:
            for stage in self.timeline.stages:
                room = self.x(stage.last + 0.5) - self.x(stage.first - 0.5)
                self.text((self.x(stage.first) + self.x(stage.last)) / 2, top - 4, shorten(stage.value, room), "middle soft")
        ticks = self.x.ticks(4 if size.width > 250 else 3, whole=True) if self.labels is None else [*range(1, len(self.labels) + 1)]
        for value in ticks:
            self.text(self.x(value), bottom + 14, f"{value:g}" if self.labels is None else self.labels[round(value) - 1], "middle")
        marks = "".join(f"M{number(self.x(value))} {number(bottom)}v3" for value in ticks)
        self.parts.append(
            element("path", class_="axis", d=f"M{number(size.left)} {number(top)}V{number(bottom)}H{number(self.right)}{marks}")
        )

    def values(self, count: int = 3, *, whole: bool = False) -> None:
        """Ticks of the vertical axis, with grid lines."""
        ticks = self.y.ticks(count, whole=whole)
        lines = "".join(f"M{number(self.size.left)} {number(self.y(value))}H{number(self.right)}" for value in ticks)
        self.parts.append(element("path", class_="gridline", d=lines))
        step = min((abs(b - a) for a, b in zip(ticks, ticks[1:], strict=False)), default=1.0)
        for value in ticks:
            self.text(self.size.left - 5, self.y(value) + 3.5, tick_label(value, step), "end")

    def text(self, x: float, y: float, words: str, classes: str) -> None:
        self.parts.append(element("text", escape(words), x=x, y=y, class_=classes))

    def label(self, title: str, y: float) -> None:
        """A title at the left of the axes, instead of a value."""
        self.parts.append(element("text", titled(title, math.inf), x=self.size.left - 6, y=y, class_="end"))

    def line(self, name: str, line: Line, pen: Pen, *, steps: bool = False) -> None:
        """A line by epoch, broken where a stage begins, since the network starts anew there, and where there is no finite value."""
        first, last = self.timeline.first, self.timeline.last
        values = [*line[first - 1 : last]] + [None] * (last - first + 1 - len(line[first - 1 : last]))
        every = 1 if self.timeline.epochs <= MARKED else -(-self.timeline.epochs // SPARSE)
        path, marks = "", ""
        for stage in self.timeline.stages:
            is_open = False
            for epoch in range(stage.first, stage.last + 1):
                value = values[epoch - first]
                if value is None or not math.isfinite(value) or (self.y.log and value <= 0):
                    is_open = False
                    continue
                x, y = self.x(epoch), self.y(value)
                path += self._step(x, y, is_open) if steps else f"{'L' if is_open else 'M'}{number(x)} {number(y)}"
                if every == 1 or stage.first == stage.last or (name and (epoch - first) % every == every // 2):
                    marks += f"M{number(x)} {number(y)}{SHAPES[pen.marker]}"
                is_open = True
        text = " ".join("-" if value is None else f"{value:.5g}" for value in values)
        drawn = [element("path", d=path, class_=f"line {pen.dashes}", stroke_width=pen.width)] if path else []
        drawn += [element("path", d=marks, class_="marks")] if marks else []
        self.parts.append(element("g", *drawn, class_=pen.colour, data_name=name, data_values=text))

    def _step(self, x: float, y: float, is_open: bool) -> str:
        """A step that spans the epoch."""
        half = (self.x(1.0) - self.x(0.0)) / 2
        start, end = max(x - half, self.size.left), min(x + half, self.right)
        return f"V{number(y)}H{number(end)}" if is_open else f"M{number(start)} {number(y)}H{number(end)}"

    def bars(self, name: str, stretches: Sequence[Span], y: float, height: float) -> None:
        """A row of bars, each a stretch of epochs with an operation, with its name where there is room."""
        drawn = []
        for span in stretches:
            x, end, pen = self.x(span.first - 0.5), self.x(span.last + 0.5), pen_of(span.value)
            box = element("rect", x=x + 1, y=y, width=max(end - x - 2, 1.0), height=height, rx=2.0, class_=f"bar {pen.colour} {pen.dashes}")
            fits = len(span.value) * LETTER * 0.9 < end - x - 4
            drawn.append(
                box + (element("text", escape(span.value), x=(x + end) / 2, y=y + height / 2 + 3.5, class_="middle") if fits else "")
            )
        text = ";".join(f"{span.first} {span.last} {span.value}" for span in stretches)
        self.parts.append(element("g", *drawn, data_name=name, data_bars=text, data_row=number(y + height / 2)))

    def panel(self, title: str, description: str, *, row: int | None = None, column: int | None = None) -> Panel:
        """The panel, with its title at the upper left; `description` is what a screen reader says of it."""
        size, kind = self.size, "log" if self.y.log else "linear"
        x, distance = self.x(self.timeline.first), self.x(1.0) - self.x(0.0)
        heading = element("text", titled(title, size.width - 14), x=6.0, y=14.0, class_="title")
        svg = element(
            "svg",
            element("title", escape(title)),
            element("desc", escape(description)),
            heading,
            *self.parts,
            class_="panel",
            role="img",
            aria_label=f"{title}: {description}",
            viewBox=f"0 0 {number(size.width)} {number(size.height)}",
            data_x=f"{self.timeline.first} {x:.2f} {distance:.4f} {self.timeline.epochs}",
            data_y=f"{self.y.low:.6g} {self.y.high:.6g} {number(self.y.start)} {number(self.y.end)} {kind}",
            data_unit=self.unit,
            data_labels=None if self.labels is None else " ".join(self.labels),
        )
        return Panel(svg, size, row, column)


def titled(title: str, room: float) -> str:
    """A title as SVG text, with the name of an input at its beginning or end set with a subscript."""
    words = shorten(title, room).split(" ")
    return " ".join(node_label(word) if word.startswith("c_{") and word.endswith("}") else escape(word) for word in words)


def shorten(words: str, room: float) -> str:
    """`words`, cut to `room` pixels."""
    count = max(3, int(min(room, 1e6) / LETTER))
    return words if len(words) <= count else f"{words[: count - 1]}\N{HORIZONTAL ELLIPSIS}"


def tick_label(value: float, step: float) -> str:
    """A value as a label of an axis whose ticks are `step` apart."""
    if value and (abs(value) >= 1e5 or step < 1e-4):
        return f"{value:.3g}"
    return f"{value:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def describe(lines: Sequence[tuple[str, Line]], timeline: Timeline, unit: str = "epoch") -> Iterator[str]:
    """For each line its first and last finite value, and its least and greatest."""
    for name, line in lines:
        values = [(i, v) for i, v in enumerate(line, 1) if timeline.first <= i <= timeline.last and v is not None and math.isfinite(v)]
        if not values:
            yield f"{name} no values".strip()
            continue
        (first, a), (last, b) = values[0], values[-1]
        text = f"{a:.4g} at {unit} {first}" if first == last else f"from {a:.4g} at {unit} {first} to {b:.4g} at {unit} {last}"
        low, high = min(v for _, v in values), max(v for _, v in values)
        yield f"{name} {text}, least {low:.4g}, greatest {high:.4g}".strip() if len(values) > 2 else f"{name} {text}".strip()
