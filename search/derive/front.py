"""Pareto front of cells, exact: the greatest score for every budget of one cost, and the next best ones, by dynamic programming.

The groups are merged one by one. Of the partial cells of a stage those are dropped that as many as are looked for cost no more and score
no less than; nothing that is dropped can be part of an optimum, since score and cost are sums (a multiple-choice knapsack).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappush, heapreplace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .groups import Group


class Solution(NamedTuple):
    """The alternative of each group, with the sum of the scores and of the cost."""

    chosen: tuple[int, ...]
    score: float
    cost: int


def front(groups: Sequence[Group], cost: int | None, best: int = 1) -> list[Solution]:
    """All cells that are among the `best` for some budget of the cost in column `cost` of the groups (None: free), by cost and score."""
    scores, costs = np.zeros(1), np.zeros(1, dtype=np.int64)
    parents: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
    for group in groups:
        cost_I = np.zeros(len(group.edges), dtype=np.int64) if cost is None else group.costs[:, cost]
        own = _undominated(group.scores, cost_I, best)
        sums = (scores[:, None] + group.scores[own]).ravel()
        totals = (costs[:, None] + cost_I[own]).ravel()
        left = _undominated(sums, totals, best)
        parents.append((left // len(own), own[left % len(own)]))
        scores, costs = sums[left], totals[left]
    chosen = np.empty((len(scores), len(groups)), dtype=np.intp)
    index = np.arange(len(scores))
    for g, (earlier, item) in reversed([*enumerate(parents)]):
        chosen[:, g], index = item[index], earlier[index]
    return [Solution(tuple(row), score, total) for row, score, total in zip(chosen.tolist(), scores.tolist(), costs.tolist(), strict=True)]


def _undominated(scores: NDArray[np.float64], costs: NDArray[np.int64], best: int) -> NDArray[np.intp]:
    """Indices, by cost, of what fewer than `best` others of no more cost exceed in score."""
    order = np.lexsort((-scores, costs))
    ranked = scores[order]
    if best == 1:
        highest = np.concatenate(([-np.inf], np.maximum.accumulate(ranked)[:-1]))
        return order[ranked > highest]
    undominated, heap = [], list[float]()
    for i, score in zip(order.tolist(), ranked.tolist(), strict=True):
        if len(heap) < best:
            heappush(heap, score)
        elif score > heap[0]:
            heapreplace(heap, score)
        else:
            continue
        undominated.append(i)
    return np.array(undominated, dtype=np.intp)
