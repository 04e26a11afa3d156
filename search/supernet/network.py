"""Supernet: candidates -> a network in which every candidate operation takes part. Knows operations and channels, not softmax.

A node is the sum over its incoming edges ij and their candidate operations o, weighted by a mixing table:

    x_j = sum_i sum_o mix[ij, o] * o(x_i[:C/K])       the first C / K channels (partial channel connections, K = `partial`)
    x_j = sum_i (sum_o mix[ij, o]) * x_i[C/K:]        the others bypass; both parts are concatenated and shuffled

which is PC-DARTS eq. 1 and 2 (Xu et al. 2020) with mix = softmax(alpha) * softmax(beta), and DARTS for K = 1. The mathematics is
per edge, the computation per source node (outgoing.py, with a picture of one node). tests/helpers/reference.py holds the literal per-edge
twin; both agree in float64 to rounding in outputs, loss and all gradients.

Tensors run in channels_last order, in which depthwise convolutions and BN are several times faster on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial, reduce
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells.space import NATS, Space
from nasarch.models.cell import ResidualReduction
from nasarch.models.operations import factorized_reduce, relu_conv_bn
from nasarch.models.skeleton import RESIDUAL, cell_specs
from nasarch.models.stem import build_stem
from nasarch.search.kernels import device
from nasarch.search.kernels.packed_weights import PackedWeights
from nasarch.search.kernels.pointwise import pointwise
from nasarch.search.kernels.spread_add import spread_add
from nasarch.search.kernels.streams import side_by_side

from .candidates import check_candidates
from .channel_sampling import Choice, Sampler
from .convolutions import Depthwise, NormedConv
from .outgoing import OutgoingEdges, are_alike, shuffle_order
from .selection import Selection


class SearchCell(nn.Module):
    """A cell with all candidates: c_{k-2}, c_{k-1} -> the concatenation of the inner nodes [B, C * nodes, H / stride, W / stride].

    Where skip connections are the only candidates between the inner nodes (FTSO's topology search), the nodes are linear in what
    comes from the inputs, and the cell is computed by one product with a composed matrix (`_linear`).
    """

    def __init__(
        self,
        space: Space,
        candidates_EO: Tensor,
        inputs: Sequence[nn.Module],
        channels: int,
        stride: int,
        partial: int,
        *,
        sampled: bool = False,
    ) -> None:
        super().__init__()
        self.preprocess = nn.ModuleList(inputs)
        self.inner, self.concat, self.channels, self.partial = space.inner_nodes, space.concat(), channels, partial
        order_C = torch.arange(channels) if sampled else shuffle_order(channels, partial)

        def outgoing(sources: Sequence[int], stride: int) -> OutgoingEdges:
            return OutgoingEdges(space, candidates_EO, sources, order_C, channels // partial, stride)

        alike = not sampled and are_alike(space, candidates_EO, range(space.inputs))
        of_inputs = [outgoing(range(space.inputs), stride)] if alike else [outgoing([i], stride) for i in range(space.inputs)]
        self.inputs_are_linear = all(edges.is_linear for edges in of_inputs)
        if self.inputs_are_linear:  # and have no weights
            of_inputs = [outgoing([i], stride) for i in range(space.inputs)]
        of_nodes = [outgoing([i], 1) for i in self.inner[:-1]]
        of_all = of_inputs + of_nodes
        self.outgoing, self.num_from_inputs = nn.ModuleList(of_all), len(of_inputs)
        self.sources, self.targets = [edges.sources for edges in of_all], [edges.targets for edges in of_all]
        self.mix_index = [edges.mix_index for edges in of_all]
        fed = {j for edges in of_inputs for targets in edges.targets for j in targets}
        self.is_linear = not sampled and all(edges.is_linear for edges in of_nodes) and fed == set(self.inner)

    def forward(self, previous: Tensor, current: Tensor, mixes: Sequence[Sequence[Tensor]], choices: Sequence[Choice] = ()) -> Tensor:
        """`mixes`: the mixing weights of each of `outgoing`, in the shapes of its `mix_index`.

        `choices`: of the nodes but the last, the channels that go through the operations, where they are sampled.
        """
        inputs = (previous, current)[-len(self.preprocess) :]
        calls = [partial(preprocess, x) for preprocess, x in zip(self.preprocess, inputs, strict=True)]
        states = side_by_side(calls, inputs)
        return self._linear(states, mixes) if self.is_linear else self._by_node(states, mixes, choices)

    def _by_node(self, states: list[Tensor], mixes: Sequence[Sequence[Tensor]], choices: Sequence[Choice]) -> Tensor:
        received: dict[int, list[Tensor]] = {j: [] for j in self.inner}
        for edges, sources, own in zip(self.outgoing, self.sources, mixes, strict=True):
            if sources[0] in received:
                states.append(self._node(received[sources[0]]))
            for target, share in edges([states[i] for i in sources], own, choices[sources[0]] if choices else None):
                received[target].append(share)
        states.append(self._node(received[self.inner[-1]]))
        return torch.cat([states[j] for j in self.concat], dim=1)

    def _node(self, shares: list[Tensor]) -> Tensor:
        """The sum of the shares; with partial channels those of the taken channels come to their places among the shuffled ones."""
        if self.partial == 1:
            return reduce(add, shares)
        full = [share for share in shares if share.shape[1] == self.channels]
        taken = [share for share in shares if share.shape[1] < self.channels]
        if taken and full and device.on_cuda(full[0]):
            return spread_add(full, taken)
        return reduce(add, full + ([self._widened(reduce(add, taken))] if taken else []))

    def _linear(self, states: list[Tensor], mixes: Sequence[Sequence[Tensor]]) -> Tensor:
        """Every node is a matrix [C, M] times a basis of M channels: the inputs, or what the nodes receive if those are not linear."""
        received: dict[int, list[Tensor]] = {j: [] for j in self.inner}
        maps: dict[int, Tensor] = {}
        if self.inputs_are_linear:
            basis = states
            maps.update(enumerate(self._unit(states)))
        else:
            for k in range(self.num_from_inputs):
                for target, share in self.outgoing[k]([states[i] for i in self.sources[k]], mixes[k]):
                    received[target].append(self._widened(share))
            basis = [reduce(add, received[j]) for j in self.inner]
            received = {j: [block] for j, block in zip(self.inner, self._unit(basis), strict=True)}
        for (i, *_), (targets, *_), own in zip(self.sources, self.targets, mixes, strict=True):
            if i in received:
                maps[i] = reduce(add, received[i])
            if i in maps:
                products = own[0].unflatten(0, (-1, self.channels)) @ maps[i]
                for target, product in zip(targets, products, strict=True):
                    received[target].append(product)
        maps[self.inner[-1]] = reduce(add, received[self.inner[-1]])
        matrix = torch.cat([maps[j] for j in self.concat])[:, :, None, None]
        if not self.inputs_are_linear:
            return pointwise(torch.cat(basis, dim=1), matrix)
        # two products, not one of the concatenation, whose gradient would reach the inputs' BN as slices: slow
        return reduce(add, map(pointwise, basis, matrix.split(self.channels, dim=1)))

    def _unit(self, basis: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The identity of the basis, in blocks of C rows."""
        return torch.eye(self.channels * len(basis), dtype=basis[0].dtype, device=basis[0].device).split(self.channels)

    def _widened(self, share: Tensor) -> Tensor:
        """A share of the taken channels as one of all channels after the shuffle: each is followed by K - 1 others, which are zero."""
        if share.shape[1] == self.channels:
            return share
        return F.pad(share.permute(0, 2, 3, 1).unsqueeze(4), (0, self.partial - 1)).flatten(3).permute(0, 3, 1, 2)


class Supernet(nn.Module):
    """The search network: images [B, 3, H, W] and a mixing table [Z, E, O] -> logits [B, num_classes].

    `candidates_ZEO` is a Boolean mask: what is not a candidate is not built, and its mixing weight has to be zero.

    With `random_channels` the channels that go through the operations are drawn anew in every training pass (channel_sampling.py), which
    takes more time and memory. Passes on the same batch then differ, so that finite differences (second order) see noise.

    In space `nats` the network is that of NATS-Bench's weight-sharing searches (Dong et al. 2021, code): no BN after a pooling, a BN and a
    ReLU before the global pooling. The BN of its operations keeps no running statistics there; in a search none are read.

    Raises:
        ValueError: `partial` does not divide the channels, or a node is left without any candidate.
    """

    mix_index: Tensor

    def __init__(
        self,
        space: Space,
        candidates_ZEO: Tensor,
        *,
        channels: int = 16,
        layers: int = 8,
        partial: int = 1,
        num_classes: int = 10,
        stem: str = "cifar",
        random_channels: bool = False,
    ) -> None:
        super().__init__()
        check_candidates(space, candidates_ZEO)
        if channels < 1 or partial < 1 or channels % partial:
            raise ValueError(f"partial={partial} does not divide {channels} channels: choose K among the divisors of the channels")
        self.two_inputs = space.inputs == 2
        blocks = build_stem(stem, 3, channels * (3 if self.two_inputs else 1), {})
        self.stem = nn.ModuleList([block.layers for block in blocks])
        widths, halved = [blocks[max(len(blocks) - 2, 0)].channels, blocks[-1].channels], len(blocks) > 1
        self.cells, mix_index = nn.ModuleList(), list[Tensor]()
        for kind, c, stride in cell_specs(space.name, layers, channels):
            if kind == RESIDUAL:
                self.cells.append(ResidualReduction(widths[1], c))
            else:
                z = space.kinds.index(kind)
                inputs = _preprocess(widths, c, halved) if self.two_inputs else [nn.Identity()]
                cell = SearchCell(space, candidates_ZEO[z], inputs, c, stride, partial, sampled=random_channels)
                self.cells.append(cell)
                mix_index += [index + z * len(space.edges) * (len(space.operations) + 2) for own in cell.mix_index for index in own]
            widths, halved = [widths[1], c * (1 if kind == RESIDUAL else len(space.concat()))], stride == 2
        self.search_cells = [cell for cell in self.cells if isinstance(cell, SearchCell)]
        drawn = [(len(cell.outgoing), cell.channels, cell.channels // partial) for cell in self.search_cells]
        self.sampler = Sampler(drawn) if random_channels else None
        self.sizes = [index.numel() for index in mix_index]
        self.register_buffer("mix_index", torch.cat([index.flatten() for index in mix_index]), persistent=False)
        self.selection = Selection(self.mix_index, len(space.operations) + 2)
        normed = [nn.BatchNorm2d(widths[1]), nn.ReLU()] if space.name == NATS.name else []
        self.head = nn.Sequential(*normed, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[1], num_classes))
        for norm in self.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.num_batches_tracked = None  # counts steps for a cumulative average, which nobody asks for: one launch saved each
        self.packed_weights = PackedWeights([layer for layer in self.modules() if isinstance(layer, (Depthwise, NormedConv))])
        self.to(memory_format=torch.channels_last)

    def forward(self, x_BCHW: Tensor, mix_ZEO: Tensor) -> Tensor:
        with self.packed_weights.used() if device.on_cuda(x_BCHW) else nullcontext():
            return self._logits(x_BCHW, mix_ZEO)

    def _logits(self, x_BCHW: Tensor, mix_ZEO: Tensor) -> Tensor:
        mixes = iter(self._gather(mix_ZEO))
        choices = iter(self.sampler(x_BCHW.device) if self.sampler else [()] * len(self.search_cells))
        states = [x_BCHW.contiguous(memory_format=torch.channels_last)]
        for block in self.stem:
            states.append(block(states[-1]))
        previous, current = self._read(states[-2] if len(self.stem) > 1 else states[-1]), self._read(states[-1])
        for cell in self.cells:
            output = cell(previous, current, next(mixes), next(choices)) if isinstance(cell, SearchCell) else cell(previous, current)
            previous, current = current, self._read(output)
        return self.head(output)

    def _read(self, state: Tensor) -> Tensor:
        """A state as the cells read it: two cells have a ReLU in front of it, one serves both (NATS-Bench cells read it as it is)."""
        return F.relu(state) if self.two_inputs else state

    def _gather(self, mix_ZEO: Tensor) -> list[list[list[Tensor]]]:
        """The mixing weights of each search cell, each of its `outgoing`, each of their branches: one gather for the whole network.

        `index_select`, since the gradient of indexing is summed by racing threads on a CPU: the same seed gave other cells. On CUDA
        that of `index_select` is, too; there a product with a constant matrix selects.
        """
        table = F.pad(torch.cat([mix_ZEO, mix_ZEO.sum(2, keepdim=True)], dim=2), (0, 1)).flatten()
        gathered = self.selection(table) if device.on_cuda(table) else table.index_select(0, self.mix_index)
        slices = iter(gathered.split(self.sizes))
        return [[[next(slices).view(index.shape) for index in own] for own in cell.mix_index] for cell in self.search_cells]


def _preprocess(widths: Sequence[int], channels: int, halved: bool) -> list[nn.Module]:
    """Bring c_{k-2} (twice as large if the previous cell halved the map) and c_{k-1} to `channels` channels of the same size.

    Without the ReLU at their start: see `Supernet._read`.
    """
    first = factorized_reduce if halved else relu_conv_bn
    blocks = [first(widths[0], channels, affine=False), relu_conv_bn(widths[1], channels, affine=False)]
    return [NormedConv(conv, norm) for _, conv, norm in blocks if isinstance(norm, nn.BatchNorm2d)]
