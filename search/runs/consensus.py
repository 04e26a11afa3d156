"""Consensus of searches: one cell, derived from the mean of their weights, and how much such a cell depends on the draw of seeds.

A single run of a one-shot search is close to a draw: the weights of the edges that are kept and dropped differ by less than from
seed to seed. Their mean over seeds differs less. How much it can be trusted is seen when the runs are dealt into two disjoint halves,
each gives a cell of its own, and the edges that both keep are counted: by chance two edges of n agree in 2 / n of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from nasarch.cells.space import Space
from nasarch.search.engine.result import DECIMALS, ArchitectureWeights, Margin, SearchResult
from nasarch.search.recipes.methods import Method

DEALS = 200  # random deals into halves, for each number of runs


class Agreement(NamedTuple):
    """Agreement of two cells of `runs` disjoint runs each: mean share of a node's edges in both, where there is a choice; and by chance."""

    runs: int
    edges: float
    operations: float
    chance: float


def mean(runs: Sequence[ArchitectureWeights]) -> ArchitectureWeights:
    """The mean tables, of the digits that files have: the same for runs just made and for those read."""
    stacked = [torch.stack(tables) for tables in ([run.operations_ZEO for run in runs], [run.edges_ZE for run in runs])]
    return ArchitectureWeights(*(torch.round(tables.double(), decimals=DECIMALS).mean(0).float() for tables in stacked))


def consensus(method: Method, settings: Any, space: Space, runs: Sequence[ArchitectureWeights], name: str) -> SearchResult:
    """The cell that the mean weights of the runs give by the method's own rule."""
    return method.derive(space, settings, mean(runs), name)


def agreements(method: Method, settings: Any, space: Space, runs: Sequence[ArchitectureWeights], *, seed: int = 0) -> list[Agreement]:
    """How the agreement of two disjoint halves grows with their size: 1, 2, 4, ... up to half of the runs."""
    generator = torch.Generator().manual_seed(seed)
    sizes = sorted({*(2**i for i in range(20) if 2 ** (i + 1) <= len(runs)), len(runs) // 2} - {0})
    return [_agreement(method, settings, space, runs, size, generator) for size in sizes]


def _agreement(
    method: Method, settings: Any, space: Space, runs: Sequence[ArchitectureWeights], size: int, generator: torch.Generator
) -> Agreement:
    shares = []
    for _ in range(DEALS):
        order = torch.randperm(len(runs), generator=generator).tolist()
        halves = [[runs[i] for i in order[start : start + size]] for start in (0, size)]
        first, second = (consensus(method, settings, space, half, "half") for half in halves)
        shares.append(_shared(first, second))
    edges, operations = torch.tensor(shares).double().mean(0).tolist()
    chances = [len(margin.kept) / len(margin.weights) for margin in _choices(first)]  # of a random choice
    return Agreement(size, edges, operations, sum(chances) / len(chances))


def _choices(result: SearchResult) -> list[Margin]:
    """The nodes that choose among their edges; all nodes where every edge is given."""
    return [margin for margin in result.margins if margin.dropped is not None] or result.margins


def _shared(first: SearchResult, second: SearchResult) -> tuple[float, float]:
    """The share of edges, and of edges with their operations, that both cells have, over the nodes that choose."""
    edges, operations, count = 0, 0, 0
    for margin in _choices(first):
        cells = [result.genotype.cells[margin.kind] for result in (first, second)]
        a, b = (set(cell.nodes[margin.node - cell.inputs]) for cell in cells)
        edges += len({op.source for op in a} & {op.source for op in b})
        operations += len(a & b)
        count += len(a)
    return edges / count, operations / count
