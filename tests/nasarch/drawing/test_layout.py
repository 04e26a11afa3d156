"""Pictures of cells are legible wherever the cells come from: nothing overlaps, no line runs through a box."""

import itertools
import random

import pytest

from nasarch.cells.genotype import Cell, Op, names, resolve
from nasarch.cells.space import DARTS
from nasarch.drawing.draw import arrows
from nasarch.drawing.layout import Arrow, Box, Layout, Wire, lay_out
from nasarch.drawing.sugiyama import Item, Link, crossings, order, spread

CELLS = {f"{name}-{kind}": cell for name in names() for kind, cell in resolve(name).cells.items()}


def random_cell(seed: int) -> Cell:
    """3 to 7 nodes of 1 to 4 edges each, also several between the same nodes; some of the nodes are in the output."""
    generator = random.Random(seed)
    last = 2 + generator.randint(3, 7)
    counts = [generator.randint(1, 4) for _ in range(2, last)]
    nodes = [[Op(generator.choice(DARTS.operations), generator.randrange(j)) for _ in range(n)] for j, n in enumerate(counts, start=2)]
    concat = sorted(generator.sample(range(2, last), generator.randint(1, last - 2)))
    return Cell(nodes, concat)  # type: ignore[arg-type]  # it makes tuples of lists


CELLS |= {f"random-{seed}": random_cell(seed) for seed in range(12)}
CELLS |= {"chain": Cell(tuple((Op("sep_conv_3x3", j - 1), Op("skip_connect", j - 2)) for j in range(2, 9)), tuple(range(2, 9)))}
CELLS |= {"wide": Cell(tuple((Op("sep_conv_3x3", 0), Op("sep_conv_3x3", 1)) for _ in range(7)), tuple(range(2, 9)))}


def layout(cell: Cell) -> Layout:
    return lay_out(arrows(cell), cell.inputs, cell.live_concat, lambda text: 0.075 * len(text))


def curve(wire: Wire) -> list[tuple[float, float]]:
    """Points along a wire: between two points of it a cubic curve, level at both ends."""
    points = []
    for (x0, y0), (x1, y1) in itertools.pairwise(wire.points):
        for t in (i / 24 for i in range(25)):
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
            points.append((a * x0 + (b + c) * (x0 + x1) / 2 + d * x1, (a + b) * y0 + (c + d) * y1))
    return points


def inside(box: Box, x: float, y: float, margin: float = 0.0) -> bool:
    return abs(x - box.x) < box.width / 2 - margin and abs(y - box.y) < box.height / 2 - margin


@pytest.mark.parametrize("name", CELLS)
def test_no_two_boxes_overlap_or_touch(name: str) -> None:
    for a, b in itertools.combinations(layout(CELLS[name]).boxes, 2):
        apart_x = abs(a.x - b.x) - (a.width + b.width) / 2
        apart_y = abs(a.y - b.y) - (a.height + b.height) / 2
        assert max(apart_x, apart_y) > 0.05, (a, b)


@pytest.mark.parametrize("name", CELLS)
def test_no_wire_runs_through_a_box(name: str) -> None:
    found = layout(CELLS[name])
    for wire in found.wires:
        for x, y in curve(wire):
            assert not any(inside(box, x, y, margin=1e-6) for box in found.boxes), wire


@pytest.mark.parametrize("name", CELLS)
def test_everything_lies_within_the_extent_and_flows_to_the_right(name: str) -> None:
    found = layout(CELLS[name])
    for box in found.boxes:
        assert box.x - box.width / 2 >= 0 and box.x + box.width / 2 <= found.width + 1e-9
        assert box.y - box.height / 2 >= -1e-9 and box.y + box.height / 2 <= found.height + 1e-9
    for wire in found.wires:
        assert all(a < b and -1e-9 <= y <= found.height + 1e-9 for (a, _), (b, y) in itertools.pairwise(wire.points))


@pytest.mark.parametrize("name", CELLS)
def test_the_picture_shows_exactly_the_edges_that_count(name: str) -> None:
    cell = CELLS[name]
    found = layout(cell)
    drawn = []
    for box in (box for box in found.boxes if box.kind == "operation"):
        (source,) = {wire.source for wire in found.wires if reaches(wire, box)}
        (onward,) = [wire for wire in found.wires if inside(box, wire.points[0][0] - 1e-6, wire.points[0][1])]
        (target,) = [other.node for other in found.boxes if reaches(onward, other)]
        assert (onward.source, onward.operation) == (source, box.label)
        drawn.append(Arrow(box.label, source, target))
    assert sorted(drawn) == sorted(arrows(cell))
    output = found.boxes[-1]
    assert output.kind == "output"
    assert sorted(wire.source for wire in found.wires if reaches(wire, output)) == list(cell.live_concat)


def reaches(wire: Wire, box: Box) -> bool:
    x, y = wire.points[-1]
    return wire.arrives and inside(box, x + 1e-6, y)


def test_inputs_stand_at_the_left_in_their_order_and_the_output_at_the_right() -> None:
    boxes = layout(CELLS["pc_darts_cifar-normal"]).boxes
    first, second = (box for box in boxes if box.kind == "input")
    assert first.node == 0 and second.node == 1 and first.y < second.y and first.x == second.x == min(box.x for box in boxes)
    assert max(boxes, key=lambda box: box.x).kind == "output"


def test_edges_between_the_same_two_nodes_fan_out() -> None:
    found = layout(Cell(((Op("sep_conv_3x3", 0), Op("sep_conv_3x3", 0), Op("max_pool_3x3", 0)),), (2,)))
    assert len({box.y for box in found.boxes if box.kind == "operation"}) == 3


def test_the_same_cell_gives_the_same_layout() -> None:
    assert layout(random_cell(3)) == layout(random_cell(3))


def test_a_crossing_that_can_be_avoided_is_avoided() -> None:
    a, b, c, d = (Item("node", number, layer) for number, layer in ((0, 0), (1, 0), (2, 1), (3, 1)))
    links = [Link(a, d), Link(b, c)]
    assert crossings([[a, b], [c, d]], links) == 1
    assert crossings(order([[a, b], [c, d]], links), links) == 0
    assert crossings([[a, b], [c, d]], [Link(a, c), Link(a, d), Link(b, d)]) == 0  # those with an end in common don't cross
    assert crossings([[a, b], [d, c]], [Link(a, c), Link(a, d), Link(b, d)]) == 1


def test_spread_keeps_the_gaps_and_moves_as_little_as_possible() -> None:
    assert spread([0.0, 5.0], [1.0, 1.0], [1.0]) == [0.0, 5.0]
    assert spread([0.0, 0.0], [1.0, 1.0], [1.0]) == [-0.5, 0.5]
    assert spread([0.0, 0.0], [3.0, 1.0], [1.0]) == [-0.25, 0.75]
    generator = random.Random(0)
    wanted, weights, gaps = ([generator.random() for _ in range(n)] for n in (6, 6, 5))
    best = spread(wanted, weights, gaps)

    def cost(places: list[float]) -> float:
        return sum(w * (p - q) ** 2 for w, p, q in zip(weights, places, wanted, strict=True))

    assert all(b - a >= gap - 1e-12 for (a, b), gap in zip(itertools.pairwise(best), gaps, strict=True))
    for _ in range(300):
        other = [place + generator.gauss(0, 0.05) for place in best]
        if all(b - a >= gap for (a, b), gap in zip(itertools.pairwise(other), gaps, strict=True)):
            assert cost(other) >= cost(best)
