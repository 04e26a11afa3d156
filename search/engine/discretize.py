"""Discretization: architecture weights -> a genotype. Knows ranking, not training.

Two choices are composed: which edges stay (`strongest_edges`, with `Margin`s that say how sure that is) and which operation an edge
carries (`strongest_operations`: the best one that is not `none`; or one name for all). The score by which a method ranks edges is
computed in its recipe: `derive` in recipes/pc_darts.py and beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.cells.space import Edge, Space

from .result import ArchitectureWeights, Margin, SearchResult


class KeptEdges(NamedTuple):
    """The edges that a node keeps, strongest first, and those that it drops, strongest first."""

    kind: str
    node: int
    kept: tuple[int, ...]
    dropped: tuple[int, ...]


def strongest_edges(space: Space, score_ZE: Tensor, *, tie_breaker_ZE: Tensor | None = None, tie: float = 0.0) -> list[KeptEdges]:
    """Rank the edges into each node by score, and keep `space.kept_edges` of them (all, if that is None).

    Scores that are equal when rounded to multiples of `tie` are ranked by `tie_breaker_ZE`, what is still equal by the order of edges.
    """
    scores = score_ZE.double().cpu()
    scores = (scores / tie).round() if tie else scores
    breaker = torch.zeros_like(scores) if tie_breaker_ZE is None else tie_breaker_ZE.double().cpu()
    rows = []
    for z, kind in enumerate(space.kinds):
        for j in space.inner_nodes:
            incoming = [e for e, edge in enumerate(space.edges) if edge.target == j]
            ranked = sorted(incoming, key=lambda e: (-float(scores[z, e]), -float(breaker[z, e])))
            count = len(ranked) if space.kept_edges is None else space.kept_edges
            rows.append(KeptEdges(kind, j, tuple(ranked[:count]), tuple(ranked[count:])))
    return rows


def strongest_subsets(space: Space, weight_ZNS: Tensor, members_ZNSE: Tensor, weight_ZE: Tensor) -> list[KeptEdges]:
    """Keep the edges of the best subset of each node (DOTS sec. 3.2), and list them, as the others, by their own weights."""
    rows = []
    for z, kind in enumerate(space.kinds):
        for n, j in enumerate(space.inner_nodes):
            best = members_ZNSE[z, n, int(weight_ZNS[z, n].argmax())]
            incoming = [e for e, edge in enumerate(space.edges) if edge.target == j]
            ranked = sorted(incoming, key=lambda e: -float(weight_ZE[z, e]))
            rows.append(KeptEdges(kind, j, tuple(e for e in ranked if best[e]), tuple(e for e in ranked if not best[e])))
    return rows


def margins(space: Space, kept: Sequence[KeptEdges], weight_ZE: Tensor) -> list[Margin]:
    """How clearly the edges of each node were chosen, in units of their weights."""
    rows = []
    for kind, node, stay, go in kept:
        weight_E = weight_ZE[space.kinds.index(kind)].tolist()
        source = [edge.source for edge in space.edges]
        weights = tuple(weight_E[e] for e in sorted(stay + go))
        dropped, lead = (source[go[0]], weight_E[stay[-1]] - weight_E[go[0]]) if go else (None, None)
        rows.append(Margin(kind, node, weights, tuple(source[e] for e in stay), dropped, lead))
    return rows


def strongest_operations(space: Space, score_ZEO: Tensor) -> list[list[str]]:
    """[Z][E] names: the operation of the highest score on every edge, `none` left out (Liu et al. 2019, sec. 2.4)."""
    score_ZEO = score_ZEO.detach().clone()
    score_ZEO[:, :, [name == "none" for name in space.operations]] = -torch.inf
    return [[space.operations[o] for o in row] for row in score_ZEO.argmax(2).tolist()]


def strongest_scores(space: Space, score_ZEO: Tensor) -> Tensor:
    """[Z, E]: the score of the best operation on every edge, `none` left out; DARTS ranks edges by it."""
    operations = [o for o, name in enumerate(space.operations) if name != "none"]
    return score_ZEO.detach()[:, :, operations].amax(2)


def one_operation(space: Space, name: str) -> list[list[str]]:
    """[Z][E] names: `name` everywhere.

    Raises:
        ValueError: the space has no such operation, or it is `none`.
    """
    if name == "none" or name not in space.operations:
        legal = ", ".join(o for o in space.operations if o != "none")
        raise ValueError(f"operation {name!r} can't replace the edges of space {space.name!r}; legal are {legal}")
    return [[name] * len(space.edges) for _ in space.kinds]


def genotype(
    space: Space, kept: Sequence[KeptEdges], operations: Sequence[Sequence[str]], *, name: str, provenance: Mapping[str, Any]
) -> Genotype:
    """The genotype with the kept edges, strongest first within a node as published genotypes list them."""
    cells = {}
    for z, kind in enumerate(space.kinds):
        rows = [row.kept for row in kept if row.kind == kind]
        nodes = tuple(tuple(Op(operations[z][e], space.edges[e].source) for e in row) for row in rows)
        cells[kind] = Cell(nodes=nodes, concat=space.concat(), inputs=space.inputs)
    return Genotype(name=name, space=space.name, cells=cells, provenance=provenance)


def search_result(
    space: Space,
    kept: Sequence[KeptEdges],
    operations: Sequence[Sequence[str]],
    weights: ArchitectureWeights,
    *,
    score_ZE: Tensor,
    name: str,
) -> SearchResult:
    """The result of a search; `score_ZE` is what the edges were ranked by, for the margins."""
    cell = genotype(space, kept, operations, name=name, provenance={})
    return SearchResult(cell, margins(space, kept, score_ZE), weights.detached())


def edges_of(space: Space, cells: Genotype) -> list[KeptEdges]:
    """The edges of a genotype, in its order."""
    index = {edge: e for e, edge in enumerate(space.edges)}
    return [
        KeptEdges(kind, j, tuple(index[Edge(op.source, j)] for op in node), ())
        for kind, cell in cells.cells.items()
        for j, node in zip(space.inner_nodes, cell.nodes, strict=True)
    ]


def by_kind(kept: Sequence[KeptEdges]) -> dict[str, list[int]]:
    """The kept edges of each cell kind."""
    kinds: dict[str, list[int]] = {}
    for row in kept:
        kinds.setdefault(row.kind, []).extend(row.kept)
    return kinds


def given_edges(space: Space, sources: Sequence[Sequence[int]]) -> list[KeptEdges]:
    """A topology that is given, the same in every cell kind: by node the sources of its edges."""
    index = {edge: e for e, edge in enumerate(space.edges)}
    return [
        KeptEdges(kind, j, tuple(index[Edge(i, j)] for i in chosen), ())
        for kind in space.kinds
        for j, chosen in zip(space.inner_nodes, sources, strict=True)
    ]
