"""What leaves one node of a search cell: every candidate operation on every outgoing edge, computed once a node. Knows no weights' origin.

All edges that leave a node read the same tensor:
- operations with weights are built once, as wide as there are edges that carry them (`nasarch.operations.build(groups=...)`); the
  last BN of each is not affine, so the mixing weights are handed to it as its weight (`Convolutions`);
- operations without weights and the bypassed channels give the same on every edge: computed once, they reach all targets by one
  1x1 convolution whose matrix holds mixing weights (`Direct`);
- `none` is never computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.operations import build
from nasarch.space import Space


def is_weightless(name: str, stride: int) -> bool:
    """Whether the operation gives the same on every edge that leaves a node."""
    return name in ("max_pool_3x3", "avg_pool_3x3") or (name == "skip_connect" and stride == 1)


class Convolutions(nn.Module):
    """Operations with weights along the same E edges: [B, C, H, W] and mix [O, E] -> for each edge a [B, C, H', W'], summed over O."""

    def __init__(self, names: Sequence[str], edges: int, channels: int, stride: int) -> None:
        super().__init__()
        self.edges, self.channels = edges, channels
        operations = [build(name, edges * channels, stride, groups=edges, affine=False) for name in names]
        self.bodies = nn.ModuleList([operation[1:-1] for operation in operations])  # type: ignore[index]  # one ReLU serves all
        self.norms = nn.ModuleList([operation[-1] for operation in operations])  # type: ignore[index]

    def forward(self, taken: Tensor, bypassed: Tensor, mix_OE: Tensor) -> tuple[Tensor, ...]:
        x = torch.cat([F.relu(taken)] * self.edges, dim=1)
        weights = mix_OE.repeat_interleave(self.channels, dim=1)
        parts = [_weighted_norm(norm, body(x), w) for body, norm, w in zip(self.bodies, self.norms, weights, strict=True)]
        return reduce(add, parts).unflatten(1, (self.edges, self.channels)).unbind(1)


def _weighted_norm(norm: nn.Module, x: Tensor, weight_C: Tensor) -> Tensor:
    """weight * norm(x), for a BN that is not affine."""
    assert isinstance(norm, nn.BatchNorm2d) and norm.momentum is not None
    return F.batch_norm(x, norm.running_mean, norm.running_var, weight_C, None, norm.training, norm.momentum, norm.eps)


class Direct(nn.Module):
    """Operations without weights, and the bypass, to all E targets of a node by one matrix of mixing weights [E * C, features].

    The features stand side by side: the taken channels themselves (skip), their poolings, the bypassed channels.
    """

    def __init__(self, names: Sequence[str], taken: int, bypassed: int, stride: int) -> None:
        super().__init__()
        self.channels = taken + bypassed
        self.pools = nn.ModuleList([_pool(name, taken, stride) for name in names])
        self.bypass = nn.Identity() if stride == 1 else nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, taken: Tensor, bypassed: Tensor, matrix: Tensor) -> tuple[Tensor, ...]:
        features = [pool(taken) for pool in self.pools]
        if bypassed.shape[1]:
            features.append(self.bypass(bypassed))
        out = F.conv2d(torch.cat(features, dim=1), matrix[:, :, None, None])
        return out.unflatten(1, (-1, self.channels)).unbind(1)


def _pool(name: str, channels: int, stride: int) -> nn.Module:
    """An operation without weights; in a search a BN that is not affine follows every pooling (Liu et al. 2019, code)."""
    pool = build(name, channels, stride)
    return pool if name == "skip_connect" else nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))


class Fan(nn.Module):
    """All that leaves one node of a cell: [B, C, H, W] -> (target, share) pairs, whose sums by target make the next nodes.

    A share has the C / K taken channels or all C of them. Mixing weights come from a table [E, O + 2] of the cell kind: its
    columns are the operations, their sum and zero. `entries` are the places in the flat table that `forward` wants, in order.
    """

    def __init__(self, space: Space, candidates_EO: Tensor, source: int, channels: int, stride: int, partial: int) -> None:
        super().__init__()
        taken = channels // partial
        self.widths = [taken, channels - taken]
        place_EO = torch.arange(len(space.edges) * (len(space.operations) + 2)).view(len(space.edges), -1)
        rows = [e for e, edge in enumerate(space.edges) if edge.source == source and candidates_EO[e].any()]
        carriers = {o: tuple(e for e in rows if candidates_EO[e, o]) for o, name in enumerate(space.operations) if name != "none"}
        used = [o for o in carriers if carriers[o]]
        weightless = [o for o in used if is_weightless(space.operations[o], stride)]
        weighted = [o for o in used if o not in weightless]

        self.shares = nn.ModuleList()
        self.contents: list[tuple[list[int], list[int]]] = []  # the edges and the operations of each share
        self.targets: list[list[int]] = []
        self.entries: list[Tensor] = []
        for edges in sorted({carriers[o] for o in weighted}):
            columns = [o for o in weighted if carriers[o] == edges]
            self.shares.append(Convolutions([space.operations[o] for o in columns], len(edges), taken, stride))
            self._reaches(space, list(edges), columns)
            self.entries.append(place_EO[list(edges)][:, columns].t())
        if weightless or (rows and partial > 1):
            self.shares.append(Direct([space.operations[o] for o in weightless], taken, channels - taken, stride))
            self._reaches(space, rows, weightless)
            self.entries.append(_matrix_entries(place_EO[rows], weightless, taken, channels))

    @property
    def is_linear(self) -> bool:
        """Whether it is one matrix of all channels: skip connections, with the bypass, and nothing else."""
        (share,) = self.shares if len(self.shares) == 1 else (None,)
        return isinstance(share, Direct) and [type(pool) for pool in share.pools] == [nn.Identity] and type(share.bypass) is nn.Identity

    def _reaches(self, space: Space, edges: list[int], columns: list[int]) -> None:
        self.contents.append((edges, columns))
        self.targets.append([space.edges[e].target for e in edges])

    def forward(self, x: Tensor, mixes: Sequence[Tensor]) -> list[tuple[int, Tensor]]:
        taken, bypassed = x.split(self.widths, dim=1)
        shares = [share(taken, bypassed, mix) for share, mix in zip(self.shares, mixes, strict=True)]
        return [pair for targets, share in zip(self.targets, shares, strict=True) for pair in zip(targets, share, strict=True)]


def _matrix_entries(place_EO: Tensor, columns: Sequence[int], taken: int, channels: int) -> Tensor:
    """[E * C, features]: feature m reaches channel c of the target of edge e by the weight of its operation (by the sum, if bypassed)."""
    total, zero = place_EO.shape[1] - 2, place_EO.shape[1] - 1
    channel_M = torch.cat([torch.arange(taken)] * len(columns) + [torch.arange(taken, channels)])
    column_M = torch.tensor(list(columns)).repeat_interleave(taken)
    column_M = torch.cat([column_M, torch.full((channels - taken,), total)]).long()
    reaches_CM = torch.arange(channels)[:, None] == channel_M
    return torch.where(reaches_CM, place_EO[:, None, column_M], place_EO[0, zero]).flatten(0, 1)
