"""Difference and distance of cells, recounted literally on adjacency tables."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations, permutations

import pytest

from nasarch.cells.difference import MAX_MATCHED, OUTPUT, cell_difference, difference, graph_edges
from nasarch.cells.genotype import Cell, Genotype, names, resolve
from nasarch.cells.space import NATS

ZOO = [resolve(name) for name in names()]
SAMPLE = ["pc_darts_cifar", "darts_v2_cifar", "snas_mild_cifar", "fair_darts_a_cifar", "bayesnas_001_cifar", "amoebanet_a_cifar"]
CONV, SKIP, POOL = "sep_conv_3x3", "skip_connect", "max_pool_3x3"


def table(cell: Cell, numbers: dict[int, int]) -> dict[tuple[int, int], Counter[str]]:
    """Operations [source, target] with inner node j as numbers[j]; the output is node 99."""
    found: dict[tuple[int, int], Counter[str]] = {}
    for node in cell.live:
        for operation, source in cell.edges_of(node):
            found.setdefault((numbers.get(source, source), numbers[node]), Counter())[operation] += 1
    for node in cell.live_concat:
        found.setdefault((numbers[node], 99), Counter())["output"] += 1
    return found


def literal(a: Cell, b: Cell) -> int:
    """Least number of edges that differ over all numberings of B's nodes."""
    left, size = table(a, {node: 50 + i for i, node in enumerate(a.live)}), max(len(a.live), len(b.live))
    counts = []
    for order in permutations(range(50, 50 + size), len(b.live)):
        right, count = table(b, dict(zip(b.live, order, strict=True))), 0
        for nodes in {*left, *right}:
            one, other = left.get(nodes, Counter()), right.get(nodes, Counter())
            count += max(one.total(), other.total()) - (one & other).total()
        counts.append(count)
    return min(counts)


def cell(*nodes: list[tuple[str, int]], concat: tuple[int, ...] | None = None) -> Cell:
    return Cell(nodes, concat or tuple(range(2, 2 + len(nodes))))


BASE = cell([(CONV, 0), (CONV, 1)], [(CONV, 0), (SKIP, 2)], [(POOL, 1), (CONV, 3)])


@pytest.mark.parametrize(("one", "other"), [*combinations(SAMPLE, 2)])
def test_the_distance_is_that_of_a_literal_recount(one: str, other: str) -> None:
    a, b = resolve(one), resolve(other)
    found = difference(a, b)
    for kind, there in found.cells.items():
        assert there.distance == literal(a.cells[kind], b.cells[kind]), kind
    assert found.distance == sum(there.distance for there in found.cells.values()) == sum(map(found.count, ("only_a", "only_b", "changed")))
    assert found.is_exact and difference(b, a).distance == found.distance


def test_every_edge_of_both_cells_is_in_one_pair() -> None:
    a, b = resolve("amoebanet_a_cifar"), resolve("fair_darts_a_cifar")
    for kind, found in difference(a, b).cells.items():
        assert Counter(pair.a for pair in found.pairs if pair.a) == Counter(graph_edges(a.cells[kind]))
        assert Counter(pair.b for pair in found.pairs if pair.b) == Counter(graph_edges(b.cells[kind]))
        numbers = {0: 0, 1: 1, OUTPUT: OUTPUT, **found.nodes}
        for pair in found.pairs:
            if pair.a and pair.b:
                assert (numbers[pair.a.source], numbers[pair.a.target]) == (pair.b.source, pair.b.target)


def test_the_triangle_inequality_holds() -> None:
    distances = {(a.name, b.name): difference(a, b).distance for a in ZOO[::5] for b in ZOO[::5] if a.space == b.space}
    for a, b in distances:
        for c in {name for name, _ in distances} - {a, b}:
            if (a, c) in distances:
                assert distances[a, b] <= distances[a, c] + distances[c, b]


