"""A cell of a genotype as a module, and the residual block that NATS-Bench puts between stages.

A node is the sum of its edges, an edge is an operation on an earlier node, the output is the concatenation of some nodes. Of the genotype
only what the output depends on is built: no edges without effect, no nodes that nobody reads (every parameter gets a gradient).
Modules are named by the genotype: `nodes.4.edges.0.op` is the first edge of node 4, in the published order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells import genotype

from .operations import build, dilated, factorized_reduce, relu_conv_bn


class Zero(nn.Module):
    """Zeros of the shape of an edge's output: what a node all of whose edges are `none` holds (SNAS), whatever its source holds."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        height, width = (x.shape[2] + self.stride - 1) // self.stride, (x.shape[3] + self.stride - 1) // self.stride
        return x.new_zeros((x.shape[0], self.channels, height, width))


class Node(nn.Module):
    """The sum of `edges`, the i-th of which reads state `sources[i]`: its positive part if `rectified[i]`.

    `drop_path` drops the sum, as FairDARTS' code does; the edges have their own, as DARTS' code has it (`CellNetwork.set_drop_path`).
    """

    def __init__(self, sources: Sequence[int], edges: Sequence[nn.Module], rectified: Sequence[bool]) -> None:
        super().__init__()
        self.sources, self.rectified = list(sources), list(rectified)
        self.edges = nn.ModuleList(edges)
        self.drop_path = DropPath(0.0)

    def forward(self, states: list[Tensor], positive: list[Tensor]) -> Tensor:
        total = states[0]
        for i, edge in enumerate(self.edges):
            source = self.sources[i]
            term = edge(positive[source] if self.rectified[i] else states[source])
            total = term if i == 0 else total + term
        return self.drop_path(total)


def _edge(operation: str, channels: int, stride: int, drop_path_rate: float, dd: dict[str, Any]) -> tuple[nn.Module, bool]:
    """The operation without its first ReLU, after it the drop path, which an identity goes without (Larsson et al. 2017 as Liu et
    al. 2019 use it), and whether there was a ReLU: the cell computes it once for all edges that leave a state."""
    module = build(operation, channels, stride, **dd)
    rectified = False
    if isinstance(module, nn.Sequential) and isinstance(module[0], nn.ReLU):
        module[0], rectified = nn.Identity(), True
    if operation == "skip_connect" and stride == 1:
        return module, rectified
    return nn.Sequential(OrderedDict(op=module, drop_path=DropPath(drop_path_rate))), rectified


def _node(
    cell: genotype.Cell, node: int, state: dict[int, int], channels: int, stride: int, drop_path_rate: float, dd: dict[str, Any]
) -> Node:
    """Inner node `node`; `state` says where the output of each node lies. Edges from the inputs of the cell have its stride."""
    edges = [edge for edge in cell.edges_of(node) if edge.operation != "none"]
    if not edges:
        return Node([1], [Zero(channels, stride)], [False])
    strides = [stride if edge.source < cell.inputs else 1 for edge in edges]
    built = [_edge(edge.operation, channels, s, drop_path_rate, dd) for edge, s in zip(edges, strides, strict=True)]
    return Node([state[edge.source] for edge in edges], [module for module, _ in built], [rectified for _, rectified in built])


def needed(cell: genotype.Cell) -> frozenset[int]:
    """The nodes, the inputs among them, that the output of `cell` depends on."""
    states = set(cell.live_concat)
    for node in reversed(cell.live):
        if node in states:
            states |= {edge.source for edge in cell.edges_of(node) if edge.operation != "none"}
    return frozenset(states)


