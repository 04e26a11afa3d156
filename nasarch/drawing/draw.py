"""Drawings of cells as SVG, PNG or PDF. Knows what a cell looks like, not where its parts lie (layout.py).

A box with round ends is an operation, coloured by its family; a circle is a node, the sum of what arrives there; the bar at the right
concatenates. A line that leaves a node is its tensor. Nodes without edges, and edges that read them, are left out, as in the
networks; `text` (text.py) names them. No program but Python is needed, and no global state of matplotlib's is touched.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nasarch.atomic import atomic_path
from nasarch.cells.genotype import Cell, Genotype, resolve

from .layout import Arrow, Box, Layout, Wire, lay_out
from .text import INPUTS, NOTES, OUTPUT, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "text"]

DPI = 160
MARGIN, HEADING = 0.22, 0.32  # inches
FONT, TITLE = 9.0, 10.5  # points
INK, WIRE = "#1f2933", "#66737f"
DASHED = (0, (3, 2))
FORMATS: dict[str, dict[str, Any]] = {  # suffix -> metadata: no date, so that the same genotype gives the same bytes
    ".svg": {"Date": None, "Creator": "nasarch"},
    ".png": {"Software": "nasarch"},
    ".pdf": {"CreationDate": None, "Creator": "nasarch"},
}
STYLE = {  # fixed ids in SVG, text that stays text in SVG and PDF
    "svg.hashsalt": "nasarch",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
}


class Family(NamedTuple):
    """The colours of a family of operations: inside, and of lines and letters."""

    fill: str
    line: str


FAMILIES = {  # by the first word of the operation's name
    "sep": Family("#deebfa", "#1f5fa8"),
    "dil": Family("#ece3f9", "#6941b0"),
    "nor": Family("#d8f1ec", "#0b6b60"),
    "conv": Family("#d8f1ec", "#0b6b60"),
    "max": Family("#fdead3", "#b1520f"),
    "avg": Family("#fbf1c7", "#8a6100"),
    "skip": Family("#e9edf0", "#46525d"),
    "none": Family("#ffffff", "#75818d"),
}
OWN = Family("#fbe4ea", "#a3264f")  # of own operations


def draw(genotype: Genotype | str | os.PathLike[str] | Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the picture of all cells of `genotype` (a value, a name of the zoo, a file, a plain dict) to `path`; its suffix is the format.

    The same genotype gives the same bytes (with the same matplotlib). The file appears whole or not at all.

    Raises:
        ValueError: the suffix is not .svg, .png or .pdf, the file can't be written, or there is no such genotype.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"can't draw to {str(path)!r}: the suffix says the format; legal are {', '.join(FORMATS)}: write {path.stem}.svg")
    genotype = resolve(genotype)
    from matplotlib import rc_context

    with rc_context(STYLE), warnings.catch_warnings(), atomic_path(path) as temporary:
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)  # a name in any script
        _figure(genotype).savefig(temporary, format=suffix[1:], dpi=DPI, metadata=FORMATS[suffix])
    return path


def arrows(cell: Cell) -> tuple[Arrow, ...]:
    """The edges that count: those of live nodes that read an input or a live node."""
    return tuple(Arrow(op.operation, op.source, node) for node in cell.live for op in cell.edges_of(node))


def _figure(genotype: Genotype) -> Figure:
    """The cells one below the other, each under its heading."""
    from matplotlib.figure import Figure

    panels = {kind: lay_out(arrows(cell), cell.inputs, cell.live_concat, text_width) for kind, cell in genotype.cells.items()}
    headings = [text_width(_title(genotype, kind), TITLE, "bold") + MARGIN + text_width(NOTES.get(kind, "")) for kind in panels]
    width = 2 * MARGIN + max(*headings, *(panel.width for panel in panels.values()))
    height = MARGIN / 2 + sum(HEADING + panel.height + 1.5 * MARGIN for panel in panels.values())
    figure = Figure(figsize=(width, height), facecolor="white")
    top = MARGIN
    for kind, panel in panels.items():
        _heading(figure, genotype, kind, height - top - 0.1)
        top += HEADING + panel.height
        axes = figure.add_axes(
            (MARGIN / width, 1 - top / height, panel.width / width, panel.height / height), xlim=(0, panel.width), ylim=(panel.height, 0)
        )
        _panel(axes, panel, genotype.cells[kind])
        top += 1.5 * MARGIN
    return figure


def _title(genotype: Genotype, kind: str) -> str:
    return f"{genotype.name}: {kind} cell"


def _heading(figure: Figure, genotype: Genotype, kind: str, y: float) -> None:
    """Title in bold, then the note. `y` is the base line's height above the lower side of the figure, in inches."""
    title = _title(genotype, kind)
    for x, words, size, weight, colour in (
        (MARGIN, title, TITLE, "bold", INK),
        (2 * MARGIN + text_width(title, TITLE, "bold"), NOTES.get(kind, ""), FONT, "normal", WIRE),
    ):
        position = (x / figure.get_figwidth(), y / figure.get_figheight())
        figure.text(*position, words, fontsize=size, fontweight=weight, color=colour, va="baseline", parse_math=False)


