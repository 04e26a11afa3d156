"""Run options of `nasarch train`, beside the settings of its recipe. Knows no PyTorch, so that flags are parsed without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from nasarch.data.options import DataOptions
from nasarch.ranges import Count, Seed, check_ranges
from nasarch.runtime.options import MachineOptions, OutputOptions, Precision


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Run options of a training, beside the settings of its recipe.

    Args:
        dataset: Options of the data set; a folder or tar file needs a test part.
        machine: Options of the hardware.
        output: Options of the run folder.
        recipe: Settings from the literature, which other flags then change: cifar, pc-darts, edarts, ftso, imagenet, imagenet-100,
            dots-imagenet, darts-imagenet, shallow or nats.
        weights: Pretrained weights to start from, instead of random ones: a .safetensors file, or a training's model/ or checkpoint.pt.
        scale_lr: Linear scaling of the recipe's learning rate with the batch size.
        seed: Random seed of weight initialization, batch order, augmentation and drop path.
        runs: Number of independent trainings (seeds SEED, SEED+1, ...); reports mean and standard deviation.
        amp: Mixed precision: bf16 or fp16 autocast; off is float32.
        recompute: Activation recomputation: maps that are cheap to compute are not kept for the backward pass. The same results with a
            third less memory, in a seventh more time.
        test: Accuracy on the test images, measured once, at the end; with --no-test no test part is needed.
        record: Entry of the result in the genotype's file, beside those that its paper reports.
        tensorboard: Log for TensorBoard in the run folder.

    Raises:
        ValueError: a value out of its range, or options that exclude each other.
    """

    dataset: Annotated[DataOptions, arg(name="")] = DataOptions()
    machine: Annotated[MachineOptions, arg(name="")] = MachineOptions()
    output: Annotated[OutputOptions, arg(name="")] = OutputOptions()
    recipe: str = "cifar"
    weights: Path | None = None
    scale_lr: bool = False
    seed: Seed = 0
    runs: Count = 1
    amp: Precision = "off"
    recompute: bool = False
    test: bool = True
    record: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)
        if self.record and not self.test:
            raise ValueError("--record writes down the accuracy on the test images: leave --no-test out")
