"""Training budget of a ranking's networks, alike in all its commands. Needs no PyTorch, so that flags are parsed at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from tyro.conf import arg

from nasarch.data.options import DataOptions
from nasarch.ranges import Count, at_least, check_ranges
from nasarch.runtime.options import MachineOptions, OutputOptions
from nasarch.search.training.recipes import SHALLOW, Training

AUTO = "auto"  # data set of the searches that are ranked, or `DEFAULT_DATA`
DEFAULT_DATA = "digits"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Training budget of each network: the recipe `shallow` (eDARTS, sec. IV-A) with these changes, and the images.

    Args:
        dataset: Options of the data set.
        machine: Options of the hardware.
        output: Options of the run folder.
        images: Number of training images, class-balanced (default: all of the training half).
        val_images: Number of validation images, class-balanced (default: all of the validation half).
        epochs: Number of epochs of each training, over which the schedules are stretched.
        seeds: Number of trainings of each network (seeds SEED, SEED+1, ...).
        seed: First random seed; also of the halves of the data, unless all searches share theirs, and of the images drawn.
        batch_size: Number of images in a step.
        lr: Initial learning rate of SGD; it falls to 0 along a cosine.
        drop_path: Probability of dropping an edge that the last epoch would reach.
        cells: Number of cells of each network.
        channels: Number of channels of the first cells' nodes.
        networks_per_group: Number of networks fused into one and trained on the same batches; 0 is the fastest, 1 one by one.

    Raises:
        ValueError: a value out of its range.
    """

    dataset: Annotated[DataOptions, arg(name="")] = DataOptions(data=AUTO)
    machine: Annotated[MachineOptions, arg(name="")] = MachineOptions()
    output: Annotated[OutputOptions, arg(name="")] = OutputOptions()
    images: int | None = None
    val_images: int | None = None
    epochs: int = SHALLOW.epochs
    seeds: Count = 3
    seed: Annotated[int, at_least(0)] = 0
    batch_size: int = SHALLOW.batch_size
    lr: float = SHALLOW.lr
    drop_path: float = SHALLOW.drop_path
    cells: Annotated[int, at_least(3)] = 5
    channels: Annotated[int, at_least(2)] = 16
    networks_per_group: Annotated[int, at_least(0)] = 0

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)
        self.settings()  # checks the others

    def settings(self) -> Training:
        """The recipe with the changes."""
        names = ("epochs", "batch_size", "lr", "drop_path", "cells", "channels")
        return replace(SHALLOW, **{name: getattr(self, name) for name in names})