@pytest.mark.parametrize(
    ("other", "statuses"),
    [
        (cell([(CONV, 1), (CONV, 0)], [(CONV, 0), (SKIP, 2)], [(POOL, 1), (CONV, 3)]), []),
        (cell([(CONV, 0), (CONV, 1)], [(CONV, 0), (POOL, 2)], [(POOL, 1), (CONV, 3)]), ["changed"]),
        (cell([(CONV, 0), (CONV, 1)], [(CONV, 0)], [(POOL, 1), (CONV, 3)]), ["only_a"]),
        (cell([(CONV, 0), (CONV, 1)], [(CONV, 0), (SKIP, 2)], [(POOL, 1), (CONV, 3), (SKIP, 3)]), ["only_b"]),
        (cell([(CONV, 0), (CONV, 1)], [(CONV, 0), (SKIP, 2)], [(POOL, 0), (CONV, 3)]), ["only_a", "only_b"]),
        (cell([(CONV, 0), (CONV, 1)], [(CONV, 0), (SKIP, 2)], [(POOL, 1), (CONV, 3)], concat=(3, 4)), ["only_a"]),
        (cell([(CONV, 0), (CONV, 1)], [], [(CONV, 0), (SKIP, 2)], [(POOL, 1), (CONV, 4)]), []),  # node 3 is left out
    ],
)
def test_each_kind_of_change_is_counted(other: Cell, statuses: list[str]) -> None:
    found = cell_difference(BASE, other)
    assert sorted(pair.status for pair in found.pairs if pair.status != "equal") == statuses and found.distance == len(statuses)


def test_parallel_edges_are_compared_as_multisets() -> None:
    a, b = cell([(CONV, 0), (SKIP, 0), (POOL, 1)]), cell([(POOL, 0), (SKIP, 0), (CONV, 0), (POOL, 1)])
    found = cell_difference(a, b)
    assert [pair.status for pair in found.pairs] == ["equal", "equal", "equal", "only_b", "equal"]
    assert cell_difference(a, cell([(POOL, 0), (SKIP, 0), (POOL, 1)])).distance == 1


@pytest.mark.parametrize("genotype", [one for one in ZOO if one.space != NATS.name], ids=lambda one: one.name)
def test_renumbered_nodes_make_no_difference(genotype: Genotype) -> None:
    generator = random.Random(genotype.name)
    for kind, one in genotype.cells.items():
        other = renumbered(one, generator)
        found = cell_difference(one, other)
        assert found.distance == 0 and found.is_exact, kind
        assert found.is_renumbered == any(i != j for i, j in found.nodes.items())


def test_of_equal_matchings_that_with_the_same_numbers_is_taken() -> None:
    twins = cell([(CONV, 0)], [(CONV, 0)], [(SKIP, 2), (SKIP, 3)])
    assert not cell_difference(twins, twins).is_renumbered


def renumbered(cell: Cell, generator: random.Random) -> Cell:
    """The same graph with its inner nodes in another order, in which each source still precedes its node."""
    waiting, order = [*cell.inner_nodes], list[int]()
    while waiting:
        ready = [j for j in waiting if all(op.source < cell.inputs or op.source in order for op in cell.nodes[j - cell.inputs])]
        order.append(generator.choice(ready))
        waiting.remove(order[-1])
    new = {**{i: i for i in range(cell.inputs)}, **{j: cell.inputs + rank for rank, j in enumerate(order)}}
    nodes = [[(op.operation, new[op.source]) for op in cell.nodes[j - cell.inputs]] for j in order]
    return Cell(nodes, sorted(new[j] for j in cell.concat), cell.inputs)


def test_large_cells_are_compared_by_the_numbers_of_their_nodes() -> None:
    size = MAX_MATCHED + 1
    one = cell(*([(CONV, 0)] for _ in range(size - 1)), [(SKIP, 1)])
    other = cell([(SKIP, 1)], *([(CONV, 0)] for _ in range(size - 1)))
    found = cell_difference(one, other)
    assert not found.is_exact and not found.is_renumbered and found.distance == 4
    small = cell_difference(cell(*one.nodes[1:]), cell(*other.nodes[:-1]))
    assert small.is_exact and small.is_renumbered and small.distance == 0


def test_more_nodes_than_the_other_cell_has_are_edges_of_one_alone() -> None:
    more = Cell([*BASE.nodes, [(CONV, 4)]], (2, 3, 4, 5))
    for a, b, status in ((BASE, more, "only_b"), (more, BASE, "only_a")):
        found = cell_difference(a, b)
        assert [pair.status for pair in found.pairs if pair.status != "equal"] == [status, status]


def test_genotypes_of_two_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="of one space"):
        difference(resolve("pc_darts_cifar"), resolve("ftso_nats_cifar"))
