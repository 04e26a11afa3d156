"""The papers' recipes for training a fixed network: frozen settings by name. Knows no loop, no data.

| recipe | epochs | batch | learning rate | drop path | cutout | auxiliary head | source |
|---|---|---|---|---|---|---|---|
| cifar | 600 | 96 | 0.025, cosine to 0 | 0.2 | 16 | 0.4 | DARTS (Liu et al. 2019), sec. 3.2 and code; DOTS, sec. 4.1 |
| pc-darts | 600 | 128 | 0.025, cosine to 0 | 0.3 | 16 | 0.4 | PC-DARTS (Xu et al. 2020), sec. 4.2; as P-DARTS |
| edarts | 600 | 96 | 0.025, cosine to 0 | 0.3 | 16 | 0.4 | eDARTS, sec. IV-E: as PC-DARTS, but batch 96 and 32 channels |
| ftso | 600 | 128 | 0.025, cosine to 0 | 0.3 | 16 | 0.4 | FTSO 2021, Table 4 (rate, cells, channels) |
| imagenet | 250 | 1,024 | 0.5, linear to 0, warm-up of 5 epochs | 0 | 0 | 0.4 | PC-DARTS, sec. 4.3 and code; FTSO 2021, Table 4 |
| imagenet-100 | 100 | 1,024 | 0.5, linear to 0, warm-up of 5 epochs | 0 | 0 | 0.4 | PC-DARTS, Table 3 |
| dots-imagenet | 250 | 1,024 | 0.5, cosine to 0, warm-up of 5 epochs | 0 | 0 | 0.4 | DOTS, sec. 4.2 |
| darts-imagenet | 250 | 128 | 0.1, x 0.97 an epoch | 0 | 0 | 0.4 | DARTS' train_imagenet.py (its row of 26.7 / 8.7 %) |
| shallow | 100 | 64 | 0.025, cosine to 0 | 0.2 | 0 | none | eDARTS, sec. IV-A: 5 cells, 16 channels |
| nats | 200 | 256 | 0.1, cosine to 0, Nesterov | 0 | 0 | none | NATS-Bench (Dong et al. 2021), 200E.config of its code |

All but `nats` clip gradients at norm 5. All crop and flip as the data set has it. Cells and channels are the model's (CIFAR: 20 and 36,
ImageNet: 14 and 48) where the table has none.

- FTSO's texts have neither batch size nor drop path of its trainings: those of PC-DARTS, its baseline, are taken. Its columns of 600 and
  1,200 epochs differ in the epochs alone: `--recipe ftso --epochs 1200`.
- FairDARTS' code (the zoo's `fair_darts_a_cifar` to `fair_darts_g_cifar`) drops paths once a node, on the sum of its edges, identities
  included; its other settings are those of `cifar`: `--recipe cifar --drop-path-on nodes`.
- DOTS, sec. 4.2, has 46 initial channels on ImageNet, Table 2 5.3 M parameters and 596 M multi-adds: `dots_imagenet` has 4.95 M at 46
  channels, 5.35 M and 587 M at 48, which its code has. `--channels 46` trains the other.
- PC-DARTS' text lowers the rate on a straight line over 250 epochs; its code to 0 over 245 and in the last 5 along a line a fifth as
  steep, which starts at 1/245 of the peak: `--tail 0.02`. In epoch 240 the rate is 0.0200 by the text, 0.0102 by the code.

Everything that changes is a function of epoch / epochs, so another number of epochs keeps a recipe's shape: x 0.97 an epoch over 250
epochs is x 0.47 over 10. A warm-up of less than five epochs keeps five stairs, which then change within an epoch: 50 epochs of `imagenet`
climb in the first of them. PC-DARTS' 100 epochs keep the warm-up of 5 epochs, hence a recipe of their own.

Rates are the papers' formulas of the epoch rather than schedulers of timm's, so that what a step uses depends on its number alone, also
after a stop. timm's CosineLRScheduler has the same cosine, but its warm-up begins at `warmup_lr_init` and reaches the rate in epoch n,
lr * e / n; the papers' code takes lr * (e + 1) / n and reaches it in epoch n - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

from nasarch.cells.space import DARTS, NATS
from nasarch.ranges import Count, Fraction, Positive, Range, check_ranges
from nasarch.runtime.schedules import Rate, Schedule, cosine, exponential, in_stairs, linear

NONE_OR_MORE = Range("0 (for none) or more", lambda value: 0 <= value < math.inf)
NETWORKS = {"cifar": (20, 36), "imagenet": (14, 48), "nats": (5, 16)}  # cells (of a stage) and channels, by stem or space


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of a training. The defaults are DARTS' for CIFAR.

    Args:
        epochs: Number of epochs, over which the schedules of learning rate, warm-up and drop path are stretched.
        batch_size: Number of images in a step, over all processes.
        lr: Peak learning rate of SGD.
        schedule: Schedule of the learning rate: cosine or linear, both to 0, or exponential.
        decay: Factor of the exponential schedule over all epochs: x 0.97 an epoch of 250 is 0.000493; 0 for the other schedules.
        tail: Share of the epochs, at the end, in which the linear schedule, then at 0, falls from a small rate a fifth as steeply, as in
            PC-DARTS' code for ImageNet: 5 epochs of 250 are 0.02; 0 for a straight line.
        warmup: Share of the epochs in which the learning rate rises to its peak, in a stair an epoch, or five: 5 epochs of 250 are 0.02.
        momentum: Momentum of SGD.
        nesterov: Nesterov's momentum.
        weight_decay: L2 penalty of all weights.
        clip: Maximum norm of the gradient; 0 for no limit.
        cutout: Side in pixels of the square that cutout hides in each image; 0 for none.
        colour_jitter: Maximum random change of brightness, contrast and saturation, and half of it of the hue; 0 for none.
        drop_path: Probability of dropping an edge that the last epoch would reach, growing from 0 in proportion to the epoch.
        drop_path_on: Terms that drop path drops: edges but identities, or nodes, the sums of their edges, as FairDARTS' code does.
        aux_weight: Weight of the auxiliary classifier's loss; 0 trains without one.
        label_smoothing: Share of the target that is spread over all classes.
        mixup: Alpha of mixup (Zhang et al. 2018); 0 for none.
        ema: Decay of the moving average of the weights, which is then tested and saved; shorter at first. 0 for none.
        cells: Number of cells of the network (NATS-Bench: of a stage) (default: as the model has).
        channels: Number of channels of the first cells' nodes (default: as the model has).

    Raises:
        ValueError: a value out of its range.
    """

    epochs: Count = 600
    batch_size: Count = 96
    lr: Positive = 0.025
    schedule: Literal["cosine", "linear", "exponential"] = "cosine"
    decay: Fraction = 0.0
    tail: Fraction = 0.0
    warmup: Fraction = 0.0
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, NONE_OR_MORE] = 3e-4
    clip: Annotated[float, NONE_OR_MORE] = 5.0
    cutout: Annotated[int, NONE_OR_MORE] = 16
    colour_jitter: Annotated[float, Range("0 (for none) to 1", lambda value: 0 <= value <= 1)] = 0.0
    drop_path: Fraction = 0.2
    drop_path_on: Literal["edges", "nodes"] = "edges"
    aux_weight: Annotated[float, NONE_OR_MORE] = 0.4
    label_smoothing: Fraction = 0.0
    mixup: Annotated[float, NONE_OR_MORE] = 0.0
    ema: Fraction = 0.0
    cells: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)
        if self.nesterov and not self.momentum:
            raise ValueError("--nesterov is a kind of momentum: choose --momentum above 0, such as 0.9")
        if (self.schedule == "exponential") != (self.decay > 0):
            raise ValueError(
                f"--schedule {self.schedule} and --decay {self.decay:g}: choose a decay between 0 and 1, such as 0.0005, for the "
                "exponential schedule, and 0 for the others"
            )
        if self.tail and self.schedule != "linear":
            raise ValueError(f"--tail is one of the linear schedule: choose --schedule linear instead of {self.schedule}, or --tail 0")

    @property
    def learning_rate(self) -> Rate:
        """By epochs done; their fraction counts during the warm-up alone."""
        shape = {
            "cosine": lambda: cosine(self.lr, 0.0, self.epochs),
            "linear": lambda: linear(self.lr, self.epochs, self.tail),
            "exponential": lambda: exponential(self.lr, self.decay, self.epochs),
        }[self.schedule]()
        return in_stairs(shape, self.warmup * self.epochs)

    @property
    def drop_path_rate(self) -> Schedule:
        """By epoch: rate * e / E (Zoph et al. 2018)."""
        return lambda epoch: self.drop_path * epoch / self.epochs


