"""Cells of several networks as one: every operation is built once for all edges that carry it. Knows no network and no training.

The maps of N networks lie side by side, [B, N * C, H, W], those of network 0 first. Networks may differ in wiring and in operations:

| in a cell | the same in all networks | differs |
|---|---|---|
| inputs of the cell | a convolution in N groups each | |
| node j | how many edges it has | which earlier node each edge reads: a table, by which blocks of channels are gathered |
| operations of node j | | edges of one operation and stride, of whatever network, are one operation in as many groups |
| output | the inner nodes, which are brought together network by network | |

`operations.build` makes an operation in groups; its parameters are those of the single ones, one behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import compress
from operator import add
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from nasarch.cells import genotype
from nasarch.models.operations import HalvingConv, build, factorized_reduce, relu_conv_bn
from nasarch.models.skeleton import CellSpec


class Run(NamedTuple):
    """The channels `start` to `stop` of map number `source`; `again` if an earlier run has them, too."""

    source: int
    start: int
    stop: int
    again: bool = False


class Table(NamedTuple):
    """Index of a gather over channels: the runs that are gathered, in order, and the rest of the maps that they come from."""

    runs: tuple[Run, ...]
    rest: tuple[Run, ...]

    @classmethod
    def of(cls, blocks: Sequence[tuple[int, int]], channels: int, counts: Sequence[int]) -> Table:
        """Of blocks (map, number of the block in it) of `channels` channels; `counts` says how many each map has."""
        again = [block in blocks[:i] for i, block in enumerate(blocks)]
        sources = sorted({source for source, _ in blocks})
        rest = [(source, i) for source in sources for i in range(counts[source]) if (source, i) not in blocks]
        return cls(_joined(blocks, again, channels), _joined(rest, [False] * len(rest), channels))

    @property
    def sources(self) -> list[int]:
        """The maps that it takes from."""
        return sorted({run.source for run in self.runs})


def _joined(blocks: Sequence[tuple[int, int]], again: Sequence[bool], channels: int) -> tuple[Run, ...]:
    """Blocks as runs, neighbours in one."""
    runs: list[Run] = []
    for (source, number), known in zip(blocks, again, strict=True):
        new = Run(source, number * channels, (number + 1) * channels, known)
        last = runs[-1] if runs else None
        if last is not None and (last.source, last.stop, last.again) == (source, new.start, known):
            runs[-1] = last._replace(stop=new.stop)
        else:
            runs.append(new)
    return tuple(runs)


def _of(x: Tensor, run: Run) -> Tensor:
    return x.narrow(1, run.start, run.stop - run.start)


class _Gathered(Function):
    """Channels of several maps side by side. The gradient of each map is written once, however many runs are taken from it."""

    @staticmethod
    def forward(ctx: Any, table: Table, *maps: Tensor) -> Tensor:
        ctx.table, ctx.shapes = table, [x.shape for x in maps]
        sources = dict(zip(table.sources, maps, strict=True))
        return torch.cat([_of(sources[run.source], run) for run in table.runs], dim=1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        like: dict[str, Any] = {"dtype": g.dtype, "device": g.device, "memory_format": torch.channels_last}
        gradients = {source: torch.empty(shape, **like) for source, shape in zip(ctx.table.sources, ctx.shapes, strict=True)}
        pieces = g.split([run.stop - run.start for run in ctx.table.runs], dim=1)
        for run, piece in zip(ctx.table.runs, pieces, strict=True):
            target = _of(gradients[run.source], run)
            target.add_(piece) if run.again else target.copy_(piece)
        for run in ctx.table.rest:
            _of(gradients[run.source], run).zero_()
        return None, *gradients.values()


def gathered(table: Table, maps: Sequence[Tensor]) -> Tensor:
    """The channels of the table, side by side; a map itself if the table is all of it."""
    if len(table.runs) == 1 and not table.rest:
        return maps[table.runs[0].source]
    return _Gathered.apply(table, *[maps[i] for i in table.sources])


def through(operation: nn.Module, x: Tensor) -> Tensor:
    """The operation; what halves a map in groups keeps the order of x in memory."""
    if not isinstance(operation, nn.Sequential):
        return operation(x)
    for layer in operation:
        order = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        x = layer(x).contiguous(memory_format=order) if isinstance(layer, HalvingConv) else layer(x)
    return x


class Copy(NamedTuple):
    """The k-th edge of a node of network `network`."""

    network: int
    k: int


class FusedNode(nn.Module):
    """A node of N networks: [B, N * C, H, W] for each earlier node -> the same for this one.

    `edges_NK` are the edges of the node in each network, as many in all of them; `masks_NK` says which drop path mask each one has.
    """

    masks_KN: Tensor

    def __init__(
        self, edges_NK: Sequence[Sequence[genotype.Op]], masks_NK: Sequence[Sequence[int]], channels: int, stride: int, inputs: int
    ) -> None:
        super().__init__()
        self.channels, self.edges_NK = channels, edges_NK
        self.copies: dict[tuple[str, int], list[Copy]] = {}
        for k in range(len(edges_NK[0])):
            for n, edges in enumerate(edges_NK):
                key = edges[k].operation, stride if edges[k].source < inputs else 1
                self.copies.setdefault(key, []).append(Copy(n, k))
        groups = list(self.copies.values())
        self.operations = nn.ModuleList(
            [build(name, len(group) * channels, s, groups=len(group)) for (name, s), group in zip(self.copies, groups, strict=True)]
        )
        count = len(edges_NK)
        earlier = [count] * (1 + max(edge.source for edges in edges_NK for edge in edges))
        self.reads = [Table.of([(edges_NK[n][k].source, n) for n, k in group], channels, earlier) for group in groups]
        self.rectified = [isinstance(op, nn.Sequential) and isinstance(op[0], nn.ReLU) for op in self.operations]
        for op, rectified in zip(self.operations, self.rectified, strict=True):
            if rectified:
                op[0] = nn.Identity()  # type: ignore[operator]
        self.reads_positive = {i for table in compress(self.reads, self.rectified) for i in table.sources}
        position = {copy: (g, i) for g, group in enumerate(groups) for i, copy in enumerate(group)}
        slots = range(len(edges_NK[0]))
        sizes = [len(group) for group in groups]
        self.slots = [Table.of([position[Copy(n, k)] for n in range(count)], channels, sizes) for k in slots]
        self.register_buffer("masks_KN", torch.tensor([[masks_NK[n][k] for n in range(count)] for k in slots]), persistent=False)
        self.drop_together = [len({masks_NK[n][k] for n in range(count)}) == 1 for k in slots]

    def forward(self, states: Sequence[Tensor], positive: Sequence[Tensor], masks_BM: Tensor | None) -> Tensor:
        """`positive` are the positive parts of the states, which operations read that begin with a ReLU."""
        sources = [positive if rectified else states for rectified in self.rectified]
        outs = [through(op, gathered(w, x)) for op, w, x in zip(self.operations, self.reads, sources, strict=True)]
        terms = outs[0].chunk(len(self.slots), dim=1) if len(outs) == 1 else [gathered(slot, outs) for slot in self.slots]
        if masks_BM is None:
            return reduce(add, terms)
        first, *others = [self._scale(masks_BM, k) for k in range(len(terms))]
        total = terms[0] * first
        for x, scale in zip(terms[1:], others, strict=True):
            total = torch.addcmul(total, x, scale)
        return total

    def _scale(self, masks_BM: Tensor, k: int) -> Tensor:
        """What term `k` is multiplied by: [B, N * C, 1, 1], or [B, 1, 1, 1] where all networks drop together."""
        if self.drop_together[k]:
            return masks_BM.index_select(1, self.masks_KN[k, :1])[:, :, None, None]
        return masks_BM.index_select(1, self.masks_KN[k]).repeat_interleave(self.channels, dim=1)[:, :, None, None]


class FusedCell(nn.Module):
    """The cells of N networks at one place: c_{k-2} [B, N * C'', ...] and c_{k-1} [B, N * C', ...] -> [B, N * C * nodes, H', W'].

    `masks` counts the drop path masks that each network has drawn before this cell, and is moved on.
    """

    def __init__(
        self, cells: Sequence[genotype.Cell], spec: CellSpec, previous: int, current: int, *, previous_is_larger: bool, masks: list[int]
    ) -> None:
        super().__init__()
        self.count, self.channels, c = len(cells), spec.channels, spec.channels * len(cells)
        shrink = factorized_reduce if previous_is_larger else relu_conv_bn
        self.preprocess = nn.ModuleList(
            [shrink(self.count * previous, c, groups=self.count), relu_conv_bn(self.count * current, c, groups=self.count)]
        )
        first = cells[0]
        self.nodes = nn.ModuleDict()
        for j in first.inner_nodes:
            edges_NK = [cell.edges_of(j) for cell in cells]
            masks_NK = _masks(edges_NK, masks, spec.stride, first.inputs)
            self.nodes[str(j)] = FusedNode(edges_NK, masks_NK, spec.channels, spec.stride, first.inputs)
        nodes = [node for node in self.nodes.values() if isinstance(node, FusedNode)]
        self.rectified = {i for node in nodes for i in node.reads_positive}
        self.output = Table.of(
            [(j, n) for n in range(self.count) for j in range(len(self.nodes))], self.channels, [self.count] * len(self.nodes)
        )
        self.out_channels = len(first.inner_nodes) * spec.channels

    def forward(self, previous: Tensor, current: Tensor, masks_BM: Tensor | None) -> Tensor:
        states = [through(layers, x) for layers, x in zip(self.preprocess, (previous, current), strict=True)]
        positive = [F.relu(x) if i in self.rectified else x for i, x in enumerate(states)]
        for node in self.nodes.values():
            x = node(states, positive, masks_BM)
            states.append(x)
            positive.append(F.relu(x) if len(positive) in self.rectified else x)
        return gathered(self.output, states[2:])


def _masks(edges_NK: Sequence[Sequence[genotype.Op]], drawn: list[int], stride: int, inputs: int) -> list[list[int]]:
    """Which mask each edge has: a network draws one for each edge in its order, but for identities, whose mask is number 0, all ones."""
    masks = []
    for n, edges in enumerate(edges_NK):
        row = []
        for edge in edges:
            is_identity = edge.operation == "skip_connect" and (stride == 1 or edge.source >= inputs)
            drawn[n] += not is_identity
            row.append(0 if is_identity else drawn[n])
        masks.append(row)
    return masks
