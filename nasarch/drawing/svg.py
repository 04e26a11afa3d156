"""SVG of cells for web pages: small, in the colours of the page, with the same layout for several states of a cell.

The cells of the epochs of a search, or of several searches, share one layout: every edge that one of them has, has a position of its own,
so that nodes and edges stay where they are while edges come and go. `CSS` holds the colours, for a light and for a dark page.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from html import escape as escape_html
from typing import NamedTuple

from nasarch.cells.genotype import Cell

from .draw import FAMILIES, OWN, Family, text_width
from .layout import Arrow, Box, Layout, Wire, lay_out
from .text import INPUTS, OUTPUT

DPI = 96  # pixels of CSS an inch
MARGIN = 4.0  # pixels
LIGHT = {"none": Family("#ffffff", "#66717b"), "max": Family("#fdead3", "#a34a0b")}  # with the contrast that letters need (WCAG 1.4.3)
DARK = {  # fill, and lines and letters, on a dark page
    "sep": ("#15293f", "#8ab8f0"),
    "dil": ("#272040", "#c3a8f5"),
    "nor": ("#10302c", "#6fd0c0"),
    "conv": ("#10302c", "#6fd0c0"),
    "max": ("#38230f", "#f3a866"),
    "avg": ("#332b0c", "#e2c25c"),
    "skip": ("#262d33", "#b8c3cc"),
    "none": ("#14181c", "#98a4ae"),
    "own": ("#3b1723", "#f09ab3"),
}
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escape(text: str) -> str:
    """`text` as the text or attribute of an element; characters that XML doesn't have are replaced by U+FFFD."""
    return escape_html(NOT_XML.sub("\ufffd", text))


