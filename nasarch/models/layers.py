"""The layers of a network: the blocks of the stem, then the cells, numbered through.

Every layer maps the last two maps to the next one. The first cell reads the last two maps of the stem; where the stem has one block, that
map twice. skeleton.py says which cell stands where, stem.py what a stem is, cell.py what a cell is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import NATS

from .cell import Cell, Node, ResidualReduction, Zero
from .operations import DilatedAvgPool, DilatedMaxPool, HalvingConv
from .skeleton import RESIDUAL, CellSpec, cell_specs
from .stem import build_stem


class Map(NamedTuple):
    """Feature map of a layer: its channels, the product of the strides up to it without dilation, the layer's name."""

    channels: int
    reduction: int
    module: str


def _stem(name: str, in_chans: int, channels: int, dd: dict[str, Any]) -> tuple[nn.ModuleList, list[Map]]:
    blocks = build_stem(name, in_chans, channels, dd)
    maps: list[Map] = []
    for i, block in enumerate(blocks):
        maps.append(Map(block.channels, block.stride * (maps[-1].reduction if maps else 1), f"stem.{i}"))
    return nn.ModuleList([block.layers for block in blocks]), maps


def _cell(
    spec: CellSpec, genotype: Genotype, previous: Map, current: Map, drop_path_rate: float, dd: dict[str, Any]
) -> Cell | ResidualReduction:
    if spec.kind == RESIDUAL:
        return ResidualReduction(current.channels, spec.channels, **dd)
    return Cell(
        genotype.cells[spec.kind],
        previous.channels,
        current.channels,
        spec.channels,
        stride=spec.stride,
        previous_is_larger=previous.reduction < current.reduction,
        drop_path_rate=drop_path_rate,
        **dd,
    )


def build_layers(
    genotype: Genotype,
    stem: str,
    in_chans: int,
    cells: int,
    channels: int,
    drop_path_rate: float,
    dd: dict[str, Any],
    output_stride: int = 32,
) -> tuple[nn.ModuleList, nn.ModuleList, list[Map]]:
    """The blocks of the stem, the cells, and the maps that they put out, in order.

    Cells whose output would be smaller than the image divided by `output_stride` are dilated instead of strided.

    Raises:
        ValueError: no such stem, or too few cells or channels.
    """
    plan = cell_specs(genotype.space, cells, channels)
    wide = stem == "cifar" and genotype.space != NATS.name
    blocks, maps = _stem(stem, in_chans, 3 * channels if wide else channels, dd)
    modules = nn.ModuleList()
    for i, spec in enumerate(plan):
        cell = _cell(spec, genotype, maps[-2:][0], maps[-1], drop_path_rate, dd)
        modules.append(cell)
        reduction = maps[-1].reduction * spec.stride
        if reduction > output_stride:
            cell.dilate(maps[-2:][0].reduction // output_stride, maps[-1].reduction // output_stride, reduction // output_stride)
        maps.append(Map(cell.out_channels, reduction, f"cells.{i}"))
    return blocks, modules, maps


# ---- initial statistics of batch normalisation

MAX, AVG, SUM = 0.7, 0.6, 1.3  # variances after 3x3 pooling and sums of edges: neighbouring pixels, and edges of one node, are correlated


class Moments(NamedTuple):
    """Mean and variance of each channel of a map (float32 [C]), and its side in pixels."""

    mean: Tensor
    var: Tensor
    side: int


@torch.no_grad()
def start_statistics(stem: Iterable[nn.Module], cells: Iterable[nn.Module], norm: nn.Module, in_chans: int, side: int) -> None:
    """Let the running statistics of BN start at what the initial weights imply for images of `side` pixels of white noise.

    PyTorch's default weights reduce the variance in every layer; with running variances of 1 a fresh network in evaluation mode would give
    logits of 1e-18. Moments are propagated, channels and pixels taken as independent; nothing is run and nothing is drawn at random.
    """
    weight = next(nn.ModuleList(stem).parameters())
    x = Moments(weight.new_zeros(in_chans, dtype=torch.float32), weight.new_ones(in_chans, dtype=torch.float32), side)
    previous = x
    blocks = list(stem)
    for block in blocks:
        previous, x = x, _through(block, x)
    if len(blocks) == 1:
        previous = x
    for cell in cells:
        previous, x = x, _through_cell(cell, previous, x)
    _through(norm, x)


def _through_cell(cell: nn.Module, previous: Moments, x: Moments) -> Moments:
    if isinstance(cell, ResidualReduction):
        return _sum([_through(cell.shortcut, x), _through(cell.conv_b, _through(cell.conv_a, x))])
    assert isinstance(cell, Cell)
    states = [_through(cell.preprocess[0], previous), _through(cell.preprocess[1], x)]
    for node in cell.nodes.values():
        assert isinstance(node, Node)
        terms = [
            _through(edge, _rectified(states[source]) if rectified else states[source])
            for edge, source, rectified in zip(node.edges, node.sources, node.rectified, strict=True)
        ]
        states.append(_sum(terms))
    outputs = [states[i] for i in cell.concat]
    return Moments(torch.cat([one.mean for one in outputs]), torch.cat([one.var for one in outputs]), outputs[0].side)


def _sum(terms: list[Moments]) -> Moments:
    mean, var = (torch.stack(parts).sum(0) for parts in ([one.mean for one in terms], [one.var for one in terms]))
    return Moments(mean, SUM * var if len(terms) > 1 else var, terms[0].side)


def _rectified(x: Moments) -> Moments:
    """Of the positive part of a normal distribution."""
    std = x.var.sqrt().clamp(min=1e-6)
    z = x.mean / std
    density, share = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi), (1 + torch.erf(z / math.sqrt(2))) / 2
    mean = x.mean * share + std * density
    return Moments(mean, ((x.mean.square() + x.var) * share + x.mean * std * density - mean.square()).clamp(min=1e-12), x.side)


