"""A training of seconds: a few noisy images of three colours, three cells, four channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nasarch.cells.genotype import Cell, Genotype, Op, resolve
from nasarch.data.dataset import Dataset
from nasarch.runtime.options import updated
from nasarch.search.training.options import TrainOptions
from nasarch.search.training.plan import TrainPlan, network_spec
from nasarch.search.training.recipes import RECIPES, Training
from tests.helpers.coloured_images import data

SETTINGS = Training(epochs=4, batch_size=16, lr=0.1, cutout=0, aux_weight=0.0, drop_path=0.2, cells=3, channels=4)
COMMAND = ["--data", "digits", "--size", "8", "--recipe", "shallow", "--cells", "3", "--channels", "4", "--device", "cpu"]


def colours() -> Dataset:
    """Of the same colours, a test part too."""
    whole = data(96).train
    return replace(data(48), train=whole.subset(torch.arange(48)), test=whole.subset(torch.arange(48, 96)))


def rewired(name: str = "rewired") -> Genotype:
    """Cells of pc_darts_cifar, but for an edge: names and shapes of their weights are the same."""
    genotype = resolve("pc_darts_cifar")
    cell = genotype.cells["normal"]
    *first, (one, other) = cell.nodes
    moved = Op(one.operation, next(source for source in range(2, 5) if source not in (one.source, other.source)))
    return Genotype(name, genotype.space, dict(genotype.cells) | {"normal": Cell((*first, (moved, other)), cell.concat)})


def plan(settings: Training = SETTINGS, *, source: str | Path = "pc_darts_cifar", on: Dataset | None = None, **job: Any) -> TrainPlan:
    on = on or colours()
    told = updated(TrainOptions(), {"device": "cpu"} | job)
    named = RECIPES[told.recipe]
    return TrainPlan(
        network=network_spec(str(source), named, settings, on),
        recipe=named,
        settings=settings,
        data=on,
        device=torch.device("cpu"),
        job=told,
        words="nasarch train",
    )
