"""The layers of a network: the blocks of the stem, then the cells, numbered through.

Every layer maps the last two maps to the next one. The first cell reads the last two maps of the stem; where the stem has one block, that
map twice. skeleton.py says which cell stands where, stem.py what a stem is, cell.py what a cell is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import NATS

from .cell import Cell, ResidualReduction
from .skeleton import RESIDUAL, CellSpec, cell_specs
from .stem import build_stem


class Map(NamedTuple):
    """Feature map of a layer: its channels, the pixels of the image that one of its pixels stands for in a row, the layer's name."""

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
    genotype: Genotype, stem: str, in_chans: int, cells: int, channels: int, drop_path_rate: float, dd: dict[str, Any]
) -> tuple[nn.ModuleList, nn.ModuleList, list[Map]]:
    """The blocks of the stem, the cells, and the maps that they put out, in order.

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
        maps.append(Map(cell.out_channels, maps[-1].reduction * spec.stride, f"cells.{i}"))
    return blocks, modules, maps