def element(name: str, *children: str, **attributes: object) -> str:
    """An element with `children`, which are markup, and `attributes`, which are escaped.

    An underscore in a name stands for a hyphen, one at its end is dropped (`class_`); numbers have one decimal; None is left out.
    """
    words = [
        f'{key.rstrip("_").replace("_", "-")}="{number(value) if isinstance(value, float) else escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return f"<{' '.join([name, *words])}>{''.join(children)}</{name}>" if children else f"<{' '.join([name, *words])}/>"


def number(value: float) -> str:
    """`value` with one decimal, without a zero behind the point."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def node_label(name: str) -> str:
    """c_{k-2} as SVG text with a subscript; other names as they are."""
    base, _, index = name.partition("_")
    return f'{escape(base)}<tspan dy="3" font-size="75%">{escape(index.strip("{}"))}</tspan>' if index else escape(name)


def family_class(operation: str) -> str:
    """Class of an element in the colours of an operation's family."""
    family = operation.split("_")[0]
    return f"op-{family if family in FAMILIES else 'own'}"


def _css() -> str:
    families = {**FAMILIES, **LIGHT, "own": OWN}
    light = "".join(f"--{name}-fill:{fill};--{name}-line:{line};" for name, (fill, line) in families.items())
    dark = "".join(f"--{name}-fill:{fill};--{name}-line:{line};" for name, (fill, line) in DARK.items())
    rules = "".join(
        f".op-{name} rect{{fill:var(--{name}-fill);stroke:var(--{name}-line)}}.op-{name} path{{stroke:var(--{name}-line)}}"
        f".op-{name} .head,.op-{name} text{{fill:var(--{name}-line)}}\n"
        for name in families
    )
    return f""":root{{{light}}}
@media (prefers-color-scheme:dark){{:root{{{dark}}}}}
.cell text{{font:12px "DejaVu Sans",system-ui,sans-serif;text-anchor:middle;fill:var(--ink)}}
.cell path{{fill:none;stroke:var(--soft);stroke-width:1.5}}.cell .halo{{stroke:var(--page);stroke-width:5}}
.cell .head{{fill:var(--soft);stroke:none}}.cell rect{{fill:var(--box);stroke:var(--ink);stroke-width:1.4}}
{rules}.cell .op-none rect,.cell .op-none path{{stroke-dasharray:4 3}}.cell .head{{stroke:none}}
.cell .bold rect{{stroke-width:3}}.cell .off{{visibility:hidden}}
"""


CSS = _css()


class Slot(NamedTuple):
    """The position of an edge; `rank` tells edges between the same nodes apart."""

    target: int
    source: int
    rank: int = 0


class SharedLayout:
    """The layout of several cells of one kind, in which each edge that one of them has, has its slot."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        """Cells of one space."""
        self.frames = [edges_of(cell) for cell in cells]
        self.slots = sorted({slot for frame in self.frames for slot in frame})
        self.inputs = cells[0].inputs
        self.concat = sorted({node for cell in cells for node in cell.live_concat})
        names = [{frame[slot] for frame in self.frames if slot in frame} for slot in self.slots]
        arrows = [Arrow(str(index), slot.source, slot.target) for index, slot in enumerate(self.slots)]
        self.layout: Layout = lay_out(arrows, self.inputs, self.concat, lambda index: max(map(text_width, names[int(index)])))

    def svg(self, index: int, alt: str, *, bold: Collection[tuple[Slot, str]] = ()) -> str:
        """The cell `index` as an <svg> element that reads as `alt`; the edges and operations `bold` have thick outlines."""
        frame = self.frames[index]
        shown = [part for slots, part in self._parts(frame, bold) if not slots or any(self.slots[i] in frame for i in slots)]
        return self._svg(shown, alt)

    def animation(self, alt: str) -> str:
        """All cells as one <svg> element that shows the last one; reads as `alt`.

        Its attribute data-operations is a JSON list of names, data-frames one of an index into them for every slot of every cell, -1 where
        it has no edge. An element with data-slots is shown with any of the slots' edges; that of a slot's operation has class `edge`.
        """
        last, names = self.frames[-1], sorted({name for frame in self.frames for name in frame.values()})
        frames = [[names.index(frame[slot]) if slot in frame else -1 for slot in self.slots] for frame in self.frames]
        parts = []
        for slots, part in self._parts(last):
            off = "" if not slots or any(self.slots[i] in last for i in slots) else ' class="off"'
            parts.append(f'<g data-slots="{" ".join(map(str, sorted(slots)))}"{off}>{part}</g>' if slots else part)
        return self._svg(parts, alt, data_operations=_json(names), data_frames=_json(frames))

    def _svg(self, parts: Sequence[str], alt: str, **data: str) -> str:
        width, height = (side * DPI + 2 * MARGIN for side in (self.layout.width, self.layout.height))
        body = f'<g transform="translate({number(MARGIN)} {number(MARGIN)})">{"".join(parts)}</g>'
        size = {"width": math.ceil(width), "height": math.ceil(height), "viewBox": f"0 0 {number(width)} {number(height)}"}
        return element("svg", element("title", escape(alt)), body, class_="cell", role="img", aria_label=alt, **size, **data)

    def _parts(self, frame: dict[Slot, str], bold: Collection[tuple[Slot, str]] = ()) -> Iterator[tuple[set[int], str]]:
        """Elements from the back to the front, with the slots that each is part of (of none: it is always shown)."""
        wires = self.layout.wires
        for source in sorted({wire.source for wire in wires}):
            tensor = [wire for wire in wires if wire.source == source and wire.operation is None]
            yield from ((self._readers(wire), element("path", class_="halo", d=wire_curve(wire))) for wire in tensor)
            yield from ((self._readers(wire), wire_line(wire)) for wire in tensor)
        for box in self.layout.boxes:
            if box.kind == "operation":
                slot = self.slots[int(box.label)]
                name = frame.get(slot, "")
                made = "".join(wire_line(wire) for wire in wires if wire.operation == box.label)
                thick = " bold" if (slot, name) in bold else ""
                yield (
                    {int(box.label)},
                    element("g", made, box_outline(box), box_label(box, escape(name)), class_=f"edge {family_class(name)}{thick}"),
                )
            else:
                label = OUTPUT if box.kind == "output" else INPUTS[self.inputs][box.node] if box.kind == "input" else box.label
                yield self._into(box.node) if box.kind == "node" else set(), box_outline(box) + box_label(box, node_label(label))

    def _readers(self, wire: Wire) -> set[int]:
        """Slots of the operations that the tensor of a wire goes to; for the way to the output those of the edges into its node."""
        x, y = wire.points[-1]
        readers = [box for box in self.layout.boxes if box.kind == "operation" and self.slots[int(box.label)].source == wire.source]
        beyond = [box for box in readers if (_is_end(box, x, y) if wire.arrives else box.x - box.width / 2 > x + 1e-6)]
        to_output = wire.source in self.concat and not (wire.arrives and beyond)
        return {int(box.label) for box in beyond} | (self._into(wire.source) if to_output else set())

    def _into(self, node: int) -> set[int]:
        return {index for index, slot in enumerate(self.slots) if slot.target == node}


def edges_of(cell: Cell) -> dict[Slot, str]:
    """The operations on the edges of a cell's network: those of live nodes that read an input or a live node."""
    operations, count = dict[Slot, str](), Counter[tuple[int, int]]()
    for node in cell.live:
        for op in cell.edges_of(node):
            operations[Slot(node, op.source, count[node, op.source])] = op.operation
            count[node, op.source] += 1
    return operations


def _is_end(box: Box, x: float, y: float) -> bool:
    return math.isclose(box.x - box.width / 2, x, abs_tol=1e-6) and math.isclose(box.y, y, abs_tol=1e-6)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def box_outline(box: Box) -> str:
    """Rectangle of a box."""
    width, height = box.width * DPI, box.height * DPI
    radius = 6.0 if box.kind in ("input", "output") else height / 2
    return element("rect", x=box.x * DPI - width / 2, y=box.y * DPI - height / 2, width=width, height=height, rx=radius)


def box_label(box: Box, label: str) -> str:
    """Text in the middle of a box; `label` is markup."""
    return element("text", label, x=box.x * DPI, y=box.y * DPI + 4.2)


def wire_line(wire: Wire) -> str:
    """Curve of a wire, and its arrowhead where it ends at a box."""
    x, y = (number(DPI * value) for value in wire.points[-1])
    head = element("path", class_="head", d=f"M{x} {y}l-7-3.5v7z") if wire.arrives else ""
    return element("path", d=wire_curve(wire)) + head


def wire_curve(wire: Wire) -> str:
    """Path data of a wire."""
    points = [(DPI * x, DPI * y) for x, y in wire.points]
    d = f"M{number(points[0][0])} {number(points[0][1])}"
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        middle = (x0 + x1) / 2
        level = f"H{number(x1)}" if y0 == y1 else f"C{number(middle)} {number(y0)} {number(middle)} {number(y1)} {number(x1)} {number(y1)}"
        d += level
    return d
