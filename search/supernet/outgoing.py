"""What leaves a node of a search cell: every candidate operation on every outgoing edge, computed once a node. Knows no weights' origin.

All edges that leave a node read the same tensor:
- operations with weights are built once, as wide as there are edges that carry them (convolutions.py);
- operations without weights and the bypassed channels give the same on every edge: computed once, they reach all targets by one
  1x1 convolution whose matrix holds mixing weights, its rows in the order of the shuffled channels (`WeightFreeOperations`);
- `none` is never computed;
- two nodes whose edges reach the same nodes by the same operations (the inputs of most cells) leave together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells.space import Space
from nasarch.models.operations import build

from .channel_sampling import Choice, reordered, returned
from .convolutions import Convolutions


def is_weightless(name: str, stride: int) -> bool:
    """Whether the operation gives the same on every edge that leaves a node."""
    return name in ("max_pool_3x3", "avg_pool_3x3") or (name == "skip_connect" and stride == 1)


class WeightFreeOperations(nn.Module):
    """Operations without weights, and the bypass, to all E targets of a node by one matrix of mixing weights [E * C, features].

    The features stand side by side: the taken channels themselves (skip), their poolings, the bypassed channels.
    """

    def __init__(self, names: Sequence[str], taken: int, channels: int, bypassed: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.pools = nn.ModuleList([_pool(name, taken, stride) for name in names])
        self.bypass = nn.Identity() if stride == 1 else nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, taken: Tensor, bypassed: Tensor, matrix: Tensor) -> tuple[Tensor, ...]:
        features = [pool(taken) for pool in self.pools]
        if bypassed.shape[1]:
            features.append(self.bypass(bypassed))
        out = F.conv2d(torch.cat(features, dim=1), matrix[:, :, None, None])
        return out.split(self.channels, dim=1)


def _pool(name: str, channels: int, stride: int) -> nn.Module:
    """An operation without weights; in a search a BN that is not affine follows every pooling (Liu et al. 2019, code)."""
    pool = build(name, channels, stride)
    return pool if name == "skip_connect" else nn.Sequential(pool, nn.BatchNorm2d(channels, affine=False))


class OutgoingEdges(nn.Module):
    """All that leaves one node of a cell, or two that are alike: [B, C, H, W] each -> (target, share) pairs, whose sums by target make
    the next nodes.

    A share has the C / K taken channels or all C of them. Mixing weights come from a table [E, O + 2] of the cell kind: its
    columns are the operations, their sum and zero. `entries` are the places in the flat table that `forward` wants, in order.
    `order_C` are the channels in the order in which the next nodes have them.
    """

    def __init__(self, space: Space, candidates_EO: Tensor, sources: Sequence[int], order_C: Tensor, taken: int, stride: int) -> None:
        super().__init__()
        channels = len(order_C)
        self.sources, self.widths = tuple(sources), [taken, channels - taken]
        place_EO = torch.arange(len(space.edges) * (len(space.operations) + 2)).view(len(space.edges), -1)
        rows_S = [[e for e, edge in enumerate(space.edges) if edge.source == i and candidates_EO[e].any()] for i in sources]
        place_SEO, found_EO = place_EO[torch.tensor(rows_S, dtype=torch.long)], candidates_EO[rows_S[0]]
        carriers = {o: tuple(found_EO[:, o].nonzero().flatten().tolist()) for o, name in enumerate(space.operations) if name != "none"}
        used = [o for o in carriers if carriers[o]]
        weightless = [o for o in used if is_weightless(space.operations[o], stride)]
        weighted = [o for o in used if o not in weightless]

        self.shares = nn.ModuleList()
        self.contents: list[tuple[list[list[int]], list[int]]] = []  # of each share: the edges by source, the operations
        self.entries: list[Tensor] = []
        for edges in sorted({carriers[o] for o in weighted}):
            names = [space.operations[o] for o in weighted if carriers[o] == edges]
            share = Convolutions(names, len(sources), len(edges), taken, stride)
            columns = [[space.operations.index(name) for name in family] for family in share.names]
            blocks = [place_SEO[:, list(edges)][:, :, family].transpose(1, 2).flatten() for family in columns]
            self._add(share, torch.cat(blocks), [[rows[e] for e in edges] for rows in rows_S], sum(columns, []))
        if weightless or (rows_S[0] and taken < channels):
            names = [space.operations[o] for o in weightless]
            direct = WeightFreeOperations(names, len(sources) * taken, channels, len(sources) * (channels - taken), stride)
            self._add(direct, _matrix_entries(place_SEO, weightless, taken, order_C), rows_S, weightless)
        self.targets = [[space.edges[e].target for e in edges[0]] for edges, _ in self.contents]

    @property
    def is_linear(self) -> bool:
        """Whether it is one matrix of all channels: skip connections, with the bypass, and nothing else."""
        (share,) = self.shares if len(self.shares) == 1 else (None,)
        return (
            isinstance(share, WeightFreeOperations)
            and [type(pool) for pool in share.pools] == [nn.Identity]
            and type(share.bypass) is nn.Identity
        )

    def _add(self, share: nn.Module, entries: Tensor, edges: list[list[int]], columns: list[int]) -> None:
        self.shares.append(share)
        self.entries.append(entries)
        self.contents.append((edges, columns))

    def forward(self, xs: Sequence[Tensor], mixes: Sequence[Tensor], choice: Choice | None = None) -> list[tuple[int, Tensor]]:
        if choice is not None:
            xs = [reordered(x.permute(0, 2, 3, 1), choice, 3).permute(0, 3, 1, 2) for x in xs]
        taken, bypassed = map(_joined, zip(*[x.split(self.widths, dim=1) for x in xs], strict=True))
        run = self._run if choice is None else partial(self._run_sampled, choice)
        shares = [run(share, taken, bypassed, mix) for share, mix in zip(self.shares, mixes, strict=True)]
        return [pair for targets, share in zip(self.targets, shares, strict=True) for pair in zip(targets, share, strict=True)]

    def _run(self, share: nn.Module, taken: Tensor, bypassed: Tensor, mix: Tensor) -> Sequence[Tensor]:
        return share(taken, bypassed, mix)

    def _run_sampled(self, choice: Choice, share: nn.Module, taken: Tensor, bypassed: Tensor, mix: Tensor) -> Sequence[Tensor]:
        """The shares of all channels, which have returned to their places."""
        if isinstance(share, WeightFreeOperations):
            return share(taken, bypassed, returned(mix.unflatten(0, (-1, sum(self.widths))), choice, 1).flatten(0, 1))
        wide = [F.pad(part.permute(0, 2, 3, 1), (0, self.widths[1])) for part in share(taken, bypassed, mix)]
        return [returned(part, choice, 3).permute(0, 3, 1, 2) for part in wide]


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def are_alike(space: Space, candidates_EO: Tensor, sources: Sequence[int]) -> bool:
    """Whether these nodes reach the same nodes by the same operations."""
    tables = []
    for i in sources:
        rows = {edge.target: candidates_EO[e] for e, edge in enumerate(space.edges) if edge.source == i}
        tables.append(torch.stack([rows.get(j, torch.zeros_like(candidates_EO[0])) for j in space.inner_nodes]))
    return all(torch.equal(table, tables[0]) for table in tables)


def shuffle_order(channels: int, partial: int) -> Tensor:
    """[C]: the channel that comes to each place when `partial` blocks of channels are shuffled, 0, C / K, 2 C / K, ..., 1, ..."""
    return torch.arange(channels).view(partial, -1).t().flatten()


def _matrix_entries(place_SEO: Tensor, columns: Sequence[int], taken: int, order_C: Tensor) -> Tensor:
    """[E * C, features]: a feature reaches its channel of the target of an edge by the weight of its operation (their sum, if bypassed).

    The features of an operation are the taken channels of all sources; the bypassed channels of all sources come last.
    """
    total, zero, channels = place_SEO.shape[2] - 2, place_SEO[0, 0, -1], len(order_C)
    blocks = [(column, s, torch.arange(taken)) for column in columns for s in range(len(place_SEO))]
    blocks += [(total, s, torch.arange(taken, channels)) for s in range(len(place_SEO)) if taken < channels]
    found = [torch.where(order_C[:, None] == channel, place_SEO[s, :, None, column, None], zero) for column, s, channel in blocks]
    return torch.cat(found, dim=2).flatten(0, 1)
