"""Parameters and multi-adds of a network from its genotype alone, in milliseconds, without building the network.

A network is a sum of parts, and few of them differ: each (operation, width, stride, map size) is built once on the meta device
and counted there by torch's FlopCounterMode. Multi-adds are those of convolutions and linear layers for one image, which is
what fvcore counts for them too. That the sum is the cost of the real network, to the unit, is shown by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nasarch.cells.genotype import Cell, Genotype
from nasarch.cells.space import NATS

from .cell import ResidualReduction, needed
from .operations import build, factorized_reduce, relu_conv_bn
from .skeleton import RESIDUAL, CellSpec, cell_specs
from .stem import build_stem


class Cost(NamedTuple):
    """Weights that are trained, and multiplications with an addition for one image."""

    parameters: int
    multi_adds: int


class _Map(NamedTuple):
    """Feature map of a layer: [channels, size, size]."""

    channels: int
    size: int


def network_cost(genotype: Genotype, *, stem: str, cells: int, channels: int, size: int, num_classes: int, in_chans: int = 3) -> Cost:
    """The cost of `CellNetwork` with these arguments, without auxiliary head, for one image of size x size pixels.

    Raises:
        ValueError: no such stem, too few cells or channels.
    """
    is_nats = genotype.space == NATS.name
    image = _Map(in_chans, size)
    first, inputs = _stem(stem, channels if is_nats or stem != "cifar" else 3 * channels, image)
    costs, maps = [*first], [*inputs]
    for spec, inputs, out in _layers(genotype, cells, channels, maps):
        if spec.kind == RESIDUAL:
            costs.append(_part(ResidualReduction, (inputs[-1].channels, spec.channels), *inputs))
        else:
            costs += _cell(genotype.cells[spec.kind], inputs, spec, out)
    features = maps[-1].channels
    costs.append(Cost((features + 1) * num_classes + 2 * features * is_nats, features * num_classes))
    return Cost(*map(sum, zip(*costs, strict=True)))


def edge_cost(
    genotype: Genotype, kind: str, operation: str, reads_input: bool, *, stem: str, cells: int, channels: int, size: int, in_chans: int = 3
) -> Cost:
    """What `operation` on one edge of all cells of `kind` adds to the cost of the network; of `genotype` the nodes alone count.

    With `reads_input` the edge is from an input of the cell, and has the stride of the cell.
    """
    width = channels if genotype.space == NATS.name or stem != "cifar" else 3 * channels
    maps = list(_stem(stem, width, _Map(in_chans, size))[1])
    layers = [layer for layer in _layers(genotype, cells, channels, maps) if layer[0].kind == kind]
    return Cost(*map(sum, zip(*(_edge(operation, reads_input, inputs[-1], spec, out) for spec, inputs, out in layers), strict=True)))


def _layers(genotype: Genotype, cells: int, channels: int, maps: list[_Map]) -> Iterator[tuple[CellSpec, list[_Map], int]]:
    """Each cell of the network, the maps that it reads and the size of its output, which is appended to `maps`."""
    for spec in cell_specs(genotype.space, cells, channels):
        out = _smaller(maps[-1].size, spec.stride)
        yield spec, maps[-2:], out
        nodes = 1 if spec.kind == RESIDUAL else len(genotype.cells[spec.kind].live_concat)
        maps.append(_Map(nodes * spec.channels, out))


def _smaller(size: int, stride: int) -> int:
    return -(-size // stride)


@cache
def _stem(name: str, channels: int, image: _Map) -> tuple[list[Cost], list[_Map]]:
    """The costs of the stem's blocks and their maps, the last two of which the first cell reads (a single one twice)."""
    costs, maps = [], [image]
    for block in build_stem(name, image.channels, channels, {"device": "meta"}):
        costs.append(_of_maps(block.layers, maps[-1]))
        maps.append(_Map(block.channels, _smaller(maps[-1].size, block.stride)))
    return costs, maps[1:] if len(maps) > 2 else [maps[-1]] * 2


def _cell(cell: Cell, inputs: list[_Map], spec: CellSpec, out: int) -> Iterator[Cost]:
    """The preprocessing of the inputs that are read, and the edges that the output depends on."""
    read, (previous, current) = needed(cell), inputs
    if cell.inputs == 2:
        reduce: Callable[..., nn.Module] = factorized_reduce if previous.size > current.size else relu_conv_bn
        if 0 in read:
            yield _part(reduce, (previous.channels, spec.channels), previous)
        if 1 in read:
            yield _part(relu_conv_bn, (current.channels, spec.channels), current)
    for node in set(cell.live) & read:
        for operation, source in cell.edges_of(node):
            if operation != "none":
                yield _edge(operation, source < cell.inputs, current, spec, out)


def _edge(operation: str, reads_input: bool, current: _Map, spec: CellSpec, out: int) -> Cost:
    x = _Map(spec.channels, current.size if reads_input else out)
    return _part(build, (operation, spec.channels, spec.stride if reads_input else 1), x)


@cache
def _part(make: Callable[..., nn.Module], arguments: tuple[Any, ...], *maps: _Map) -> Cost:
    """The cost of the module `make(*arguments)`, which reads `maps`."""
    return _of_maps(make(*arguments, device="meta"), *maps)


def _of_maps(module: nn.Module, *maps: _Map) -> Cost:
    return measured(module.eval(), *(torch.empty(1, x.channels, x.size, x.size, device="meta") for x in maps))


@torch.no_grad()
def measured(module: nn.Module, *images: Tensor) -> Cost:
    """Parameters of `module`, and multi-adds of its convolutions and linear layers for these images, by torch's FlopCounterMode."""
    with FlopCounterMode(display=False) as counter:
        module(*images)
    return Cost(sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2)
