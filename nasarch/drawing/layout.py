"""Layout of a cell's drawing: boxes in layers from left to right, and the wires between them.

The inputs are layer 0; a node that is d operations deep lies in layer 2d, its operations in the layer before it, the output in the last
one. A wire carries one node's tensor; where it has to pass a layer it takes a position of its own there, so no wire ever runs
through a box and no two boxes overlap. All wires of one tensor share their way until they part.
Knows geometry only: no matplotlib, no genotype. Lengths are inches, x to the right, y downwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .sugiyama import Item, Layers, Link, heights, order

BOX_HEIGHT = 0.27
NODE_SIZE = 0.30
INPUT_WIDTH = 0.46
OUTPUT_WIDTH = 0.36
PADDING = 0.20  # inside an operation's box, left and right of its text together
SEPARATION = 0.11  # least distance between neighbours of a layer
INPUT_SEPARATION = 0.3  # between the inputs
HEIGHTS = {"node": NODE_SIZE, "operation": BOX_HEIGHT, "pass": 0.0, "port": 0.04}


class Arrow(NamedTuple):
    """An edge of a cell: `target` adds up `operation` of `source`."""

    operation: str
    source: int
    target: int


class Box(NamedTuple):
    """A rectangle around (x, y). `kind` is input, node, operation or output; `node` the node that it is or leads to (-1: the output).

    `edge` is the index of an operation's arrow.
    """

    kind: str
    label: str
    node: int
    x: float
    y: float
    width: float
    height: float
    edge: int | None = None


class Wire(NamedTuple):
    """A curve through `points`, level at each of them: the tensor of node `source`, or what `operation` made of it.

    `arrives` says that it ends at a box and not where the same tensor goes on. `edge` is the index of the arrow whose operation it enters
    or leaves; None for a wire that several share, or that leads to the output.
    """

    source: int
    operation: str | None
    arrives: bool
    points: tuple[tuple[float, float], ...]
    edge: int | None = None


class Layout(NamedTuple):
    """All of a cell; its upper left corner is (0, 0)."""

    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    width: float
    height: float


class _Grid(NamedTuple):
    """Where the layers lie: left side and width of each, and the height of each item."""

    left: tuple[float, ...]
    width: tuple[float, ...]
    y: dict[Item, float]


def lay_out(arrows: Sequence[Arrow], inputs: int, concat: Iterable[int], text_width: Callable[[str], float]) -> Layout:
    """The layout of a cell that has nodes 0 .. inputs - 1 as inputs and the concatenation of `concat` as output.

    `text_width` gives the width of an operation's name in inches. The same cell gives the same layout.
    """
    layers, links = _layers(arrows, inputs, sorted(concat))
    layers = order(layers, links)
    widths = [max(_width(item, arrows, inputs, text_width) for item in layer) for layer in layers]
    grid = _grid(layers, links, widths)
    boxes = [_box(item, arrows, inputs, grid) for layer in layers for item in layer if not item.passes]
    boxes.append(_output(layers[-1], grid))
    wires = tuple(_wire(link, arrows, grid) for link in links)
    height = max(max(box.y + box.height / 2 for box in boxes), max(y for wire in wires for _, y in wire.points))
    return Layout(tuple(boxes), wires, grid.left[-1] + OUTPUT_WIDTH, height)


def _layers(arrows: Sequence[Arrow], inputs: int, concat: Sequence[int]) -> tuple[Layers, list[Link]]:
    depth = dict.fromkeys(range(inputs), 0)  # node -> the most operations on a way from an input to it
    for target in sorted({arrow.target for arrow in arrows}):
        depth[target] = 1 + max(depth[arrow.source] for arrow in arrows if arrow.target == target)
    last = 2 * max(depth.values()) + 1
    nodes = {node: Item("node", node, 2 * depth[node]) for node in depth}
    operations = [Item("operation", index, nodes[arrow.target].layer - 1) for index, arrow in enumerate(arrows)]
    readers: dict[int, list[Item]] = defaultdict(list)
    for arrow, item in zip(arrows, operations, strict=True):
        readers[arrow.source].append(item)
    for node in concat:
        readers[node].append(Item("port", node, last))
    links = [link for node, item in nodes.items() for link in _trunk(item, readers[node])]
    links += [Link(item, nodes[arrow.target]) for arrow, item in zip(arrows, operations, strict=True)]
    items = {item for link in links for item in link} | set(nodes.values())
    return [sorted(item for item in items if item.layer == layer) for layer in range(last + 1)], links


def _trunk(node: Item, readers: Sequence[Item]) -> list[Link]:
    """The wires of one tensor: from `node` through every layer to its last reader, with a branch to each reader."""
    links, here = [], node
    last = max((reader.layer for reader in readers), default=node.layer)
    for layer in range(node.layer + 1, last + 1):
        links += [Link(here, reader) for reader in readers if reader.layer == layer]
        if layer < last:
            links.append(Link(here, Item("pass", node.number, layer)))
            here = links[-1].right
    return links


def _width(item: Item, arrows: Sequence[Arrow], inputs: int, text_width: Callable[[str], float]) -> float:
    if item.kind == "operation":
        return text_width(arrows[item.number].operation) + PADDING
    if item.kind == "node":
        return INPUT_WIDTH if item.number < inputs else NODE_SIZE
    return OUTPUT_WIDTH if item.kind == "port" else 0.0


def _distance(a: Item, b: Item) -> float:
    """The least distance between the middles of two neighbours of a layer."""
    return (HEIGHTS[a.kind] + HEIGHTS[b.kind]) / 2 + (SEPARATION if a.layer else INPUT_SEPARATION)


def _grid(layers: Layers, links: Sequence[Link], widths: Sequence[float]) -> _Grid:
    """The steeper the wires before a layer, the more room they get."""
    y = heights(layers, links, _distance)
    left = [0.0]
    for layer, width in enumerate(widths[:-1], start=1):
        rise = max(abs(y[link.left] - y[link.right]) for link in links if link.right.layer == layer)
        left.append(left[-1] + width + min(0.34 + 0.26 * rise, 0.85))
    top = min(y[item] - max(HEIGHTS[item.kind], NODE_SIZE if item.kind == "port" else 0.0) / 2 for item in y)
    return _Grid(tuple(left), tuple(widths), {item: height - top for item, height in y.items()})


def _box(item: Item, arrows: Sequence[Arrow], inputs: int, grid: _Grid) -> Box:
    """Operations are as wide as the widest of their layer."""
    x, width = grid.left[item.layer] + grid.width[item.layer] / 2, grid.width[item.layer]
    if item.kind == "operation":
        arrow = arrows[item.number]
        return Box("operation", arrow.operation, arrow.target, x, grid.y[item], width, BOX_HEIGHT, item.number)
    kind = "input" if item.number < inputs else "node"
    return Box(kind, str(item.number), item.number, x, grid.y[item], width, NODE_SIZE)


def _output(layer: Sequence[Item], grid: _Grid) -> Box:
    """A bar that spans the ports."""
    top, bottom = min(grid.y[port] for port in layer), max(grid.y[port] for port in layer)
    return Box("output", "", -1, grid.left[-1] + OUTPUT_WIDTH / 2, (top + bottom) / 2, OUTPUT_WIDTH, bottom - top + NODE_SIZE)


def _wire(link: Link, arrows: Sequence[Arrow], grid: _Grid) -> Wire:
    """From the right side of a box, or from where it begins to pass a layer, to the left side of the next layer."""
    a, b = link
    sides = (grid.left[a.layer],) if a.kind == "pass" else ()
    points = [(x, grid.y[a]) for x in (*sides, grid.left[a.layer] + grid.width[a.layer])] + [(grid.left[b.layer], grid.y[b])]
    made = arrows[a.number] if a.kind == "operation" else Arrow("", a.number, -1)
    edge = next((item.number for item in link if item.kind == "operation"), None)
    return Wire(made.source, made.operation or None, b.kind != "pass", tuple(points), edge)
