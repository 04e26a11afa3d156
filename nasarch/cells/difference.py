"""Difference and edit distance of two genotypes of one space, cell kind by cell kind.

A cell is a labelled directed graph: its inputs, its inner nodes and its output; an edge (source, target) carries an operation, and each
node that the output concatenates has an edge without an operation to it. Nodes that a network leaves out, and edges that read them, don't
count (`Cell.live`).

Numbers of inner nodes have no meaning: cells that differ in them alone are equal networks. So the inner nodes of B are matched with those
of A (the smaller cell is filled up with nodes without edges), and the distance of two cells is the least number, over all matchings, of

- edges only in A, - edges only in B, and - edges with another operation.

Two edges between the same nodes (AmoebaNet-A has some) are compared as multisets of operations. An edge that reads another source counts
twice: as one only in A, and one only in B. The distance of two genotypes is the sum over their cell kinds; it is a metric.

All matchings of at most `MAX_MATCHED` nodes are tried (DARTS' cells: 4! = 24). Larger cells are compared by position, that is by the
numbers of their nodes, which can only overestimate the distance; `CellDifference.is_exact` says which was done.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from .cell import Cell
from .genotype import Genotype
from .space import MAX_NODES

MAX_MATCHED = 6  # inner nodes: 720 matchings
OUTPUT = -1
AFTER = 2 * MAX_NODES  # no node of a cell has this number


class GraphEdge(NamedTuple):
    """An edge of a cell as a graph; `target` is OUTPUT, and `operation` empty, where the output concatenates `source`."""

    source: int
    target: int
    operation: str


class Pair(NamedTuple):
    """An edge of A and the edge of B that it is compared with; one of them is None where the other cell has no such edge."""

    a: GraphEdge | None
    b: GraphEdge | None

    @property
    def status(self) -> str:
        """equal, changed (another operation), only_a or only_b."""
        if self.a is None or self.b is None:
            return "only_b" if self.a is None else "only_a"
        return "equal" if self.a.operation == self.b.operation else "changed"


@dataclass(frozen=True, kw_only=True)
class CellDifference:
    """Difference of two cells: `nodes` gives B's number of each inner node of A that has one; edges keep their own cell's numbers."""

    pairs: tuple[Pair, ...]
    nodes: Mapping[int, int]
    is_exact: bool

    @property
    def distance(self) -> int:
        return sum(pair.status != "equal" for pair in self.pairs)

    @property
    def is_renumbered(self) -> bool:
        """Whether a node of B has another number than that of A with which it is matched."""
        return any(a != b for a, b in self.nodes.items())


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Difference of two genotypes, by cell kind."""

    cells: Mapping[str, CellDifference]

    @property
    def distance(self) -> int:
        return sum(cell.distance for cell in self.cells.values())

    @property
    def is_exact(self) -> bool:
        return all(cell.is_exact for cell in self.cells.values())

    def count(self, status: str) -> int:
        """Number of pairs of edges of this status in all cells."""
        return sum(pair.status == status for cell in self.cells.values() for pair in cell.pairs)


def difference(a: Genotype, b: Genotype) -> Difference:
    """Compare two genotypes.

    Raises:
        ValueError: they are of different spaces.
    """
    if a.space != b.space:
        raise ValueError(f"{a.name} is of space {a.space!r}, {b.name} of {b.space!r}: give two genotypes of one space")
    return Difference(cells={kind: cell_difference(a.cells[kind], b.cells[kind]) for kind in a.cells})


def cell_difference(a: Cell, b: Cell) -> CellDifference:
    """Compare two cells with the same number of inputs."""
    fixed, edges_a, edges_b = {OUTPUT: OUTPUT, **{i: i for i in range(a.inputs)}}, graph_edges(a), graph_edges(b)
    left, right = _by_nodes(edges_a), _by_nodes(edges_b)
    slots = [*a.live, *range(AFTER, AFTER + len(b.live) - len(a.live))]  # B's further nodes come after all of A
    is_exact = len(slots) <= MAX_MATCHED
    matchings = (dict(zip(b.live, order, strict=True)) for order in permutations(slots, len(b.live)))
    tried = list(matchings) if is_exact else [{node: node for node in b.live}]
    best = min(tried, key=lambda names: (_count(left, right, fixed | names), any(i != j for i, j in names.items())))
    return CellDifference(
        pairs=tuple(sorted(_pairs(edges_a, edges_b, fixed | best), key=lambda pair: _target(pair, fixed | best))),
        nodes=dict(sorted((i, j) for j, i in best.items() if i in a.live)),
        is_exact=is_exact,
    )


def graph_edges(cell: Cell) -> tuple[GraphEdge, ...]:
    """The edges of the live nodes in their published order, then those to the output."""
    edges = [GraphEdge(op.source, node, op.operation) for node in cell.live for op in cell.edges_of(node)]
    return (*edges, *(GraphEdge(node, OUTPUT, "") for node in cell.live_concat))


def _by_nodes(edges: Iterable[GraphEdge]) -> dict[tuple[int, int], list[str]]:
    """Operations by source and target."""
    operations = defaultdict[tuple[int, int], list[str]](list)
    for edge in edges:
        operations[edge.source, edge.target].append(edge.operation)
    return dict(operations)


def _count(a: Mapping[tuple[int, int], list[str]], b: Mapping[tuple[int, int], list[str]], names: Mapping[int, int]) -> int:
    """Number of edges that differ, if node j of B is node names[j] of A."""
    named = {(names[i], names[j]): operations for (i, j), operations in b.items()}
    return sum(_changes(a.get(nodes, []), named.get(nodes, [])) for nodes in a.keys() | named.keys())


def _changes(a: list[str], b: list[str]) -> int:
    if len(a) < 2 and len(b) < 2:
        return int(a != b)
    return max((Counter(a) - Counter(b)).total(), (Counter(b) - Counter(a)).total())


def _pairs(a: Iterable[GraphEdge], b: Iterable[GraphEdge], names: Mapping[int, int]) -> Iterator[Pair]:
    """All edges: those of A in their order, each beside its edge of B, and those only in B."""
    unmatched = defaultdict[tuple[int, int], list[GraphEdge]](list)  # edges of B without a counterpart yet, by A's nodes
    for edge in b:
        unmatched[names[edge.source], names[edge.target]].append(edge)
    equal = dict[int, GraphEdge]()
    for index, edge in enumerate(a):
        there = unmatched[edge.source, edge.target]
        if (same := next((other for other in there if other.operation == edge.operation), None)) is not None:
            there.remove(same)
            equal[index] = same
    for index, edge in enumerate(a):
        there = unmatched[edge.source, edge.target]
        yield Pair(edge, equal[index] if index in equal else there.pop(0) if there else None)
    yield from (Pair(None, edge) for there in unmatched.values() for edge in there)


def _target(pair: Pair, names: Mapping[int, int]) -> tuple[bool, int]:
    """A's number of the node that a pair of edges leads to; the output comes last."""
    target = pair.a.target if pair.a is not None else names[pair.b.target] if pair.b is not None else OUTPUT
    return target == OUTPUT, target
