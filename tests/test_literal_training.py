"""A training is the one written out in literal_training.py: rates, losses, weights, momentum and moving average, with every setting."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.genotype import Cell, Genotype, Op
from nasarch.network import CellNetwork
from nasarch.search import train as training
from nasarch.search.checkpoint import Checkpoint
from nasarch.search.data import Augmentation, Dataset, Images
from nasarch.search.train import Learner, Progress, fit
from nasarch.search.train_recipes import Training
from nasarch.search.train_run import _batches
from tests.literal_training import Trace, TrainedTwin, in_double, trained
from tests.train_small import plan

CELLS, CHANNELS, SEED = 3, 4, 5
NORMAL = ((Op("sep_conv_5x5", 0), Op("skip_connect", 1)), (Op("dil_conv_3x3", 1), Op("max_pool_3x3", 2)))
REDUCTION = ((Op("skip_connect", 0), Op("avg_pool_3x3", 1)), (Op("sep_conv_3x3", 0), Op("skip_connect", 2)))
MINE = Genotype("mine", "darts", {"normal": Cell(NORMAL, (2, 3)), "reduction": Cell(REDUCTION, (2, 3))})
BASE = Training(
    **{"epochs": 3, "batch_size": 8, "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "clip": 0.0, "cutout": 0, "drop_path": 0.0},
    **{"aux_weight": 0.0, "cells": CELLS, "channels": CHANNELS},
)
CHANGES: dict[str, dict[str, Any]] = {
    "a falling line": {"schedule": "linear"},
    "a warm-up of a stair an epoch": {"epochs": 9, "batch_size": 21, "warmup": 6 / 9},
    "a warm-up that ends within an epoch": {"warmup": 0.5, "schedule": "linear"},
    "a warm-up shorter than an epoch": {"warmup": 0.2},
    "no momentum": {"momentum": 0.0},
    "Nesterov's momentum": {"nesterov": True},
    "no weight decay": {"weight_decay": 0.0},
    "clipping": {"clip": 0.5},
    "cutout": {"cutout": 3},
    "colour jitter": {"colour_jitter": 0.4},
    "drop path": {"drop_path": 0.5},
    "an auxiliary head": {"aux_weight": 0.4},
    "smoothing": {"label_smoothing": 0.1},
    "mixup": {"mixup": 0.3},
    "smoothing and mixup": {"label_smoothing": 0.1, "mixup": 0.3},
    "a moving average": {"ema": 0.6},
}
EVERYTHING = {
    **{"warmup": 0.4, "schedule": "linear", "nesterov": True, "clip": 1.0, "cutout": 3, "colour_jitter": 0.2, "drop_path": 0.4},
    **{"aux_weight": 0.3, "label_smoothing": 0.2, "mixup": 0.5, "ema": 0.9},
}


def data(side: int = 8) -> Dataset:
    """Noise of three classes and other means by channel, 21 images to train and 11 to test."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 160, (32, 3, side, side), generator=generator) + torch.tensor([0, 30, 90])[:, None, None]
    parts = [Images(pixels[a:b].to(torch.uint8), torch.arange(a, b) % 3) for a, b in ((0, 21), (21, 32))]
    crops = Augmentation(padding=2, flip=True)
    return Dataset(name="noise", train=parts[0], test=parts[1], class_names=("r", "g", "b"), augmentation=crops, source="noise")


def first(settings: Training, stem: str = "cifar") -> CellNetwork:
    torch.manual_seed(1)
    shape = {"cells": CELLS, "channels": CHANNELS, "stem": stem, "aux_head": settings.aux_weight > 0}
    return CellNetwork(MINE, 3, **shape)  # type: ignore[arg-type]


def twin(settings: Training, stem: str = "cifar") -> TrainedTwin:
    shape = {"cells": CELLS, "channels": CHANNELS, "stem": stem, "auxiliary": settings.aux_weight > 0}
    found = TrainedTwin(MINE, num_classes=3, **shape)  # type: ignore[arg-type]
    found.load(first(settings, stem))
    return found


@functools.cache
def literal(settings: Training, stem: str = "cifar") -> Trace:
    with in_double():
        return trained(lambda: twin(settings, stem), settings, data(32 if stem == "imagenet" else 8), SEED)


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(training, "INTERVAL", 0.0)  # a report after every step
    with in_double():
        yield


def learner_of(settings: Training, on: Dataset, stem: str = "cifar") -> tuple[Learner, Any, list[float]]:
    """With its batches, and the rates that its optimiser's steps will have."""
    batches, rates = _batches(plan(settings, on=on), SEED), list[float]()
    learner = Learner(first(settings, stem), settings, seed=SEED, colours=(on.mean, on.std), steps=len(batches))
    learner.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.extend({group["lr"] for group in optimizer.param_groups}))
    return learner, batches, rates


def assert_same_values(net: torch.nn.Module, expected: torch.nn.Module) -> None:
    for ours, theirs in zip(net.state_dict().values(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def assert_is(learner: Learner, rates: list[float], reports: list[Progress], expected: Trace) -> None:
    assert rates == pytest.approx(expected.rates, rel=1e-12)
    steps = reports[-1].steps
    for number, report in enumerate(reports):
        begin = number - number % steps
        assert report.loss == pytest.approx(expected.mean_loss(begin, number + 1), rel=1e-9)
        assert report.accuracy == pytest.approx(expected.accuracy(begin, number + 1), rel=1e-12)
        assert (report.learning_rate, report.drop_path) == pytest.approx(
            (expected.rates[begin], expected.drops[number // steps]), rel=1e-12
        )
    assert_same_values(learner.net, expected.nets[0])
    assert_same_values(learner.result(), expected.result)
    momenta = [learner.optimizer.state[parameter].get("momentum_buffer") for parameter in learner.net.parameters()]
    largest = max(value.abs().max().item() for value in expected.velocity)
    for ours, theirs in zip(momenta, expected.velocity, strict=True):
        if learner.settings.momentum:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-8 * largest)


def farthest(one: torch.nn.Module, other: torch.nn.Module) -> float:
    pairs: Iterator[tuple[Tensor, Tensor]] = zip(one.parameters(), other.parameters(), strict=False)
    return max((a - b).abs().max().item() for a, b in pairs if a.shape == b.shape)


@pytest.mark.parametrize("change", [{}, *CHANGES.values(), EVERYTHING], ids=["as it is", *CHANGES, "everything"])
def test_a_training_is_the_one_written_out(change: dict[str, Any], double: None) -> None:
    settings = replace(BASE, **change)
    learner, batches, rates = learner_of(settings, data())
    assert_is(learner, rates, list(fit(learner, batches, Checkpoint())), literal(settings))
    if change:
        assert farthest(learner.result(), literal(BASE).result) > 1e-4  # the setting is one that shows
