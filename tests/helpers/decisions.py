"""Weights of edges and operations by cell, and the edges that a search kept of them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import Space
from nasarch.search.engine.result import SearchResult

Rows = Mapping[str, Mapping[str, float]]


Nodes = list[list[tuple[str, int]]]


NAMES = {
    "none": "none",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
    "conv1": "nor_conv_1x1",
    "conv3": "nor_conv_3x3",
}


def operations(space: Space, *kinds: Rows, rest: float = 0.01) -> Tensor:
    """[Z, E, O] float64."""
    table = torch.full((len(space.kinds), len(space.edges), len(space.operations)), rest, dtype=torch.float64)
    for z, rows in enumerate(kinds):
        for name, row in rows.items():
            for operation, weight in row.items():
                table[z, edge(space, name), space.operations.index(NAMES[operation])] = weight
    return table


def edge(space: Space, name: str) -> int:
    return space.edges.index((int(name[0]), int(name[1])))  # type: ignore[arg-type]


def nodes(found: SearchResult | Genotype, kind: str = "normal") -> Nodes:
    """The nodes of a cell as (operation, source), in the order of its file."""
    cells = found.genotype if isinstance(found, SearchResult) else found
    short = {long: name for name, long in NAMES.items()}
    return [[(short[op.operation], op.source) for op in node] for node in cells.cells[kind].nodes]


def sources(found: SearchResult, kind: str = "normal") -> list[list[int]]:
    return [[source for _, source in node] for node in nodes(found, kind)]


NORMAL = {
    "02": {"none": 0.60, "skip": 0.30},
    "12": {"sep5": 0.40},
    "03": {"none": 0.90, "dil3": 0.06},  # here alone none is ahead: with it this edge would be the first
    "13": {"sep3": 0.30, "max": 0.28},
    "23": {"avg": 0.20, "dil5": 0.19, "sep5": 0.18, "max": 0.17},  # the largest sum
    "04": {"none": 0.50, "sep3": 0.12},  # none is ahead on all edges of this node
    "14": {"none": 0.50, "sep5": 0.14},
    "24": {"none": 0.50, "dil3": 0.13},
    "34": {"none": 0.50, "skip": 0.11},
    "05": {"max": 0.25},  # three that are equal: the first of them stays
    "15": {"sep3": 0.25},
    "25": {"dil5": 0.25},
    "35": {"skip": 0.10},
    "45": {"avg": 0.26},
}


REDUCTION = {
    f"{i}{j}": {operation: 0.1 + 0.1 * i} for j in range(2, 6) for i, operation in enumerate(["max", "avg", "sep5", "dil3", "dil5"][:j])
}


REDUCTION_NODES = [
    [("avg", 1), ("max", 0)],
    [("sep5", 2), ("avg", 1)],
    [("dil3", 3), ("sep5", 2)],
    [("dil5", 4), ("dil3", 3)],
]


DARTS_NODES = [
    [("sep5", 1), ("skip", 0)],
    [("sep3", 1), ("avg", 2)],
    [("sep5", 1), ("dil3", 2)],
    [("avg", 4), ("max", 0)],
]
