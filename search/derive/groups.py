"""Choices of a cell as groups of alternatives, one of which is taken in each: score and cost are sums over the groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.cells.space import Space
from nasarch.search.engine.scores import TIE_STEP, Scores, Subset

from .costs import CostModel

TIE = 5e-5  # in a score: the digits of weights.json, and what FTSO takes for equal


class Item(NamedTuple):
    """Edges of a node with their operations."""

    edges: tuple[Op, ...]
    score: float


@dataclass(frozen=True, eq=False)
class Group:
    """The alternatives of a node, or of an edge that is given: scores [I] and costs [I, C], as `Figures`."""

    kind: str
    node: int
    edges: tuple[tuple[Op, ...], ...]
    scores: NDArray[np.float64]
    costs: NDArray[np.int64]


def groups(space: Space, scores: Scores, costs: CostModel, own: Genotype | None = None) -> list[Group]:
    """The groups of all cell kinds and nodes. Where the cell `own` ties with the best alternative, it is the best."""
    pairs = []
    for z, kind in enumerate(space.kinds):
        for n, node in enumerate(space.inner_nodes):
            subsets, own_edges = scores.subsets[z][n], () if own is None else own.cells[kind].nodes[n]
            parts = [subsets]
            if len(subsets) == 1:  # each edge by itself, instead of all combinations of operations
                order = {op.source: i for i, op in enumerate(own_edges)}
                edges = sorted(subsets[0].edges, key=lambda e: order.get(space.edges[e].source, 0))
                parts = [[Subset((e,), 0.0 if i else subsets[0].score)] for i, e in enumerate(edges)]
            for part in parts:
                items = _preferred([item for subset in part for item in _items(space, scores, z, subset)], own_edges)
                cost = [[costs.operations[kind, op.operation, op.source < space.inputs] for op in item.edges] for item in items]
                values = np.array([item.score for item in items])
                pairs.append(Group(kind, node, tuple(item.edges for item in items), values, np.array(cost, dtype=np.int64).sum(1)))
    return pairs


def _items(space: Space, scores: Scores, z: int, subset: Subset) -> Iterator[Item]:
    """The subset with all combinations of operations."""
    rows = [[(o, score) for o, score in enumerate(scores.operations_ZEO[z, e].tolist()) if score > -np.inf] for e in subset.edges]
    for chosen in product(*rows):
        edges = [Op(space.operations[o], space.edges[e].source) for e, (o, _) in zip(subset.edges, chosen, strict=True)]
        yield Item(tuple(edges), subset.score + sum(score for _, score in chosen))


def _preferred(items: list[Item], own: tuple[Op, ...]) -> list[Item]:
    """The items, of which the edges of the node `own` are the best if they tie with it, in the order of `own`."""
    best = max(item.score for item in items)
    ties = [set(item.edges) <= set(own) and best - item.score < TIE for item in items]
    return [
        Item(tuple(op for op in own if op in item.edges), best + TIE_STEP) if tie else item for item, tie in zip(items, ties, strict=True)
    ]


def cells_of(space: Space, chosen: list[tuple[Group, int]]) -> dict[str, Cell]:
    """The cells with one alternative of each group."""
    nodes: dict[tuple[str, int], tuple[Op, ...]] = {(kind, node): () for kind in space.kinds for node in space.inner_nodes}
    for group, i in chosen:
        nodes[group.kind, group.node] += group.edges[i]
    return {kind: Cell(tuple(nodes[kind, node] for node in space.inner_nodes), space.concat(), space.inputs) for kind in space.kinds}
