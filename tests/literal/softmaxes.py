"""Weights of operations and of edges: one softmax after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from nasarch.cells.space import Space

Allowed = list[list[list[bool]]]  # [Z][E][O]
Logits = dict[tuple[int, int], Tensor]  # by cell kind and node: one for each edge into it, or for each pair of them


def candidates(space: Space, names: Sequence[str] | None = None, edges: Sequence[Sequence[int]] | None = None) -> Allowed:
    """[Z][E][O]: whether an operation may stand on an edge; all by default."""
    return [
        [
            [(names is None or name in names) and (edges is None or e in edges[z]) for name in space.operations]
            for e in range(len(space.edges))
        ]
        for z in range(len(space.kinds))
    ]


def incoming(space: Space, node: int) -> list[int]:
    return [e for e, edge in enumerate(space.edges) if edge.target == node]


def start(space: Space, init_std: float, seed: int, *, edges: bool = False) -> tuple[Tensor, Logits]:
    """alpha, and beta of each edge if asked for, at spread * randn: alpha's table is drawn first, then beta's [Z, N, most edges]."""
    generator = torch.Generator().manual_seed(seed)
    shape = len(space.kinds), len(space.edges), len(space.operations)
    alpha = (init_std * torch.randn(*shape, generator=generator, dtype=torch.float64)).requires_grad_()
    if not edges:
        return alpha, {}
    nodes, most = list(space.inner_nodes), len(incoming(space, space.inner_nodes[-1]))
    table = init_std * torch.randn(shape[0], len(nodes), most, generator=generator, dtype=torch.float64)
    beta = {(z, j): table[z, n, : len(incoming(space, j))].clone() for z in range(shape[0]) for n, j in enumerate(nodes)}
    return alpha, {place: logits.requires_grad_() for place, logits in beta.items()}


def pairs(space: Space) -> Logits:
    """beta of each pair of edges into a node, at zero (DOTS' code)."""
    return {
        (z, j): torch.zeros(len(list(combinations(incoming(space, j), 2))), dtype=torch.float64, requires_grad=True)
        for z in range(len(space.kinds))
        for j in space.inner_nodes
    }


def operation_weights(
    space: Space,
    alpha: Tensor,
    allowed: Allowed,
    *,
    temperature: float = 1.0,
    groups: Sequence[Sequence[str]] | None = None,
    constants: dict[str, float] | None = None,
) -> Tensor:
    """[Z, E, O]: on each edge, and in each group of operations by itself, exp((alpha_o + w_o) / T) / sum of all of them."""
    rows = []
    for z in range(len(space.kinds)):
        for e in range(len(space.edges)):
            row = [torch.zeros((), dtype=torch.float64) for _ in space.operations]
            for group in groups or [space.operations]:
                members = [o for o, name in enumerate(space.operations) if name in group and allowed[z][e][o]]
                if members:
                    shift = [(constants or {}).get(space.operations[o], 0.0) for o in members]
                    logits = torch.stack([(alpha[z, e, o] + w) / temperature for o, w in zip(members, shift, strict=True)])
                    powers = (logits - logits.max().detach()).exp()
                    for o, power in zip(members, powers, strict=True):
                        row[o] = power / powers.sum()
            rows.append(torch.stack(row))
    return torch.stack(rows).view(len(space.kinds), len(space.edges), -1)


def equal_edges(space: Space, allowed: Allowed) -> Tensor:
    """[Z, E]: 1 where an operation may stand: the sum of DARTS' eq. 1."""
    return torch.tensor([[float(any(row)) for row in kind] for kind in allowed], dtype=torch.float64)


def edge_weights(space: Space, beta: Logits) -> Tensor:
    """[Z, E]: PC-DARTS eq. 2, a softmax over the edges into each node."""
    return torch.stack([torch.cat([beta[z, j].exp() / beta[z, j].exp().sum() for j in space.inner_nodes]) for z in range(len(space.kinds))])


def pair_weights(space: Space, beta: Logits, temperature: float) -> dict[tuple[int, int], Tensor]:
    """DOTS eq. 9, 10: a softmax at the temperature over the pairs of edges into each node."""
    shifted = {place: (logits / temperature - (logits / temperature).max().detach()).exp() for place, logits in beta.items()}
    return {place: powers / powers.sum() for place, powers in shifted.items()}


def edges_of_pairs(space: Space, weights: dict[tuple[int, int], Tensor]) -> Tensor:
    """[Z, E]: DOTS eq. 11, an edge weighs the sum over the pairs that hold it."""
    rows = []
    for z in range(len(space.kinds)):
        row = []
        for j in space.inner_nodes:
            held = list(combinations(incoming(space, j), 2))
            row += [sum(weights[z, j][s] for s, pair in enumerate(held) if e in pair) for e in incoming(space, j)]
        rows.append(torch.stack(row))
    return torch.stack(rows)
