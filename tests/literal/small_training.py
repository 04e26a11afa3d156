"""Small trainings of which training.py has the twin: cells with every kind of operation, noise of a few pixels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.data.dataset import Augmentation, Dataset, Images
from nasarch.models.network import CellNetwork
from nasarch.search.training.plan import TrainPlan, network_spec
from nasarch.search.training.recipes import RECIPES, Training
from tests.helpers.small_training import plan as usual_plan
from tests.literal.training import Trace, TrainedTwin, in_double, trained

CELLS, CHANNELS, SEED = 3, 4, 5
NORMAL = ((Op("sep_conv_5x5", 0), Op("skip_connect", 1)), (Op("dil_conv_3x3", 1), Op("max_pool_3x3", 2)))
REDUCTION = ((Op("skip_connect", 0), Op("avg_pool_3x3", 1)), (Op("sep_conv_3x3", 0), Op("skip_connect", 2)))
MINE = Genotype("mine", "darts", {"normal": Cell(NORMAL, (2, 3)), "reduction": Cell(REDUCTION, (2, 3))})
BASE = Training(
    **{"epochs": 3, "batch_size": 8, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "clip": 0.0, "cutout": 0, "drop_path": 0.0},
    **{"aux_weight": 0.0, "cells": CELLS, "channels": CHANNELS},
)
EVERYTHING = replace(
    BASE,
    **{"warmup": 0.4, "schedule": "linear", "nesterov": True, "clip": 1.0, "cutout": 3, "colour_jitter": 0.2, "drop_path": 0.4},
    **{"aux_weight": 0.3, "label_smoothing": 0.2, "mixup": 0.5, "ema": 0.9},
)
SIDES = {"cifar": 8, "imagenet": 64}  # 64 is the least with which a recipe trains behind ImageNet's stem


def data(side: int = 8, classes: int = 3) -> Dataset:
    """Noise, with other means by channel; 21 images to train and 11 to test."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 160, (32, 3, side, side), generator=generator) + torch.tensor([0, 30, 90])[:, None, None]
    train, test = (Images(pixels[a:b].to(torch.uint8), torch.arange(a, b) % classes) for a, b in ((0, 21), (21, 32)))
    names, crops = tuple(map(str, range(classes))), Augmentation(padding=2, flip=True)
    return Dataset(name="noise", train=train, test=test, class_names=names, augmentation=crops, source="noise")


def plan(settings: Training, on: Dataset, recipe: str = "cifar", **job: Any) -> TrainPlan:
    """Of the cells `MINE`."""
    usual = usual_plan(replace(settings, cutout=0), on=on, source=f"pc_darts_{recipe}", recipe=recipe, **job)
    return replace(usual, settings=settings, network=network_spec("mine.json", RECIPES[recipe], settings, on, MINE))


def twin(settings: Training, on: Dataset, seed: int, stem: str = "cifar", cells: Genotype = MINE) -> TrainedTwin:
    """With the first weights that the zoo's network has if they are drawn by the seed."""
    shape: dict[str, Any] = {"num_classes": on.num_classes, "cells": settings.cells, "channels": settings.channels, "stem": stem}
    torch.manual_seed(seed)
    net = CellNetwork(cells, **shape, aux_head=settings.aux_weight > 0)
    found = TrainedTwin(cells, **shape, auxiliary=settings.aux_weight > 0)
    found.load(net)
    return found


@functools.cache
def literal(settings: Training, stem: str = "cifar", *, seed: int = SEED, classes: int = 3, processes: int = 1) -> Trace:
    """The whole training, written out."""
    on = data(SIDES[stem], classes)
    with in_double():
        return trained(lambda: twin(settings, on, seed, stem), settings, on, seed, processes=processes)


def assert_same_values(ours: Sequence[Tensor], expected: nn.Module) -> None:
    """Weights and statistics in their order, to 1e-9; an auxiliary tower is passed over where there is none."""
    values = expected.state_dict()
    if len(ours) < len(values):
        values = {key: value for key, value in values.items() if not key.startswith("auxiliary.")}
    for one, other in zip(ours, values.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def farthest(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of two weights of one form."""
    values = {key: value for key, value in other.state_dict().items() if value.is_floating_point()}
    return max((value - values[key]).abs().max().item() for key, value in one.state_dict().items() if key in values)
