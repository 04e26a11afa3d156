"""Parts of a network, and its parameters and multi-adds as sums over them, from its genotype alone, in milliseconds.

A network is a sum of parts, few of which differ: the layers that its genotype, skeleton and stem imply, each with the shapes that it
reads. Each is built once on the meta device and counted there by torch's FlopCounterMode. Multi-adds are those of convolutions and
linear layers for one image, which is what fvcore counts for them too. That the sum is the cost of the real network, to the unit, is shown
by tests. Predicted latency (nasarch/latency/) is a sum over the same parts.

| name | layers |
|---|---|
| an operation's | an edge of a cell, with its ReLU (a network computes the ReLU of a state once for all its edges) |
| imagenet stem, cifar stem | all blocks of the stem |
| 1x1 preprocessing, /2 preprocessing | `relu_conv_bn`, `factorized_reduce` of an input of a cell |
| residual block | `ResidualReduction` of NATS-Bench |
| sum of edges, cell output | the sum of a node; the concatenation of nodes |
| head, normalized head | global average pooling and classifier, in NATS-Bench after BN - ReLU |

An identity and an edge without operation (`none`) are no parts: they compute nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import torch
from timm.layers import create_classifier
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nasarch.cells.genotype import Cell, Genotype
from nasarch.cells.space import NATS

from .cell import ResidualReduction, needed
from .operations import build, factorized_reduce, relu_conv_bn
from .skeleton import RESIDUAL, CellSpec, cell_specs
from .stem import build_stem

STEM, PREPROCESSING, HALVING = " stem", "1x1 preprocessing", "/2 preprocessing"
RESIDUAL_BLOCK, SUM, OUTPUT, HEAD, NORMALIZED_HEAD = "residual block", "sum of edges", "cell output", "head", "normalized head"


class FeatureMap(NamedTuple):
    """A map that a part reads: [channels, size, size]."""

    channels: int
    size: int


class Part(NamedTuple):
    """A layer, or a few: the maps that it reads, the channels that it puts out, and its stride."""

    name: str
    inputs: tuple[FeatureMap, ...]
    channels: int
    stride: int = 1

    def __str__(self) -> str:
        maps = " + ".join(f"{x.channels}x{x.size}x{x.size}" for x in self.inputs)
        return f"{self.name}, {maps} to {self.channels} channels, stride {self.stride}"

    def build(self, device: Any = None) -> nn.Module:
        """The part as a module that takes its inputs as arguments, with random weights, in evaluation mode."""
        return self._module({"device": device}).eval()

    def _module(self, dd: dict[str, Any]) -> nn.Module:
        x = self.inputs[0]
        match self.name:
            case _ if self.name.endswith(STEM):
                blocks = build_stem(self.name.removesuffix(STEM), x.channels, self.channels, {**dd, "dtype": None})
                return nn.Sequential(*(block.layers for block in blocks))
            case "1x1 preprocessing":
                return relu_conv_bn(x.channels, self.channels, **dd)
            case "/2 preprocessing":
                return factorized_reduce(x.channels, self.channels, **dd)
            case "residual block":
                return ResidualReduction(x.channels, self.channels, **dd)
            case "sum of edges":
                return _Sum()
            case "cell output":
                return _Concatenation()
            case "head" | "normalized head":
                norm = [nn.BatchNorm2d(x.channels, **dd), nn.ReLU()] if self.name == NORMALIZED_HEAD else []
                pool, classifier = create_classifier(x.channels, self.channels, pool_type="avg", **dd)[:2]
                return nn.Sequential(*norm, pool, classifier)
        return build(self.name, self.channels, self.stride, **dd)


class _Sum(nn.Module):
    def forward(self, *terms: Tensor) -> Tensor:
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class _Concatenation(nn.Module):
    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, dim=1)


def network_parts(
    genotype: Genotype, *, stem: str, cells: int, channels: int, size: int, num_classes: int, in_chans: int = 3
) -> list[Part]:
    """The parts of `CellNetwork` with these arguments, without auxiliary head, for images of size x size pixels; equal ones repeatedly.

    Raises:
        ValueError: no such stem, too few cells or channels.
    """
    image, is_nats = FeatureMap(in_chans, size), genotype.space == NATS.name
    width, maps = _stem(genotype.space, stem, channels, image)
    parts = [Part(stem + STEM, (image,), width)]
    for spec, inputs, out in _layers(genotype, cells, channels, maps):
        if spec.kind == RESIDUAL:
            parts.append(Part(RESIDUAL_BLOCK, (inputs[-1],) * 2, spec.channels, spec.stride))
        else:
            parts += _cell(genotype.cells[spec.kind], inputs, spec, out)
    return [*parts, Part(NORMALIZED_HEAD if is_nats else HEAD, (maps[-1],), num_classes)]


def edge_parts(
    genotype: Genotype, kind: str, operation: str, reads_input: bool, *, stem: str, cells: int, channels: int, size: int, in_chans: int = 3
) -> list[Part]:
    """The parts that `operation` on one edge of all cells of `kind` adds to the network; of `genotype` the nodes alone count.

    With `reads_input` the edge is from an input of the cell, and has the stride of the cell.
    """
    _, maps = _stem(genotype.space, stem, channels, FeatureMap(in_chans, size))
    layers = [layer for layer in _layers(genotype, cells, channels, maps) if layer[0].kind == kind]
    return [part for spec, inputs, out in layers for part in _edge(operation, reads_input, inputs[-1], spec, out)]


def _layers(genotype: Genotype, cells: int, channels: int, maps: list[FeatureMap]) -> Iterator[tuple[CellSpec, list[FeatureMap], int]]:
    """Each cell of the network, the maps that it reads and the size of its output, which is appended to `maps`."""
    for spec in cell_specs(genotype.space, cells, channels):
        out = _smaller(maps[-1].size, spec.stride)
        yield spec, maps[-2:], out
        nodes = 1 if spec.kind == RESIDUAL else len(genotype.cells[spec.kind].live_concat)
        maps.append(FeatureMap(nodes * spec.channels, out))


def _smaller(size: int, stride: int) -> int:
    return -(-size // stride)


def _stem(space: str, name: str, channels: int, image: FeatureMap) -> tuple[int, list[FeatureMap]]:
    """The channels of the stem, and the two maps that the first cell reads: its last two, or a single one twice."""
    width = channels if space == NATS.name or name != "cifar" else 3 * channels
    maps = [image]
    for block_channels, stride in _blocks(name, image.channels, width):
        maps.append(FeatureMap(block_channels, _smaller(maps[-1].size, stride)))
    return width, maps[-2:] if len(maps) > 2 else [maps[-1]] * 2


@cache
def _blocks(stem: str, in_chans: int, channels: int) -> list[tuple[int, int]]:
    """Channels and stride of each block of the stem."""
    return [(block.channels, block.stride) for block in build_stem(stem, in_chans, channels, {"device": "meta"})]


def _cell(cell: Cell, inputs: list[FeatureMap], spec: CellSpec, out: int) -> Iterator[Part]:
    """The preprocessing of the inputs that are read, the edges and sums that the output depends on, and the output."""
    read, (previous, current) = needed(cell), inputs
    if cell.inputs == 2:
        halved = previous.size > current.size
        if 0 in read:
            yield Part(HALVING if halved else PREPROCESSING, (previous,), spec.channels, 2 if halved else 1)
        if 1 in read:
            yield Part(PREPROCESSING, (current,), spec.channels)
    for node in set(cell.live) & read:
        edges = [edge for edge in cell.edges_of(node) if edge.operation != "none"]
        for operation, source in edges:
            yield from _edge(operation, source < cell.inputs, current, spec, out)
        if len(edges) > 1:
            yield Part(SUM, (FeatureMap(spec.channels, out),) * len(edges), spec.channels)
    if len(cell.live_concat) > 1:
        count = len(cell.live_concat)
        yield Part(OUTPUT, (FeatureMap(spec.channels, out),) * count, count * spec.channels)


def _edge(operation: str, reads_input: bool, current: FeatureMap, spec: CellSpec, out: int) -> Iterator[Part]:
    x, stride = FeatureMap(spec.channels, current.size if reads_input else out), spec.stride if reads_input else 1
    if (operation, stride) != ("skip_connect", 1):
        yield Part(operation, (x,), spec.channels, stride)


# ---- cost


class Cost(NamedTuple):
    """Weights that are trained, and multiplications with an addition for one image."""

    parameters: int
    multi_adds: int


def network_cost(genotype: Genotype, *, stem: str, cells: int, channels: int, size: int, num_classes: int, in_chans: int = 3) -> Cost:
    """The cost of `CellNetwork` with these arguments, without auxiliary head, for one image of size x size pixels.

    Raises:
        ValueError: no such stem, too few cells or channels.
    """
    return _total(network_parts(genotype, stem=stem, cells=cells, channels=channels, size=size, num_classes=num_classes, in_chans=in_chans))


def edge_cost(
    genotype: Genotype, kind: str, operation: str, reads_input: bool, *, stem: str, cells: int, channels: int, size: int, in_chans: int = 3
) -> Cost:
    """What `operation` on one edge of all cells of `kind` adds to the cost of the network (`edge_parts`)."""
    return _total(
        edge_parts(genotype, kind, operation, reads_input, stem=stem, cells=cells, channels=channels, size=size, in_chans=in_chans)
    )


def _total(parts: Iterable[Part]) -> Cost:
    return Cost(*map(sum, zip(Cost(0, 0), *map(_part_cost, parts), strict=True)))


@cache
def _part_cost(part: Part) -> Cost:
    return measured(part.build("meta"), *(torch.empty(1, x.channels, x.size, x.size, device="meta") for x in part.inputs))


@torch.no_grad()
def measured(module: nn.Module, *images: Tensor) -> Cost:
    """Parameters of `module`, and multi-adds of its convolutions and linear layers for these images, by torch's FlopCounterMode."""
    with FlopCounterMode(display=False) as counter:
        module(*images)
    return Cost(sum(parameter.numel() for parameter in module.parameters()), counter.get_total_flops() // 2)