def _through(module: nn.Module, x: Moments) -> Moments:
    """The moments after a module; those before a BN become its statistics."""
    if isinstance(module, nn.Sequential):
        for layer in module:
            x = _through(layer, x)
        return x
    if isinstance(module, nn.ReLU):
        return _rectified(x)
    if isinstance(module, nn.Conv2d):
        return _convolved(module, x)
    if isinstance(module, HalvingConv):
        halves = [_convolved(module.conv_1, x), _convolved(module.conv_2, x)]
        return Moments(
            torch.cat([one.mean for one in halves]), torch.cat([one.var for one in halves]), x.side if module.dilation else -(-x.side // 2)
        )
    if isinstance(module, nn.BatchNorm2d):
        assert module.running_mean is not None and module.running_var is not None
        module.running_mean.copy_(x.mean)
        module.running_var.copy_(x.var)
        return Moments(torch.zeros_like(x.mean), torch.ones_like(x.var), x.side)
    if isinstance(module, nn.MaxPool2d):
        return Moments(x.mean + x.var.sqrt(), MAX * x.var, _pooled(module.stride, x.side))
    if isinstance(module, nn.AvgPool2d):
        return Moments(x.mean, AVG * x.var, _pooled(module.stride, x.side))
    if isinstance(module, DilatedMaxPool):
        return Moments(x.mean + x.var.sqrt(), MAX * x.var, x.side)
    if isinstance(module, DilatedAvgPool):
        return x._replace(var=AVG * x.var)
    if isinstance(module, Zero):
        zeros = x.mean.new_zeros(module.channels)
        return Moments(zeros, zeros, -(-x.side // module.stride))
    return x


def _pooled(stride: int | tuple[int, int], side: int) -> int:
    return -(-side // (stride if isinstance(stride, int) else stride[0]))


def _convolved(conv: nn.Conv2d, x: Moments) -> Moments:
    weight, groups = conv.weight.float(), conv.groups
    mean, var = (one.view(groups, 1, -1) for one in (x.mean, x.var))
    taps, squares = (one.sum((2, 3)).view(groups, -1, weight.shape[1]) for one in (weight, weight.square()))
    inside, side = 1.0, x.side
    for kernel, dilation, padding, stride in zip(conv.kernel_size, conv.dilation, conv.padding, conv.stride, strict=True):
        assert isinstance(padding, int)
        share, side = _inside(kernel, dilation, padding, stride, x.side)
        inside *= share
    return Moments(inside * (taps * mean).sum(2).flatten(), inside * (squares * var).sum(2).flatten(), side)


@cache
def _inside(kernel: int, dilation: int, padding: int, stride: int, side: int) -> tuple[float, int]:
    """The share of a kernel's taps that lie inside a map of `side` pixels, along an axis, and the side of the result."""
    starts = range(-padding, side + padding - dilation * (kernel - 1), stride)
    taps = [0 <= start + dilation * tap < side for start in starts for tap in range(kernel)]
    return sum(taps) / max(len(taps), 1), len(starts)
