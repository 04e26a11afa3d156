"""The literal supernets, with the first weights that a seed draws, and the channels that are sampled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells.space import Space
from nasarch.search.supernet.network import Supernet
from tests.helpers import supernet_pairs
from tests.helpers.reference import TwinCell, TwinSupernet

from .softmaxes import Allowed


class ImageNetTwin(TwinSupernet):
    """The same behind three convolutions of stride 2 (Liu et al. 2019, sec. 3.3): the first cell reads the last two of them."""

    def __init__(self, space: Space, candidates_ZEO: Tensor, *, channels: int, **shape: Any) -> None:
        super().__init__(space, candidates_ZEO, channels=channels, **shape)
        half, c = 3 * channels // 2, 3 * channels
        self.stem = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU()),
                nn.Sequential(nn.Conv2d(half, c, 3, 2, 1, bias=False), nn.BatchNorm2d(c)),
                nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 3, 2, 1, bias=False), nn.BatchNorm2d(c)),
            ]
        )
        self.cells[0] = TwinCell(space, candidates_ZEO[0], c, c, channels, False, True, shape["partial"])  # the first input is larger

    def forward(self, x: Tensor, operations_ZEO: Tensor, edges_ZE: Tensor, chosen: Any = None) -> Tensor:
        s0 = self.stem[1](self.stem[0](x))
        s1 = self.stem[2](s0)
        for i, (z, cell) in enumerate(zip(self.kinds, self.cells, strict=True)):
            s0, s1 = s1, cell(s0, s1, operations_ZEO[z], edges_ZE[z], None if chosen is None else chosen[i])
        return self.classifier(s1.mean((2, 3)))


class Residual(nn.Module):
    """NATS-Bench's block between stages (Dong et al. 2021, sec. 3.1): its map halved by two convolutions, plus by a pooled 1x1 one."""

    def __init__(self, c_in: int, c: int) -> None:
        super().__init__()
        self.conv_a = nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c, 3, 2, 1, bias=False), nn.BatchNorm2d(c))
        self.conv_b = nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 3, 1, 1, bias=False), nn.BatchNorm2d(c))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(c_in, c, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_b(self.conv_a(x)) + self.shortcut(x)


class NatsTwin(nn.Module):
    """NATS-Bench's search network: three stages of cells of one input, 1, 2 and 4 times as wide, between them a residual block.

    A pooling has no BN of its own; after the last cell a BN with weights and a ReLU, then the mean of each map.
    """

    def __init__(self, space: Space, candidates_ZEO: Tensor, *, channels: int, layers: int, partial: int, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.cells = nn.ModuleList()
        for stage in range(3):
            c = channels * 2**stage
            self.cells.extend([Residual(c // 2, c)] if stage else [])
            self.cells.extend(TwinCell(space, candidates_ZEO[0], c, c, c, False, False, partial) for _ in range(layers))
        self.norm = nn.BatchNorm2d(c)
        self.classifier = nn.Linear(c, num_classes)

    def forward(self, x: Tensor, operations_ZEO: Tensor, edges_ZE: Tensor, chosen: Any = None) -> Tensor:
        assert chosen is None
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x) if isinstance(cell, Residual) else cell(x, x, operations_ZEO[0], edges_ZE[0])
        return self.classifier(F.relu(self.norm(x)).mean((2, 3)))


def pairs(net: Supernet, twin: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """(entry of the supernet, entry of the twin): parameters and running statistics that are the same thing."""
    if not isinstance(twin, NatsTwin):
        return supernet_pairs.pairs(net, twin)
    found = list(zip(_entries(net.stem), _entries(twin.stem), strict=True))
    found += zip(_entries(net.head), _entries(nn.ModuleList([twin.norm, twin.classifier])), strict=True)
    for cell, other in zip(net.cells, twin.cells, strict=True):
        block = zip(_entries(cell), _entries(other), strict=True) if isinstance(other, Residual) else supernet_pairs.cell_pairs(cell, other)
        found += list(block)
    return found


def _entries(module: nn.Module) -> list[Tensor]:
    named = [*module.named_parameters(), *module.named_buffers()]
    return [entry for name, entry in named if not name.endswith("num_batches_tracked")]


class Network:
    """The literal supernet as it begins: its weights are those that a `Supernet` of this seed draws, operation by operation.

    With `random_channels` the channels of a pass are drawn as documented: for each cell and each of its nodes but the last, those with
    the C / K smallest of C random numbers, from a generator whose seed is drawn with the weights.
    """

    def __init__(
        self, space: Space, allowed: Allowed, *, seed: int, size: int, num_classes: int, random_channels: bool = False, **shape: int
    ) -> None:
        mask = torch.tensor(allowed)
        large = size >= 64 and space.name == "darts"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = Supernet(
                space, mask, num_classes=num_classes, stem="imagenet" if large else "cifar", random_channels=random_channels, **shape
            )
        kind = NatsTwin if space.name == "nats" else ImageNetTwin if large else TwinSupernet
        self.space, self.twin = space, kind(space, mask, num_classes=num_classes, **shape)
        with torch.no_grad():
            for value, own in pairs(net, self.twin):
                own.copy_(value)
        self.parameters = list(self.twin.parameters())
        self.widths = [(cell.channels, cell.channels // shape["partial"]) for cell in net.cells] if random_channels else []
        self.generator = torch.Generator().manual_seed(net.sampler.generator.initial_seed()) if net.sampler is not None else None

    def logits(self, x: Tensor, operations_ZEO: Tensor, edges_ZE: Tensor) -> Tensor:
        """A pass in training mode."""
        return self.twin(x, operations_ZEO, edges_ZE, self._chosen())

    def loss(self, batch: tuple[Tensor, Tensor], weights: tuple[Tensor, Tensor]) -> Tensor:
        """The mean cross entropy of a batch."""
        return cross_entropy(self.logits(batch[0], *weights), batch[1])

    def _chosen(self) -> list[list[list[int]]] | None:
        if self.generator is None:
            return None
        cells = []
        for channels, taken in self.widths:
            numbers = torch.rand(self.space.inputs + self.space.nodes - 1, channels, generator=self.generator)
            nodes = [sorted(sorted(range(channels), key=row.__getitem__)[:taken]) for row in numbers.tolist()]
            cells.append([nodes[edge.source] for edge in self.space.edges])
        return cells


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean of -log softmax of the right class."""
    return -F.log_softmax(logits, dim=1)[torch.arange(len(labels)), labels].mean()