def _panel(axes: Axes, panel: Layout, cell: Cell) -> None:
    """Wires tensor by tensor, each over a white edge so that a crossing reads as a bridge; then the boxes."""
    axes.set_axis_off()
    for source in sorted({wire.source for wire in panel.wires}):
        wires = [wire for wire in panel.wires if wire.source == source]
        for wire in wires:
            if wire.operation is None:
                _curve(axes, wire, edgecolor="white", linewidth=3.6)
        for wire in wires:
            _line(axes, wire)
    for box in panel.boxes:
        _box(axes, box, cell)


def _line(axes: Axes, wire: Wire) -> None:
    """The wire and its arrowhead."""
    colour = WIRE if wire.operation is None else _family(wire.operation).line
    _curve(axes, wire, edgecolor=colour, linewidth=1.3, linestyle=DASHED if wire.operation == "none" else "solid")
    if wire.arrives:
        x, y = wire.points[-1]
        axes.plot(x - 0.035, y, marker=(3, 0, -90), markersize=5.5, color=colour, markeredgewidth=0, clip_on=False)


def _curve(axes: Axes, wire: Wire, **style: Any) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    vertices, codes = [wire.points[0]], [Outline.MOVETO]
    for (x0, y0), (x1, y1) in zip(wire.points, wire.points[1:], strict=False):
        middle = (x0 + x1) / 2
        vertices += [(middle, y0), (middle, y1), (x1, y1)]
        codes += [Outline.CURVE4] * 3
    axes.add_artist(PathPatch(Outline(vertices, codes), fill=False, capstyle="butt", clip_on=False, **style))


def _box(axes: Axes, box: Box, cell: Cell) -> None:
    from matplotlib.patches import PathPatch

    family = _family(box.label) if box.kind == "operation" else Family("white" if box.kind == "node" else "#f4f6f8", INK)
    dashes = DASHED if box.label == "none" else "solid"
    outline = _rounded(box, 0.06 if box.kind in ("input", "output") else box.height / 2)
    axes.add_artist(PathPatch(outline, facecolor=family.fill, edgecolor=family.line, linewidth=1.1, linestyle=dashes, clip_on=False))
    axes.text(box.x, box.y, _label(box, cell), fontsize=FONT, color=family.line, ha="center", va="center_baseline")


def _label(box: Box, cell: Cell) -> str:
    if box.kind in ("node", "operation"):
        return box.label
    return f"${OUTPUT if box.kind == 'output' else INPUTS[cell.inputs][box.node]}$"


def _rounded(box: Box, radius: float) -> Any:
    """The outline of `box` with quarter circles of `radius` as corners."""
    from matplotlib.path import Path as Outline

    w, h, handle = box.width / 2, box.height / 2, 0.4477 * radius  # a cubic curve's handle for a quarter circle: (7 - 4 sqrt 2) / 3
    corner = [(w - radius, h), (w - handle, h), (w, h - handle), (w, h - radius)]
    turns = [(1, -1, corner), (1, 1, corner[::-1]), (-1, 1, corner), (-1, -1, corner[::-1])]
    vertices = [(box.x + right * x, box.y + down * y) for right, down, points in turns for x, y in points]
    codes = [Outline.LINETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4] * 4
    return Outline([*vertices, vertices[0]], [Outline.MOVETO, *codes[1:], Outline.CLOSEPOLY])


def _family(operation: str) -> Family:
    return FAMILIES.get(operation.split("_")[0], OWN)


@lru_cache(1000)
def text_width(text: str, size: float = FONT, weight: str = "normal") -> float:
    """Inches that `text` takes."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text:
        return 0.0
    return float(TextPath((0, 0), text, size=size, prop=FontProperties(family="DejaVu Sans", weight=weight)).get_extents().width) / 72
