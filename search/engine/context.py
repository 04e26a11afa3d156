"""What every search works with besides its recipe: data, space, seed, device, and where its state is kept. Knows no method.

A recipe asks it for the two sides of the data, for networks and for a stage of training; what is the same in all methods is said here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasarch.cells.space import DARTS, Space
from nasarch.compute import AUTOCAST_DTYPES, seeded
from nasarch.data.dataset import Dataset, split_indices
from nasarch.data.loader import BatchLoader, train_and_val_loaders
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.options import Precision
from nasarch.search.supernet.network import Supernet

from .loop import Progress, fit
from .optimisers import OptimizerSettings, start
from .relaxation import Relaxation
from .sharpness import Sharpness
from .updates import Update

IMAGENET_STEM_SIZE = 64  # pixels a side from which the network begins with ImageNet's stem, 224 -> 28


@dataclass(frozen=True, kw_only=True)
class SearchContext:
    """The workplace of one search.

    Args:
        data: images; a search looks at the training part alone.
        space: what a cell may be.
        seed: of the split, the first weights and the batches.
        device: where tensors live.
        name: of the genotype.
        checkpoint: where the state is kept.
        amp: bf16 or fp16 for the network's arithmetic; off is exact.
        parts: indices of the training images for the weights and for the architecture, in place of the recipe's fractions.
        workers: processes that decode images on disk, None for one a core.
        hessian: measure the largest eigenvalue of the architecture's Hessian after every epoch.
        hessian_every: measure it after every so many steps of an epoch, too.
    """

    data: Dataset
    space: Space = DARTS
    seed: int = 0
    device: torch.device | str = "cpu"
    name: str = "found"
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    amp: Precision = "off"
    parts: tuple[Tensor, Tensor] | None = None
    workers: int | None = None
    hessian: bool = False
    hessian_every: int | None = None

    def cells(self, nodes: int) -> Space:
        """The space with so many inner nodes a cell; NATS-Bench's cell always has its three."""
        return self.space if self.space.kept_edges is None else self.space.with_nodes(nodes)

    def indices(self, fractions: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """Which training images train the weights and which the architecture: class-balanced, drawn by the seed."""
        if self.parts is not None:
            return self.parts
        first, second = split_indices(self.data.train.labels, fractions, self.seed)
        return first, second

    def sides(self, batch_size: int, fractions: tuple[float, float]) -> tuple[BatchLoader, BatchLoader]:
        """Batches for the weights and for the architecture."""
        weights, arch = map(self.data.train.subset, self.indices(fractions))
        return train_and_val_loaders((weights, arch), self.data, batch_size=batch_size, **self._loading())  # type: ignore[type-var]

    def whole(self, batch_size: int, fractions: tuple[float, float]) -> tuple[BatchLoader, None]:
        """Batches of the images of both sides together, for one level."""
        part = self.data.train.subset(torch.cat(self.indices(fractions)).sort().values)
        loading = self._loading()
        return BatchLoader(part, self.data, batch_size=batch_size, **loading | {"seed": 2 * loading["seed"]}), None

    def _loading(self) -> dict[str, Any]:
        """What all batches of this search share."""
        return {
            "seed": self.seed,
            "device": self.device,
            "workers": self.workers,
            "rank": distributed.rank(),
            "ranks": distributed.world_size(),
        }

    def supernet(self, space: Space, candidates_ZEO: Tensor, *, stage: int = 0, **shape: Any) -> Supernet:
        """A network whose first weights are drawn by the seed and the number of the stage; `shape` as for `Supernet`."""
        stem = "imagenet" if space.inputs == 2 and min(self.data.size) >= IMAGENET_STEM_SIZE else "cifar"
        with seeded(self.seed + stage):
            net = Supernet(space, candidates_ZEO, num_classes=self.data.num_classes, stem=stem, **shape)
        return net.to(self.device)

    def relaxation(self, space: Space, candidates_ZEO: Tensor, **arguments: Any) -> Relaxation:
        """Architecture parameters, their random start (if any) drawn by the seed; `arguments` as for `Relaxation`."""
        generator = torch.Generator().manual_seed(self.seed)
        return Relaxation(space, candidates_ZEO, generator=generator, **arguments).to(self.device)

    def train(
        self,
        net: Supernet,
        arch: Relaxation,
        sides: tuple[BatchLoader, BatchLoader | None],
        update: Update,
        rates: OptimizerSettings,
        **schedule: Any,
    ) -> Iterator[Progress]:
        """A stage of training; `schedule` as for `fit`."""
        state = start(net, arch, rates)
        state.precision = AUTOCAST_DTYPES[self.amp]
        if self.amp == "fp16":
            state.scaler = torch.amp.GradScaler(torch.device(self.device).type)
        measure = Sharpness(sides) if self.hessian else None
        return fit(state, *sides, update, measure=measure, measure_every=self.hessian_every, checkpoint=self.checkpoint, **schedule)