class Cell(nn.Module):
    """A cell whose inner nodes have `channels` channels: `out_channels` is that times the number of nodes in its output.

    c_{k-2} [B, C'', H, W] (twice as high and wide if `previous_is_larger`) and c_{k-1} [B, C', H, W] ->
    [B, out_channels, H / stride, W / stride], sizes rounded up. A cell of one input (NATS-Bench) reads c_{k-1}, which has
    `channels` channels, as it is; a cell of two brings both to `channels` channels first.

    States 0 and 1 are c_{k-2} and c_{k-1}; the inner nodes follow in their order. Most operations begin with a ReLU: it is computed once
    a state, not once an edge.
    """

    def __init__(
        self,
        cell: genotype.Cell,
        previous_channels: int,
        current_channels: int,
        channels: int,
        *,
        stride: int = 1,
        previous_is_larger: bool = False,
        drop_path_rate: float = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        dd = {"device": device, "dtype": dtype}
        used = needed(cell)
        self.preprocess = nn.ModuleList([nn.Identity(), nn.Identity()])
        if cell.inputs == 2 and 0 in used:
            shrink = factorized_reduce if previous_is_larger else relu_conv_bn
            self.preprocess[0] = shrink(previous_channels, channels, **dd)
        if cell.inputs == 2 and 1 in used:
            self.preprocess[1] = relu_conv_bn(current_channels, channels, **dd)
        inner = [j for j in cell.live if j in used]
        state = {j: i for i, j in enumerate([*range(cell.inputs), *inner], start=2 - cell.inputs)}
        nodes = {j: _node(cell, j, state, channels, stride, drop_path_rate, dd) for j in inner}
        self.nodes = nn.ModuleDict({str(j): node for j, node in nodes.items()})
        read = {edge for node in nodes.values() for edge in zip(node.sources, node.rectified, strict=True)}
        self.rectified = [(i, True) in read for i in range(2 + len(inner))]
        self.concat = [state[j] for j in cell.live_concat]
        self.out_channels = len(self.concat) * channels

    def dilate(self, previous: int, current: int, out: int) -> None:
        """Take the strides away and dilate instead (see `dilated`), for an output that is `out` times as high and wide as without.

        Args:
            previous: of c_{k-2}, `current`: of c_{k-1}, likewise; 0 if a c_{k-2} that is larger is to be halved.
        """
        if previous:
            self.preprocess[0], _ = dilated(self.preprocess[0], (previous, previous))
        for node in self.nodes.values():
            assert isinstance(node, Node)
            for i, source in enumerate(node.sources):
                by = current if source < 2 else out
                node.edges[i], _ = dilated(node.edges[i], (by, by))
                if isinstance(zero := node.edges[i], Zero):
                    zero.stride = 1

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        states = [self.preprocess[0](previous), self.preprocess[1](current)]
        positive = [self._positive(0, states[0]), self._positive(1, states[1])]
        for node in self.nodes.values():
            x = node(states, positive)
            states.append(x)
            positive.append(self._positive(len(positive), x))
        if len(self.concat) == 1:
            return states[self.concat[0]]
        return torch.cat([states[i] for i in self.concat], dim=1)

    def _positive(self, state: int, x: Tensor) -> Tensor:
        return F.relu(x) if self.rectified[state] else x


class ResidualReduction(nn.Module):
    """NATS-Bench's block between two stages: (ReLU - conv 3x3 - BN) twice, the first of stride 2, plus a pooled 1x1 convolution.

    [B, C', H, W] -> [B, out_channels, H / 2, W / 2], rounded up. Takes the arguments of a `Cell` and ignores c_{k-2}.
    """

    def __init__(self, in_channels: int, out_channels: int, *, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        dd = {"device": device, "dtype": dtype}
        self.conv_a = relu_conv_bn(in_channels, out_channels, 3, stride=2, **dd)
        self.conv_b = relu_conv_bn(out_channels, out_channels, 3, **dd)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(in_channels, out_channels, 1, bias=False, **dd))
        self.out_channels = out_channels

    def dilate(self, previous: int, current: int, out: int) -> None:
        """As `Cell.dilate`."""
        dilated(self.conv_a, (current, current))
        dilated(self.conv_b, (out, out))
        dilated(self.shortcut, (current, current))

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        return self.shortcut(current) + self.conv_b(self.conv_a(current))
