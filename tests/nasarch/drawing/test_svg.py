"""SVG of cells for pages: every state shows the edges of its cell, at positions that do not move."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from nasarch.cells.genotype import Cell, Op, resolve
from nasarch.drawing.svg import SharedLayout, Slot, edges_of, element, escape, family_class, node_label, number

FIRST = Cell(((Op("skip_connect", 0), Op("sep_conv_3x3", 1)), (Op("none", 0), Op("my_op", 2))), (2, 3))
SECOND = Cell(((Op("skip_connect", 0), Op("sep_conv_3x3", 1)), (Op("max_pool_3x3", 1), Op("my_op", 2))), (2, 3))


def shown(svg: str) -> dict[str, tuple[str, str]]:
    """Name, colours and position of each operation that is visible."""
    found = {}
    for group in ElementTree.fromstring(svg).iter("g"):
        hidden = group.attrib.get("class") == "off"
        for edge in [] if hidden else group.findall("g"):
            text, rect = edge.find("text"), edge.find("rect")
            if text is not None and rect is not None:
                found[rect.attrib["x"] + "," + rect.attrib["y"]] = (text.text or "", edge.attrib["class"])
    return found


def test_a_state_has_the_operations_of_its_cell_at_positions_that_stay() -> None:
    layout = SharedLayout([FIRST, SECOND])
    assert layout.slots == [Slot(2, 0), Slot(2, 1), Slot(3, 0), Slot(3, 1), Slot(3, 2)]
    first, second = (shown(layout.svg(i, "a cell")) for i in (0, 1))
    names = {"skip_connect", "sep_conv_3x3", "my_op"}
    assert {name for name, _ in first.values()} == {*names, "none"} and {name for name, _ in second.values()} == {*names, "max_pool_3x3"}
    common = {place: one for place, one in first.items() if one[0] in names}
    assert common == {place: one for place, one in second.items() if one[0] in names}
    assert {colours for _, colours in first.values()} == {"edge op-skip", "edge op-sep", "edge op-none", "edge op-own"}


def test_an_animation_shows_its_last_state_and_holds_all() -> None:
    svg = SharedLayout([FIRST, SECOND]).animation("cells by epoch")
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == root.findtext("title") == "cells by epoch" and root.attrib["role"] == "img"
    names, frames = json.loads(root.attrib["data-operations"]), json.loads(root.attrib["data-frames"])
    assert [[names[i] if i >= 0 else None for i in frame] for frame in frames] == [
        ["skip_connect", "sep_conv_3x3", "none", None, "my_op"],
        ["skip_connect", "sep_conv_3x3", None, "max_pool_3x3", "my_op"],
    ]
    visible = [group for group in root.iter("g") if "data-slots" in group.attrib and group.attrib.get("class") != "off"]
    slots = [group.attrib["data-slots"] for group in visible if group.find("g") is not None]
    assert sorted(slots) == ["0", "1", "3", "4"]


def test_a_tensor_is_drawn_as_far_as_it_is_read() -> None:
    """Input 0 goes to node 2 always, to node 3 in the first state; node 2 to node 3 and to the output."""
    root = ElementTree.fromstring(SharedLayout([FIRST, SECOND]).animation("x"))
    wires = {group.attrib["data-slots"] for group in root.iter("g") if group.find("path") is not None and "data-slots" in group.attrib}
    assert {"0", "1", "2", "3"} <= wires and not {"0 2", "1 3"} & wires  # the branches of the inputs, and what leads on from there
    assert "0 1" in wires or "0 1 4" in wires  # node 2 to the output, for as long as it has edges
    assert "2 3 4" in wires  # node 3 to the output


def way(d: str) -> list[tuple[float, float]]:
    """The points that a path of absolute M, H and C goes through."""
    points = list[tuple[float, float]]()
    for command, text in re.findall(r"([MHC])([-\d. ]+)", d):
        numbers = [float(one) for one in text.split()]
        points.append((numbers[-1], points[-1][1]) if command == "H" else (numbers[-2], numbers[-1]))
    return points


def test_no_line_ends_in_the_open() -> None:
    """Where a line ends, a box begins, or another line of the same tensor: in each state, though the other one needs more lines."""
    for state in (0, 1):
        root = ElementTree.fromstring(SharedLayout([FIRST, SECOND]).svg(state, "x"))
        lines = [path.attrib["d"] for path in root.iter("path") if path.attrib.get("class") is None]
        ways = [way(d) for d in lines]
        starts = [one[0] for one in ways]
        ends = [one[-1] for one in ways]
        boxes = [tuple(float(rect.attrib[key]) for key in ("x", "y", "height")) for rect in root.iter("rect")]
        for x, y in ends:
            at_box = any(abs(left - x) < 1 and top - 1 <= y <= top + height + 1 for left, top, height in boxes)
            assert at_box or any(abs(x - a) <= 1 and abs(y - b) <= 1 for a, b in starts), (state, x, y)


def test_edges_from_the_same_node_have_slots_of_their_own() -> None:
    twice = Cell(((Op("skip_connect", 0), Op("sep_conv_3x3", 0)),), (2,))
    assert edges_of(twice) == {Slot(2, 0, 0): "skip_connect", Slot(2, 0, 1): "sep_conv_3x3"}
    assert len(shown(SharedLayout([twice]).svg(0, "x"))) == 2


@pytest.mark.parametrize("name", ["darts_v2_cifar", "amoebanet_a_cifar", "nasnet_a_cifar", "fair_darts_a_cifar", "darts_nats_cifar"])
def test_cells_of_the_zoo_are_drawn_whole(name: str) -> None:
    for cell in resolve(name).cells.values():
        svg = SharedLayout([cell]).svg(0, name)
        assert sorted(one for one, _ in shown(svg).values()) == sorted(edges_of(cell).values())
        assert len(svg) < 20_000


def test_bold_edges_are_marked() -> None:
    svg = SharedLayout([FIRST]).svg(0, "x", bold={(Slot(2, 0), "skip_connect"), (Slot(2, 1), "dil_conv_3x3")})
    assert re.findall('class="edge (op-[a-z]+) bold"', svg) == ["op-skip"]


def test_elements_are_escaped() -> None:
    assert element("a", escape("<&\x07>"), class_="x", data_b='"<') == '<a class="x" data-b="&quot;&lt;">&lt;&amp;\ufffd&gt;</a>'
    assert element("path", d=None, x=1.25, y=-0.04) == '<path x="1.2" y="0"/>'
    assert [number(x) for x in (2.0, 10.0, -0.04, -3.26)] == ["2", "10", "0", "-3.3"]
    assert node_label("c_{k-2}") == 'c<tspan dy="3" font-size="75%">k-2</tspan>' and node_label("<3>") == "&lt;3&gt;"
    assert family_class("sep_conv_3x3") == "op-sep" and family_class("mine") == "op-own"
