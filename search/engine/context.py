"""Search context: what every search works with besides its recipe: data, space, seed, device and checkpoint. Knows no method.

A recipe asks it for the loaders of training and validation split, for networks and for a stage of training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nasarch.cells.space import DARTS, Space
from nasarch.compute import AUTOCAST_DTYPES, seeded
from nasarch.data.dataset import Dataset, split_indices
from nasarch.data.loader import BatchLoader, train_and_val_loaders
from nasarch.models.stem import IMAGENET_STEM_SIZE
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.loop import run_epochs
from nasarch.runtime.options import Precision
from nasarch.runtime.schedules import Schedule
from nasarch.search.supernet.network import Supernet

from .hessian import Sharpness
from .loop import Progress, SearchStage
from .relaxation import Relaxation
from .result import SearchResult
from .updates import OptimizerSettings, Update, initial_state


@dataclass(frozen=True, kw_only=True)
class SearchContext:
    """The context of one search.

    Args:
        data: images; a search uses the training part alone.
        space: what a cell may be.
        seed: random seed of the data split, weight initialization and batch order.
        device: of all tensors.
        name: of the genotype.
        checkpoint: where the state is saved, and loaded from.
        amp: bf16 or fp16 for the network's arithmetic; off is exact.
        parts: indices of the training and the validation split among the training images, in place of the recipe's fractions.
        workers: number of image-decoding worker processes, None for one per CPU core.
        hessian: measure the largest eigenvalue of the architecture's Hessian after every epoch.
        hessian_every: measure it after every so many steps of an epoch, too, and derive the cell there.
        hessian_images: number of images that it is measured on, a batch by default.
        capture: record the steps as CUDA graphs and replay them, where `device` is one of CUDA.
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
    hessian_images: int | None = None
    capture: bool = False

    def cells(self, nodes: int) -> Space:
        """The space with so many inner nodes a cell; NATS-Bench's cell always has its three."""
        return self.space if self.space.kept_edges is None else self.space.with_nodes(nodes)

    def indices(self, fractions: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """Indices of the training and the validation split among the training images: class-balanced, drawn by the seed."""
        if self.parts is not None:
            return self.parts
        first, second = split_indices(self.data.train.labels, fractions, self.seed)
        return first, second

    def train_val_loaders(self, batch_size: int, fractions: tuple[float, float]) -> tuple[BatchLoader, BatchLoader]:
        """Loaders of the training split, for the weights, and the validation split, for the architecture parameters."""
        weights, arch = map(self.data.train.subset, self.indices(fractions))
        return train_and_val_loaders((weights, arch), self.data, batch_size=batch_size, **self._loading())  # type: ignore[type-var]

    def one_level_loader(self, batch_size: int, fractions: tuple[float, float]) -> tuple[BatchLoader, None]:
        """Loader over the training and validation split combined (one-level optimization)."""
        part = self.data.train.subset(torch.cat(self.indices(fractions)).sort().values)
        loading = self._loading()
        return BatchLoader(part, self.data, batch_size=batch_size, **loading | {"seed": 2 * loading["seed"]}), None

    def _loading(self) -> dict[str, Any]:
        """Arguments of all loaders of this search."""
        return {
            "seed": self.seed,
            "device": self.device,
            "workers": self.workers,
            "rank": distributed.rank(),
            "ranks": distributed.world_size(),
        }

    def supernet(
        self,
        space: Space,
        candidates_ZEO: Tensor,
        *,
        channels: int,
        layers: int,
        partial: int = 1,
        random_channels: bool = False,
        stage: int = 0,
    ) -> Supernet:
        """A supernet whose weights are drawn by the seed and the number of the stage; the other arguments are those of `Supernet`."""
        with seeded(self.seed + stage):
            net = Supernet(
                space,
                candidates_ZEO,
                channels=channels,
                layers=layers,
                partial=partial,
                random_channels=random_channels,
                num_classes=self.data.num_classes,
                stem="imagenet" if space.inputs == 2 and min(self.data.size) >= IMAGENET_STEM_SIZE else "cifar",
            )
        return net.to(self.device)

    def relaxation(
        self,
        space: Space,
        candidates_ZEO: Tensor,
        *,
        groups: Sequence[Sequence[str]] = (),
        subset: int = 0,
        edge_softmax: bool = True,
        bias: Tensor | float = 0.0,
        operation_scale: float = 1.0,
        init_std: float = 0.0,
    ) -> Relaxation:
        """Architecture parameters, drawn by the seed where `init_std` is not 0; the arguments are those of `Relaxation`."""
        arch = Relaxation(
            space,
            candidates_ZEO,
            groups=groups,
            subset=subset,
            edge_softmax=edge_softmax,
            bias=bias,
            operation_scale=operation_scale,
            init_std=init_std,
            generator=torch.Generator().manual_seed(self.seed),
        )
        return arch.to(self.device)

    def train(
        self,
        net: Supernet,
        arch: Relaxation,
        loaders: tuple[BatchLoader, BatchLoader | None],
        update: Update,
        optimizers: OptimizerSettings,
        *,
        stage: str,
        epochs: int,
        learning_rate: Schedule,
        derive: Callable[[], SearchResult],
        warmup: int = 0,
        sparse: bool = False,
        iterations: int | None = None,
        temperature: Schedule | None = None,
    ) -> Iterator[Progress]:
        """Run a stage of training named `stage`, from where the checkpoint is; the keywords are those of `SearchStage`."""
        state = initial_state(net, arch, optimizers)
        state.precision = AUTOCAST_DTYPES[self.amp]
        if self.amp == "fp16":
            state.scaler = torch.amp.GradScaler(torch.device(self.device).type)
        search_stage = SearchStage(
            state,
            *loaders,
            update,
            name=stage,
            epochs=epochs,
            learning_rate=learning_rate,
            derive=derive,
            warmup=warmup,
            sparse=sparse,
            iterations=iterations,
            temperature=temperature,
            measure=Sharpness(loaders, self.hessian_images) if self.hessian else None,
            measure_every=self.hessian_every,
            capture=self.capture,
        )
        return run_epochs(search_stage, self.checkpoint)
