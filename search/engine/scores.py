"""Log-likelihood scores of cells: what a derivation within a budget maximizes. Knows ranking, not cost.

    score(cell) = sum over nodes of log w(edges of the node) + sum over edges of log (w(operation) / w(best operation of that edge))

w are the method's own architecture weights, so that the cell of the greatest score is the method's own. Where a method ranks edges by
their best operation (DARTS, and PC-DARTS times the edge's weight), this is the sum of the logarithms of the weights of the operations;
DOTS weighs pairs of edges, FTSO edges. Equal weights rank as `discretize` ranks them: each place costs `TIE_STEP`, which is less than any
difference of two weights in a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from nasarch.cells.space import Space

from .discretize import KeptEdges, strongest_edges, strongest_scores

TIE_STEP = 1e-12
LOG_ZERO = -1000.0  # of an edge without weight, where a node has no other


class Subset(NamedTuple):
    """Edges that a node may keep, in a genotype's order, and the logarithm of their weight."""

    edges: tuple[int, ...]
    score: float


class Scores(NamedTuple):
    """Scores of all choices: for each cell kind and inner node the subsets of edges, and for each edge the operations.

    `operations_ZEO` is the logarithm of the weight over that of the edge's best operation, -inf for what is no candidate.
    """

    subsets: list[list[list[Subset]]]
    operations_ZEO: Tensor


def operation_scores(space: Space, weight_ZEO: Tensor) -> Tensor:
    """[Z, E, O] logarithms relative to the best operation of each edge; `none` and weights of zero are no candidates."""
    weight_ZEO, best_ZE = weight_ZEO.detach().double().cpu(), strongest_scores(space, weight_ZEO).double().cpu()
    score_ZEO = (weight_ZEO / best_ZE[:, :, None]).log().masked_fill(best_ZE[:, :, None] <= 0, 0.0)
    score_ZEO[:, :, [name == "none" for name in space.operations]] = -torch.inf
    return score_ZEO - TIE_STEP * (torch.arange(len(space.operations)) - score_ZEO.argmax(2, keepdim=True))


def given_operation(space: Space, name: str) -> Tensor:
    """[Z, E, O] for cells with the operation `name` on every edge."""
    score_ZEO = torch.full((len(space.kinds), len(space.edges), len(space.operations)), -torch.inf, dtype=torch.float64)
    score_ZEO[:, :, space.operations.index(name)] = 0.0
    return score_ZEO


def of_edges(space: Space, score_ZE: Tensor, operations_ZEO: Tensor) -> Scores:
    """Edges that are chosen one by one, by the logarithm of their weight (-inf: no candidate)."""
    subsets: dict[str, list[list[Subset]]] = {kind: [] for kind in space.kinds}
    for kind, _, kept, dropped in strongest_edges(space, score_ZE):
        score_E = score_ZE[space.kinds.index(kind)].tolist()
        ranked = kept + dropped
        candidates = [e for e in ranked if score_E[e] > -torch.inf]
        chosen = combinations(candidates if len(candidates) >= len(kept) else ranked, len(kept))
        rank_of = {e: rank for rank, e in enumerate(ranked)}
        subsets[kind].append([Subset(es, sum(max(score_E[e], LOG_ZERO) - TIE_STEP * rank_of[e] for e in es)) for es in chosen])
    return Scores(list(subsets.values()), operations_ZEO)


def of_pairs(space: Space, weight_ZNS: Tensor, weight_ZE: Tensor, used_ZE: Tensor, operations_ZEO: Tensor) -> Scores:
    """Edges that are chosen in pairs, [Z, N, S] in the order of itertools.combinations of the used ones; listed by their weights [Z, E]."""
    subsets: list[list[list[Subset]]] = []
    for z in range(len(space.kinds)):
        subsets.append([])
        for n, j in enumerate(space.inner_nodes):
            incoming = [e for e, edge in enumerate(space.edges) if edge.target == j and used_ZE[z, e]]
            pairs = list(combinations(incoming, min(2, len(incoming))))
            logs = weight_ZNS[z, n].double().log().clamp(min=LOG_ZERO).tolist()
            ordered = [tuple(sorted(pair, key=lambda e: -float(weight_ZE[z, e]))) for pair in pairs]
            subsets[z].append([Subset(pair, logs[s] - TIE_STEP * s) for s, pair in enumerate(ordered)])
    return Scores(subsets, operations_ZEO)


def of_topology(space: Space, kept: Sequence[KeptEdges], operations_ZEO: Tensor) -> Scores:
    """Edges that are given."""
    return Scores([[[Subset(row.kept, 0.0)] for row in kept if row.kind == kind] for kind in space.kinds], operations_ZEO)
