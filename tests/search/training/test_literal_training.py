"""A training is the one written out in tests/literal/training.py: rates, losses, weights, momentum and moving average, with every
setting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.data.dataset import Dataset
from nasarch.data.loader import BatchLoader
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.training.learner import Learner, Progress, fit
from nasarch.search.training.recipes import Training
from nasarch.search.training.run import _batches, _learner
from tests.literal.small_training import BASE, EVERYTHING, SEED, SIDES, assert_same_values, data, farthest, literal, plan
from tests.literal.training import Trace, in_double

CHANGES: dict[str, dict[str, Any]] = {
    "a falling line": {"schedule": "linear"},
    "a falling line with a tail": {"epochs": 8, "batch_size": 21, "schedule": "linear", "tail": 0.25},
    "a constant factor an epoch": {"schedule": "exponential", "decay": 0.1},
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
    "drop path on nodes": {"drop_path": 0.5, "drop_path_on": "nodes"},
    "an auxiliary head": {"aux_weight": 0.4},
    "smoothing": {"label_smoothing": 0.15},
    "mixup": {"mixup": 0.3},
    "smoothing and mixup": {"label_smoothing": 0.25, "mixup": 0.3},
    "a moving average": {"ema": 0.6},
}


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)  # a report after every step
    with in_double():
        yield


def learner_of(settings: Training, on: Dataset, recipe: str = "cifar") -> tuple[Learner, BatchLoader, list[float]]:
    """With its batches, and the rates that its optimiser's steps will have."""
    what, rates = plan(settings, on, recipe), list[float]()
    batches = _batches(what, SEED)
    learner = _learner(what, SEED, fresh=True, steps=len(batches))
    learner.net.eval()  # as something else may have left it
    learner.optimizer.register_step_pre_hook(lambda optimizer, *_: rates.extend({group["lr"] for group in optimizer.param_groups}))
    return learner, batches, rates


def assert_is(learner: Learner, rates: list[float], reports: list[Progress], expected: Trace) -> None:
    assert rates == pytest.approx(expected.rates, rel=1e-12)
    for number, report in enumerate(reports):
        first = number - number % report.steps
        assert (report.epoch, report.step) == (number // report.steps + 1, number - first + 1)
        assert report.loss == pytest.approx(expected.mean_loss(first, number + 1), rel=1e-9)
        assert report.accuracy == pytest.approx(expected.accuracy(first, number + 1), rel=1e-12)
        assert report.learning_rate == pytest.approx(expected.rates[first], rel=1e-12)
        assert report.drop_path == pytest.approx(expected.drops[report.epoch - 1], rel=1e-12)
    assert_same_values(list(learner.net.state_dict().values()), expected.nets[0])
    assert_same_values(list(learner.result().state_dict().values()), expected.result)
    momenta = [learner.optimizer.state[parameter].get("momentum_buffer") for parameter in learner.net.parameters()]
    largest = max(value.abs().max().item() for value in expected.velocity)
    for ours, theirs in zip(momenta, expected.velocity, strict=True):
        if learner.settings.momentum:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-8 * largest)


@pytest.mark.parametrize("change", [{}, *CHANGES.values()], ids=["as it is", *CHANGES])
def test_a_training_is_the_one_written_out(change: dict[str, Any]) -> None:
    settings = replace(BASE, **change)
    learner, batches, rates = learner_of(settings, data())
    assert_is(learner, rates, list(fit(learner, batches, Checkpoint())), literal(settings))
    assert not change or farthest(literal(settings).result, literal(BASE).result) > 1e-4  # the setting is one that shows


@pytest.mark.parametrize("recipe", SIDES)
def test_with_every_setting_at_once_it_is_too_behind_either_stem(recipe: str) -> None:
    settings = replace(EVERYTHING, epochs=1 if recipe == "imagenet" else 3)
    learner, batches, rates = learner_of(settings, data(SIDES[recipe]), recipe)
    assert_is(learner, rates, list(fit(learner, batches, Checkpoint())), literal(settings, recipe))


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_training_that_was_stopped_becomes_the_one_written_out(stop_at: int, tmp_path: Path) -> None:
    """In the warm-up, at an epoch's end, and after the warm-up has ended within the epoch."""
    rates, reports = list[float](), list[Progress]()
    for _ in range(2):
        checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
        learner, batches, further = learner_of(EVERYTHING, data())
        try:
            for report in fit(learner, batches, checkpoint):
                reports.append(report)
                checkpoint.stop_requested = len(reports) == stop_at
        except KeyboardInterrupt:
            assert len(reports) == stop_at
        rates += further
    assert_is(learner, rates, reports, literal(EVERYTHING))
