"""Topologies of a cell, as paths: which two earlier nodes each inner node reads. Knows no training.

A cell of DARTS' space has 1 * 3 * 6 * 10 = 180 of them (eDARTS, sec. III-B and IV-D). They are written as eDARTS' `path`: "01-02-13-04"
says that the first inner node reads nodes 0 and 1, the second 0 and 2, and so on.

Note:
    Some of the 180 are the same graph with its inner nodes numbered in another order: the networks can represent the same functions,
    and differ in what chance makes of their first weights alone. What such twins differ in is noise (`canonical`).
Note:
    In the first stage "the reduction cell contains only max pooling" (sec. IV-D); its topology is not said. With every node reading both
    inputs all four nodes would be equal; in `chain` each node reads the two before it, which makes them different.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations, product

from .genotype import Cell, Genotype, Op
from .space import DARTS, Space

OPERATION, POOLING = "sep_conv_3x3", "max_pool_3x3"

Sources = tuple[tuple[int, ...], ...]  # by inner node


def topologies(space: Space = DARTS) -> list[str]:
    """All paths, in lexical order of the sources."""
    choices = [list(combinations(range(j), space.kept_edges or j)) for j in space.inner_nodes]
    return [written(sources) for sources in product(*choices)]


def written(sources: Sequence[Sequence[int]]) -> str:
    """The sources as a path."""
    return "-".join("".join(map(str, node)) for node in sources)


def chain(nodes: int) -> str:
    """Each node reads the two before it: "01-12-23-34"."""
    return written([(j, j + 1) for j in range(nodes)])


def read(path: str) -> Sources:
    """Parse a path without a check; each node's sources ascending."""
    return tuple(tuple(sorted(map(int, node))) for node in path.split("-"))


def canonical(path: str, inputs: int = DARTS.inputs) -> str:
    """The first path, in lexical order, that is the same graph with its inner nodes in another order."""
    sources, topology = read(path), path
    inner = range(inputs, inputs + len(sources))
    for order in permutations(inner):
        new = {**{i: i for i in range(inputs)}, **dict(zip(inner, order, strict=True))}
        moved = {new[j]: tuple(sorted(new[i] for i in node)) for j, node in zip(inner, sources, strict=True)}
        if all(i < j for j, node in moved.items() for i in node):
            topology = min(topology, written([moved[j] for j in inner]))
    return topology


def cell(path: str, operation: str) -> Cell:
    """The cell with one operation on all edges of a path."""
    nodes = tuple(tuple(Op(operation, i) for i in node) for node in read(path))
    return Cell(nodes, DARTS.with_nodes(len(nodes)).concat())


def pooled(path: str, reduction: str) -> Genotype:
    """Stage one: the path in the normal cell, the reduction cell of max pooling the same for all."""
    return Genotype(path, DARTS.name, {"normal": cell(path, OPERATION), "reduction": cell(reduction, POOLING)})


def unified(path: str) -> Genotype:
    """Stage two: the same path, of separable convolutions, in both cells."""
    return Genotype(path, DARTS.name, dict.fromkeys(DARTS.kinds, cell(path, OPERATION)))


def read_path(path: str, space: Space) -> list[tuple[int, ...]]:
    """Parse and check a path, sources in its order: "01-02-13-04" gives [(0, 1), (0, 2), (1, 3), (0, 4)].

    Raises:
        ValueError: another number of nodes or edges than the cell has, or a node that reads a later one or one twice.
    """
    groups = path.split("-")
    legal = (
        f"for {space.nodes} nodes write {space.nodes} groups of {space.kept_edges} earlier nodes, such as {'-'.join(['01'] * space.nodes)}"
    )
    if len(groups) != space.nodes:
        raise ValueError(f"path {path!r} has {len(groups)} nodes; {legal}")
    for node, group in zip(space.inner_nodes, groups, strict=True):
        if len(set(group)) != space.kept_edges or len(group) != space.kept_edges or not set(group) <= set("0123456789"[:node]):
            raise ValueError(f"path {path!r}: node {node} can't read {group!r}; {legal}")
    return [tuple(map(int, group)) for group in groups]
