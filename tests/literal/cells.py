"""From weights to a cell, by loops over its nodes: which edges stay, what they carry, how clear that was."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from nasarch.cells.space import Space

from .softmaxes import Allowed, incoming

Node = list[tuple[str, int]]  # (operation, source) of each edge, strongest first


class Clear(NamedTuple):
    """How clear a node's choice was: the weights of its edges by source, the sources kept, the best one dropped and by how much."""

    kind: str
    node: int
    weights: list[float]
    kept: list[int]
    dropped: int | None
    lead: float | None


class Derived(NamedTuple):
    cells: dict[str, list[Node]]
    margins: list[Clear]


def best_operation(space: Space, weight_O: Tensor, allowed_O: list[bool]) -> str:
    """The heaviest candidate that is not `none`."""
    legal = [o for o, name in enumerate(space.operations) if name != "none" and allowed_O[o]]
    return space.operations[max(legal, key=lambda o: float(weight_O[o]))]


def best_weight(space: Space, weight_O: Tensor) -> float:
    """That of the heaviest operation but `none`."""
    return max(float(weight) for name, weight in zip(space.operations, weight_O, strict=True) if name != "none")


def derived(
    space: Space, choice: Callable[[int, int], tuple[list[int], list[int]]], name: Callable[[int, int], str], score_ZE: Tensor
) -> Derived:
    """`choice(z, j)`: the edges into node j of kind z that stay and those that go, each strongest first; `name(z, e)`: what e carries."""
    cells: dict[str, list[Node]] = {}
    margins = []
    for z, kind in enumerate(space.kinds):
        cells[kind] = []
        for j in space.inner_nodes:
            stay, go = choice(z, j)
            cells[kind].append([(name(z, e), space.edges[e].source) for e in stay])
            weights = [float(score_ZE[z, e]) for e in sorted(stay + go)]
            dropped = space.edges[go[0]].source if go else None
            lead = float(score_ZE[z, stay[-1]] - score_ZE[z, go[0]]) if go else None
            margins.append(Clear(kind, j, weights, [space.edges[e].source for e in stay], dropped, lead))
    return Derived(cells, margins)


def two_best(space: Space, score_ZE: Tensor) -> Callable[[int, int], tuple[list[int], list[int]]]:
    """The two edges of greatest score into each node, or all where the space keeps all."""

    def choice(z: int, j: int) -> tuple[list[int], list[int]]:
        ranked = sorted(incoming(space, j), key=lambda e: -float(score_ZE[z, e]))
        count = len(ranked) if space.name == "nats" else 2
        return ranked[:count], ranked[count:]

    return choice


def darts_rule(space: Space, operations_ZEO: Tensor, allowed: Allowed, edges_ZE: Tensor | None = None) -> Derived:
    """Liu et al. 2019, sec. 2.4: the two edges of the heaviest operations, those operations on them; PC-DARTS: times the edge weights."""
    kinds = range(len(space.kinds))
    scores = [[best_weight(space, row) for row in operations_ZEO[z]] for z in kinds]
    score_ZE = torch.tensor(scores, dtype=torch.float64) * (1 if edges_ZE is None else edges_ZE.detach())
    return derived(space, two_best(space, score_ZE), lambda z, e: best_operation(space, operations_ZEO[z, e], allowed[z][e]), score_ZE)
