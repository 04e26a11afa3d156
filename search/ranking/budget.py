"""Training budget of a ranking's networks, alike in all its commands. Needs no PyTorch, so that flags are parsed at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from tyro.conf import arg

from nasarch.data.options import DataOptions
from nasarch.ranges import Count, Seed, at_least, check_ranges
from nasarch.runtime.options import MachineOptions, OutputOptions
from nasarch.search.training.recipes import Training, recipe

AUTO = "auto"  # data set of the searches that are ranked, or `DEFAULT_DATA`
DEFAULT_DATA = "digits"
SETTINGS = ("epochs", "batch_size", "lr", "drop_path", "cells", "channels")  # of the recipe, which the budget may change


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Training budget of each network: a recipe, by default `shallow` (eDARTS, sec. IV-A), with these changes, and the images.

    Args:
        dataset: Options of the data set.
        machine: Options of the hardware.
        output: Options of the run folder.
        recipe: Training recipe of each network, as in `nasarch train`: shallow trains small ones, cifar those of the papers' tables.
        images: Number of training images, class-balanced (default: all of the training half).
        val_images: Number of validation images, class-balanced (default: all of the validation half).
        epochs: Number of epochs of each training, over which the schedules are stretched (default: the recipe's; shallow: 100).
        seeds: Number of trainings of each network (seeds SEED, SEED+1, ...).
        seed: First random seed; also of the halves of the data, unless all searches share theirs, and of the images drawn.
        batch_size: Number of images in a step (default: the recipe's; shallow: 64).
        lr: Peak learning rate of SGD (default: the recipe's; shallow: 0.025).
        drop_path: Probability of dropping an edge that the last epoch would reach (default: the recipe's; shallow: 0.2).
        cells: Number of cells of each network (default: the recipe's; shallow: 5, cifar: 20).
        channels: Number of channels of the first cells' nodes (default: the recipe's; shallow: 16, cifar: 36).
        networks_per_group: Number of networks fused into one and trained on the same batches; 0 is the fastest, 1 one by one.

    Raises:
        ValueError: a value out of its range.
    """

    dataset: Annotated[DataOptions, arg(name="")] = DataOptions(data=AUTO)
    machine: Annotated[MachineOptions, arg(name="")] = MachineOptions()
    output: Annotated[OutputOptions, arg(name="")] = OutputOptions()
    recipe: str = "shallow"
    images: int | None = None
    val_images: int | None = None
    epochs: int | None = None
    seeds: Count = 3
    seed: Seed = 0
    batch_size: int | None = None
    lr: float | None = None
    drop_path: float | None = None
    cells: Annotated[int, at_least(3)] | None = None
    channels: Annotated[int, at_least(2)] | None = None
    networks_per_group: Annotated[int, at_least(0)] = 0

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)
        self.settings()  # checks the others

    def settings(self) -> Training:
        """The recipe with the changes."""
        named = recipe(self.recipe)
        given = {name: value for name in SETTINGS if (value := getattr(self, name)) is not None}
        return replace(named.settings, **(dict(zip(("cells", "channels"), named.network, strict=True)) | given))

    def complete(self) -> Budget:
        """The same with a value in every field that is left to the recipe."""
        settings = self.settings()
        return replace(self, **{name: getattr(settings, name) for name in SETTINGS})
