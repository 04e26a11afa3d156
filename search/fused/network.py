"""Several networks that differ in their cells alone, as one network. Knows no training.

    images [B, 3, H, W] -> logits [N, B, classes]

`FusedNetwork(nets)` takes the weights of N networks that were built one by one, and gives them back (`weights_of`); in between they may be
trained together. What it computes is what each of them computes, to rounding: nothing is shared but the images and, as networks draw
equally many numbers from equally seeded generators, the masks of drop path. Its tensors are those of the networks one behind the other.

On a GPU N networks of a few channels become one of many: as many kernels as one of them starts, each N times as large. On a CPU, where
starting a kernel costs little, they gain as long as their maps stay in its cache (benchmarks/rank_paths.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS
from nasarch.models.network import CellNetwork
from nasarch.models.skeleton import cell_specs
from nasarch.models.stem import cifar

from .cells import FusedCell


class Part(NamedTuple):
    """A tensor of one network: its number and the tensor's name there."""

    network: int
    name: str


def edges_per_node(genotype: Genotype) -> tuple[int, ...] | None:
    """Number of edges of each node, in which cells must agree to be fused; None for cells that can't be fused.

    In those that can every node has an edge, is part of the output, both inputs are read, and no edge is `none`.
    """
    if genotype.space != DARTS.name:
        return None
    counts: list[int] = []
    for cell in genotype.cells.values():
        edges = [edge for node in cell.nodes for edge in node]
        all_used = cell.live_concat == tuple(cell.inner_nodes)
        if not all_used or {0, 1} - {edge.source for edge in edges} or any(edge.operation == "none" for edge in edges):
            return None
        counts += [0, *map(len, cell.nodes)]
    return tuple(counts)


class FusedNetwork(nn.Module):
    """N networks of `cells` cells and `channels` channels behind CIFAR's stem, as one; their weights are taken over.

    Raises:
        ValueError: their cells have other numbers of edges per node.
    """

    def __init__(self, nets: Sequence[CellNetwork], *, cells: int, channels: int) -> None:
        super().__init__()
        genotypes = [net.genotype for net in nets]
        if len({edges_per_node(genotype) for genotype in genotypes}) > 1 or edges_per_node(genotypes[0]) is None:
            raise ValueError("networks whose cells differ in more than wiring and operations can't be one: train them one by one")
        self.count, self.num_classes = len(nets), nets[0].num_classes
        n, width = self.count, 3 * channels
        (block,) = cifar(3, n * width, {})
        self.stem = block.layers
        self.cells, drawn = nn.ModuleList(), [0] * n
        previous = current = width
        larger = False
        for spec in cell_specs(DARTS.name, cells, channels):
            here = [genotype.cells[spec.kind] for genotype in genotypes]
            cell = FusedCell(here, spec, previous, current, previous_is_larger=larger, masks=drawn)
            self.cells.append(cell)
            previous, current, larger = current, cell.out_channels, spec.stride == 2
        self.fc = nn.Linear(current, n * self.num_classes)
        self.drop_path, self.masks = 0.0, max(drawn)
        self.parts = _parts(self)
        self.to(nets[0].fc.weight)
        self._take([net.state_dict() for net in nets])

    def set_drop_path(self, rate: float, on: str = "edges") -> None:
        """As `CellNetwork.set_drop_path`, on edges alone."""
        assert on == "edges"
        self.drop_path = rate

    def forward(self, x: Tensor) -> Tensor:
        masks_BM = self._draw(x) if self.training and self.drop_path > 0 else None
        previous = x = self.stem(x)
        for cell in self.cells:
            previous, x = x, cell(previous, x, masks_BM)
        x_NBF = x.mean((2, 3)).unflatten(1, (self.count, -1)).transpose(0, 1)
        weight_NKF, bias_NK = self.fc.weight.unflatten(0, (self.count, -1)), self.fc.bias.unflatten(0, (self.count, -1))
        return torch.baddbmm(bias_NK[:, None], x_NBF, weight_NKF.transpose(1, 2))

    def _draw(self, x: Tensor) -> Tensor:
        """The masks in the order in which one network's drop paths draw them (timm's DropPath); number 0 is all ones."""
        keep = 1 - self.drop_path
        drawn = [x.new_empty((len(x), 1, 1, 1)).bernoulli_(keep).div_(keep) for _ in range(self.masks)]
        return torch.cat([x.new_ones((len(x), 1, 1, 1)), *drawn], dim=1)[:, :, 0, 0]

    def weights_of(self, network: int) -> dict[str, Tensor]:
        """The `state_dict` of one of the networks."""
        weights: dict[str, Tensor] = {}
        for name, value in self.state_dict().items():
            parts = self.parts[name]
            pieces = [value] * len(parts) if value.ndim == 0 else value.chunk(len(parts))
            weights |= {part.name: piece.clone() for part, piece in zip(parts, pieces, strict=True) if part.network == network}
        return weights

    def _take(self, states: Sequence[Mapping[str, Tensor]]) -> None:
        own = self.state_dict()
        for name, value in own.items():
            pieces = [states[part.network][part.name] for part in self.parts[name]]
            value.copy_(torch.cat(pieces) if value.ndim else pieces[0])


def _parts(net: FusedNetwork) -> dict[str, list[Part]]:
    """For each tensor of the fused network the tensors that it concatenates."""
    return {name: _named(net, name.split(".")) for name in net.state_dict()}


def _named(net: FusedNetwork, words: Sequence[str]) -> list[Part]:
    networks = range(net.count)
    if words[0] == "stem":
        return _same(networks, ".".join(["stem.0", *words[1:]]))
    if words[0] == "cells" and words[2] == "nodes":
        _, i, _, j, _, g, *rest = words
        cell = net.cells[int(i)]
        assert isinstance(cell, FusedCell)
        copies = list(cell.nodes[j].copies.values())[int(g)]  # type: ignore[operator]
        return [Part(n, ".".join([f"cells.{i}.nodes.{j}.edges.{k}.op", *rest])) for n, k in copies]
    return _same(networks, ".".join(words))


def _same(networks: Iterable[int], name: str) -> list[Part]:
    return [Part(n, name) for n in networks]
