"""Outgoing edges of a node of a search cell: every candidate operation on each of them, computed once a node. Knows no softmax.

All edges that leave a node read the same tensor:
- operations with weights are built once, as wide as there are edges that carry them (convolutions.py);
- operations without weights and the bypassed channels give the same on every edge: computed once, they reach all targets by one
  1x1 convolution whose matrix holds mixing weights, its rows in the order of the shuffled channels (`WeightFreeOperations`);
- own operations (`nasarch.register_operation`) are computed edge by edge (own_operation.py);
- `none` is never computed;
- two nodes whose edges reach the same nodes by the same operations (the inputs of most cells) leave together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells.space import NATS, OWN_OPERATIONS, Space
from nasarch.models.operations import build
from nasarch.search.kernels.average_pool import AveragePool, MaxPool
from nasarch.search.kernels.batch_norm import contiguous_gradient
from nasarch.search.kernels.channels import divided, joined
from nasarch.search.kernels.pointwise import pointwise
from nasarch.search.kernels.recompute import normalized
from nasarch.search.kernels.streams import side_by_side

from .channel_sampling import Choice, reordered, returned
from .convolutions import Convolutions
from .own_operation import OwnOperation


def is_weight_free(name: str, stride: int) -> bool:
    """Whether the operation gives the same on every edge that leaves a node."""
    return name in ("max_pool_3x3", "avg_pool_3x3") or (name == "skip_connect" and stride == 1)


class WeightFreeOperations(nn.Module):
    """Operations without weights, and the bypass, to all E targets of a node by one matrix of mixing weights [E * C, features].

    The features stand side by side: the taken channels themselves (skip), their poolings, the bypassed channels.

    Args:
        normalized: a BN without affine parameters follows every pooling (Liu et al. 2019, code); NATS-Bench's poolings have none.
    """

    def __init__(self, names: Sequence[str], taken: int, channels: int, bypassed: int, stride: int, *, normalized: bool) -> None:
        super().__init__()
        self.channels = channels
        self.pools = nn.ModuleList([_pool(name, taken, stride, normalized) for name in names])
        self.bypass = nn.Identity() if stride == 1 else nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, taken: Tensor, bypassed: Tensor, matrix: Tensor) -> tuple[Tensor, ...]:
        features = [pool(taken) if isinstance(pool, NormedPool) else contiguous_gradient(pool(taken)) for pool in self.pools]
        if bypassed.shape[1]:
            features.append(self.bypass(bypassed))
        out = pointwise(joined(features), matrix[:, :, None, None])
        return divided(out, [self.channels] * (len(matrix) // self.channels))


POOLS = {"avg_pool_3x3": AveragePool, "max_pool_3x3": MaxPool}


def _pool(name: str, channels: int, stride: int, normalized: bool) -> nn.Module:
    pool = POOLS[name](stride) if name in POOLS else build(name, channels, stride)
    return NormedPool(pool, channels) if normalized and name != "skip_connect" else pool


class NormedPool(nn.Module):
    """A pooling and its BN."""

    def __init__(self, pool: nn.Module, channels: int) -> None:
        super().__init__()
        self.pool, self.norm = pool, nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return normalized(self.pool(x), self.norm)


class OutgoingEdges(nn.Module):
    """All edges that leave one node of a cell, or two that are alike: [B, C, H, W] each -> (target, share) pairs, whose sums by target
    make the next nodes. A share has the C / K taken channels or all C of them.

    Node 2, say, whose edges to the nodes 3 and 4 have a separable convolution and a skip connection as candidates, has two branches:

             +-- sep_conv, two edges wide ----> channels 0 .. C-1,  by mix[2->3, sep]   --> node 3
             |                                  channels C .. 2C-1, by mix[2->4, sep]   --> node 4
        x_2 -+
             +-- skip, one matrix [2 * C, C] -> rows 0 .. C-1,  diagonal mix[2->3, skip] --> node 3
                                                rows C .. 2C-1, diagonal mix[2->4, skip] --> node 4

    `mix_index` has a tensor for each branch: the index into the flat mixing table [E, O + 2] of the cell kind, whose columns are the
    operations, their sum and zero, of every mixing weight that the branch needs. `forward` takes the weights in the same shapes.

    Args:
        order_C: the channels in the order in which the next nodes have them.
        taken: number of channels that go through the operations.
    """

    def __init__(self, space: Space, candidates_EO: Tensor, sources: Sequence[int], order_C: Tensor, taken: int, stride: int) -> None:
        super().__init__()
        channels = len(order_C)
        self.sources, self.widths = tuple(sources), [taken, channels - taken]
        index_EO = torch.arange(len(space.edges) * (len(space.operations) + 2)).view(len(space.edges), -1)
        rows_S = [[e for e, edge in enumerate(space.edges) if edge.source == i and candidates_EO[e].any()] for i in sources]
        index_SEO, left_EO = index_EO[torch.tensor(rows_S, dtype=torch.long)], candidates_EO[rows_S[0]]
        carriers = {o: tuple(left_EO[:, o].nonzero().flatten().tolist()) for o, name in enumerate(space.operations) if name != "none"}
        used = [o for o in carriers if carriers[o]]
        weight_free = [o for o in used if is_weight_free(space.operations[o], stride)]
        own = [o for o in used if space.operations[o] in OWN_OPERATIONS]
        weighted = [o for o in used if o not in (*weight_free, *own)]

        self.branches = nn.ModuleList()
        self.mix_index: list[Tensor] = []
        self.contents: list[tuple[list[list[int]], list[int]]] = []  # of each branch: the edges by source, the operations
        for edges in sorted({carriers[o] for o in weighted}):
            names = [space.operations[o] for o in weighted if carriers[o] == edges]
            branch = Convolutions(names, len(sources), len(edges), taken, stride)
            columns = [[space.operations.index(name) for name in family] for family in branch.names]
            blocks = [index_SEO[:, list(edges)][:, :, family].transpose(1, 2).flatten() for family in columns]
            self._add(branch, torch.cat(blocks), [[rows[e] for e in edges] for rows in rows_S], sum(columns, []))
        for o in own:
            operation = OwnOperation(space.operations[o], len(sources), len(carriers[o]), taken, stride)
            self._add(operation, index_SEO[:, list(carriers[o]), o].flatten(), [[rows[e] for e in carriers[o]] for rows in rows_S], [o])
        if weight_free or (rows_S[0] and taken < channels):
            names = [space.operations[o] for o in weight_free]
            bypassed, normalized = len(sources) * (channels - taken), space.name != NATS.name
            matrix = WeightFreeOperations(names, len(sources) * taken, channels, bypassed, stride, normalized=normalized)
            self._add(matrix, _matrix_index(index_SEO, weight_free, taken, order_C), rows_S, weight_free)
        self.targets = [[space.edges[e].target for e in edges[0]] for edges, _ in self.contents]

    @property
    def is_linear(self) -> bool:
        """Whether it is one matrix of all channels: skip connections, with the bypass, and nothing else."""
        (branch,) = self.branches if len(self.branches) == 1 else (None,)
        return (
            isinstance(branch, WeightFreeOperations)
            and [type(pool) for pool in branch.pools] == [nn.Identity]
            and type(branch.bypass) is nn.Identity
        )

    def _add(self, branch: nn.Module, mix_index: Tensor, edges: list[list[int]], columns: list[int]) -> None:
        self.branches.append(branch)
        self.mix_index.append(mix_index)
        self.contents.append((edges, columns))

    def forward(self, xs: Sequence[Tensor], mixes: Sequence[Tensor], choice: Choice | None = None) -> list[tuple[int, Tensor]]:
        """`mixes`: the mixing weights of each branch, in the shapes of `mix_index`; `choice`: the taken channels, where sampled."""
        if choice is not None:
            xs = [reordered(x.permute(0, 2, 3, 1), choice, 3).permute(0, 3, 1, 2) for x in xs]
        taken, bypassed = map(joined, zip(*[divided(x, self.widths) for x in xs], strict=True))
        calls = [
            partial(branch, taken, bypassed, mix) if choice is None else partial(self._sampled, branch, taken, bypassed, mix, choice)
            for branch, mix in zip(self.branches, mixes, strict=True)
        ]
        pairs: list[tuple[int, Tensor]] = []
        for targets, shares in zip(self.targets, side_by_side(calls, [taken, bypassed, *mixes]), strict=True):
            pairs += zip(targets, shares, strict=True)
        return pairs

    def _sampled(self, branch: nn.Module, taken: Tensor, bypassed: Tensor, mix: Tensor, choice: Choice) -> Sequence[Tensor]:
        """The shares of all channels, which have returned to their places."""
        if isinstance(branch, WeightFreeOperations):
            return branch(taken, bypassed, returned(mix.unflatten(0, (-1, sum(self.widths))), choice, 1).flatten(0, 1))
        wide = [F.pad(part.permute(0, 2, 3, 1), (0, self.widths[1])) for part in branch(taken, bypassed, mix)]
        return [returned(part, choice, 3).permute(0, 3, 1, 2) for part in wide]


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


def _matrix_index(index_SEO: Tensor, columns: Sequence[int], taken: int, order_C: Tensor) -> Tensor:
    """[E * C, features]: a feature reaches its channel of the target of an edge by the weight of its operation (their sum, if bypassed).

    The features of an operation are the taken channels of all sources; the bypassed channels of all sources come last.
    """
    total, zero, channels = index_SEO.shape[2] - 2, index_SEO[0, 0, -1], len(order_C)
    blocks = [(column, s, torch.arange(taken)) for column in columns for s in range(len(index_SEO))]
    blocks += [(total, s, torch.arange(taken, channels)) for s in range(len(index_SEO)) if taken < channels]
    parts = [torch.where(order_C[:, None] == channel, index_SEO[s, :, None, column, None], zero) for column, s, channel in blocks]
    return torch.cat(parts, dim=2).flatten(0, 1)