class Recipe(NamedTuple):
    """Settings, their source in the literature, and the networks that they are for: stems and spaces."""

    settings: Training
    source: str
    stem: str
    spaces: tuple[str, ...]

    @property
    def network(self) -> tuple[int, int]:
        """Numbers of cells and channels: the recipe's own, else those of the papers' networks (nasarch/models/zoo.py)."""
        cells, channels = NETWORKS["nats" if self.spaces[0] == NATS.name else self.stem]
        return self.settings.cells or cells, self.settings.channels or channels


CIFAR = Training()
PC_DARTS = replace(CIFAR, batch_size=128, drop_path=0.3)
EDARTS = replace(PC_DARTS, batch_size=96, channels=32)
SHALLOW = replace(CIFAR, epochs=100, batch_size=64, cutout=0, aux_weight=0.0, cells=5, channels=16)
IMAGENET = Training(
    epochs=250,
    batch_size=1024,
    lr=0.5,
    schedule="linear",
    warmup=0.02,  # 5 of 250
    weight_decay=3e-5,
    cutout=0,
    colour_jitter=0.4,
    drop_path=0.0,
    label_smoothing=0.1,
)
IMAGENET_100 = replace(IMAGENET, epochs=100, warmup=0.05)
DOTS_IMAGENET = replace(IMAGENET, schedule="cosine")
DARTS_IMAGENET = replace(IMAGENET, batch_size=128, lr=0.1, warmup=0.0, schedule="exponential", decay=0.97**250)
NATS_BENCH = Training(
    epochs=200,
    batch_size=256,
    lr=0.1,
    nesterov=True,
    weight_decay=5e-4,
    clip=0.0,
    cutout=0,
    drop_path=0.0,
    aux_weight=0.0,
)
RECIPES = {
    "cifar": Recipe(CIFAR, "DARTS, sec. 3.2", "cifar", (DARTS.name,)),
    "pc-darts": Recipe(PC_DARTS, "PC-DARTS, sec. 4.2", "cifar", (DARTS.name,)),
    "edarts": Recipe(EDARTS, "eDARTS, sec. IV-E", "cifar", (DARTS.name,)),
    "ftso": Recipe(PC_DARTS, "FTSO 2021, Table 4, batch size and drop path of PC-DARTS, sec. 4.2", "cifar", (DARTS.name,)),
    "imagenet": Recipe(IMAGENET, "PC-DARTS, sec. 4.3", "imagenet", (DARTS.name,)),
    "imagenet-100": Recipe(IMAGENET_100, "PC-DARTS, Table 3 and sec. 4.3", "imagenet", (DARTS.name,)),
    "dots-imagenet": Recipe(DOTS_IMAGENET, "DOTS, sec. 4.2", "imagenet", (DARTS.name,)),
    "darts-imagenet": Recipe(DARTS_IMAGENET, "DARTS, train_imagenet.py", "imagenet", (DARTS.name,)),
    "shallow": Recipe(SHALLOW, "eDARTS, sec. IV-A", "cifar", (DARTS.name, NATS.name)),
    "nats": Recipe(NATS_BENCH, "NATS-Bench, 200E.config", "cifar", (NATS.name, DARTS.name)),
}


def recipe(name: str) -> Recipe:
    """The recipe `name`.

    Raises:
        ValueError: there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def remarks_on(settings: Training, defaults: Training) -> list[str]:
    """A warning of another batch size with the recipe's learning rate (linear scaling, Goyal et al. 2017)."""
    if settings.batch_size == defaults.batch_size or settings.lr != defaults.lr:
        return []
    sizes = f"batch size {settings.batch_size} instead of the recipe's {defaults.batch_size} with its learning rate {settings.lr:g}"
    return [f"{sizes}: in proportion it would be {with_scaled_lr(settings, defaults).lr:.4g}; --scale-lr takes that"]


def with_scaled_lr(settings: Training, defaults: Training) -> Training:
    """The learning rate scaled with the batch size: linear scaling (Goyal et al. 2017)."""
    return replace(settings, lr=settings.lr * (settings.batch_size / defaults.batch_size))
