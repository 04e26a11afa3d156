"""Candidate operations of a search: Boolean masks [Z, E, O]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from nasarch.cells.space import Space


def check_candidates(space: Space, candidates_ZEO: Tensor) -> None:
    """Raise ValueError unless the mask has the space's shape and leaves every inner node an incoming edge."""
    shape = (len(space.kinds), len(space.edges), len(space.operations))
    if tuple(candidates_ZEO.shape) != shape or candidates_ZEO.dtype != torch.bool:
        given = f"{candidates_ZEO.dtype} {list(candidates_ZEO.shape)}"
        raise ValueError(f"candidates are {given}: space {space.name!r} needs a Boolean mask {list(shape)}")
    for z, kind in enumerate(space.kinds):
        for j in space.inner_nodes:
            rows = [e for e, edge in enumerate(space.edges) if edge.target == j]
            if not candidates_ZEO[z, rows].any():
                raise ValueError(f"node {j} of the {kind} cell has no candidate left: keep an operation on one of its edges at least")


def all_candidates(space: Space) -> Tensor:
    """Every operation on every edge: a mask [Z, E, O]."""
    return torch.ones(len(space.kinds), len(space.edges), len(space.operations), dtype=torch.bool)


def only(space: Space, *names: str) -> Tensor:
    """These operations alone on every edge: a mask [Z, E, O].

    Raises:
        ValueError: an operation is not one of the space's candidates.
    """
    space.check_operations(names)
    allowed = torch.tensor([name in names for name in space.operations])
    return all_candidates(space) & allowed


def on(space: Space, edges: Mapping[str, Iterable[int]]) -> Tensor:
    """Every operation on these edges of each cell kind, none on the others: a mask [Z, E, O]."""
    mask = torch.zeros_like(all_candidates(space))
    for z, kind in enumerate(space.kinds):
        mask[z, list(edges[kind])] = True
    return mask


def winners(weight_ZEO: Tensor, candidates_ZEO: Tensor, groups_GO: Tensor) -> Tensor:
    """The candidate of the greatest weight in each group of operations, on every edge that has one: a mask [Z, E, O]."""
    selected = torch.zeros_like(candidates_ZEO)
    for group_O in groups_GO:
        members = candidates_ZEO & group_O
        best = weight_ZEO.masked_fill(~members, -torch.inf).argmax(2, keepdim=True)
        selected |= torch.zeros_like(selected).scatter(2, best, True) & members
    return selected
