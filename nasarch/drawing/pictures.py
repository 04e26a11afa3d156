"""Pictures of the cells of a genotype as SVG: files of their own, and elements of a page that can mark each edge.

All parts of an edge have the attribute `data-edge`, its index in `nasarch.cells.difference.graph_edges`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from nasarch.cells.genotype import Cell, Genotype

from .draw import INK, WIRE, arrows, text_width
from .layout import Layout, lay_out
from .svg import CSS, DPI, box_label, box_outline, element, escape, family_class, node_label, wire_curve, wire_line
from .text import INPUTS, NOTES, OUTPUT

COLOURS = (  # of the page, which `CSS` needs
    f":root{{--ink:{INK};--soft:{WIRE};--page:#ffffff;--box:#f4f6f8}}\n"
    "@media (prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#8d99a4;--page:#14181c;--box:#20272e}}\n"
)
TITLE = ".title{font:bold 14px 'DejaVu Sans',system-ui,sans-serif;fill:var(--ink)}svg{background:var(--page)}\n"
TITLE_HEIGHT, GAP, MARGIN = 30.0, 14.0, 4.0  # pixels: above each cell of a picture, between cells, around all


class Drawing(NamedTuple):
    """A cell as SVG elements within width x height pixels."""

    shapes: str
    width: float
    height: float

    def svg(self, alt: str) -> str:
        """An <svg> element of a page with `CSS`; reads as `alt`."""
        return _svg(self.width + 2 * MARGIN, self.height + 2 * MARGIN, _moved(self.shapes, MARGIN), alt)


def drawings(genotype: Genotype) -> dict[str, Drawing]:
    """The cells by kind."""
    by_kind = {}
    for kind, cell in genotype.cells.items():
        layout = lay_out(arrows(cell), cell.inputs, cell.live_concat, text_width)
        by_kind[kind] = Drawing("".join(_shapes(layout, cell)), layout.width * DPI, layout.height * DPI)
    return by_kind


def picture(name: str, cells: Mapping[str, Drawing]) -> str:
    """An SVG file of the cells of a genotype, one below the other, each under its heading; light or dark as the reader prefers."""
    parts, top, width = [element("style", COLOURS + CSS + TITLE), element("title", escape(name))], 0.0, 0.0
    for kind, cell in cells.items():
        heading = f"{kind} cell" + (f" ({NOTES[kind]})" if kind in NOTES else "")
        parts.append(element("text", escape(heading), class_="title", x=MARGIN, y=top + TITLE_HEIGHT - 10))
        parts.append(element("g", _moved(cell.shapes, top + TITLE_HEIGHT), class_="cell"))
        top += TITLE_HEIGHT + cell.height + GAP
        width = max(width, cell.width, 1.6 * DPI * text_width(heading))
    return _svg(width + 2 * MARGIN, top, "".join(parts), f"cells of {name}", xmlns="http://www.w3.org/2000/svg")


def _svg(width: float, height: float, inside: str, alt: str, **attributes: str) -> str:
    size = {"width": round(width), "height": round(height), "viewBox": f"0 0 {width:.0f} {height:.0f}"}
    return element("svg", inside, class_=None if attributes else "cell", role="img", aria_label=alt, **size, **attributes)


def _moved(shapes: str, y: float) -> str:
    return element("g", shapes, transform=f"translate({MARGIN:.0f} {y:.1f})")


def _shapes(layout: Layout, cell: Cell) -> Iterator[str]:
    """Wires tensor by tensor, each over an edge in the colour of the page, so that a crossing reads as a bridge; then the boxes."""
    outputs = {node: len(arrows(cell)) + rank for rank, node in enumerate(cell.live_concat)}
    for source in sorted({wire.source for wire in layout.wires}):
        tensor = [wire for wire in layout.wires if wire.source == source and wire.operation is None]
        yield from (element("path", class_="halo", d=wire_curve(wire)) for wire in tensor)
        for wire in tensor:
            edge = outputs[source] if wire.edge is None and wire.arrives else wire.edge
            yield wire_line(wire) if edge is None else element("g", wire_line(wire), data_edge=edge)
    for box in layout.boxes:
        if box.kind == "operation":
            made = "".join(wire_line(wire) for wire in layout.wires if wire.operation is not None and wire.edge == box.edge)
            inside = (made, box_outline(box), box_label(box, escape(box.label)))
            yield element("g", *inside, class_=f"edge {family_class(box.label)}", data_edge=box.edge)
        else:
            name = OUTPUT if box.kind == "output" else INPUTS[cell.inputs][box.node] if box.kind == "input" else box.label
            yield box_outline(box) + box_label(box, node_label(name))
