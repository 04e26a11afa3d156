"""What `nasarch train` leaves is what the training written out gives: weights, figures by epoch, and the result on the test images."""

from __future__ import annotations

import functools
import json
import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from torch import Tensor

from nasarch.cli.main import main
from nasarch.data.load import load
from nasarch.search.training import command as train_command
from nasarch.search.training.learner import Progress
from nasarch.search.training.recipes import RECIPES, Training
from nasarch.search.training.run import run
from tests.literal.small_training import BASE, EVERYTHING, MINE, SEED, assert_same_values, data, literal, plan, twin
from tests.literal.training import Trace, TrainedTwin, examined, in_double, trained

FLAGGED = replace(EVERYTHING, momentum=0.8, tail=1 / 3, drop_path_on="nodes")  # so that no setting is the recipe's
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(FLAGGED).items() if name != "nesterov"] + ["--nesterov"]
SMALL = ["--cells=3", "--channels=4", "--epochs=2", "--batch-size=8", "--cutout=3", "--device=cpu"]


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    with in_double():
        yield


def saved(folder: Path) -> list[Tensor]:
    """In the order of the network."""
    values = safetensors.torch.load_file(folder / "model" / "model.safetensors")
    net = timm.create_model(f"local-dir:{folder / 'model'}")
    assert values.keys() == net.state_dict().keys()
    return [values[key] for key in net.state_dict()]


def read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text()))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_left(folder: Path, expected: Trace, on: Any) -> None:
    """Weights, metrics and result of a run's folder."""
    assert_same_values(saved(folder), expected.result)
    steps = len(expected.rates) // len(expected.drops)
    assert len(lines(folder)) == len(expected.drops)
    for epoch, line in enumerate(lines(folder)):
        begin, end = epoch * steps, (epoch + 1) * steps
        assert (line["epoch"], line["epochs"], line["step"], line["steps"]) == (epoch + 1, len(expected.drops), steps, steps)
        assert line["loss"] == pytest.approx(expected.mean_loss(begin, end), rel=1e-9)
        assert line["accuracy"] == pytest.approx(expected.accuracy(begin, end), rel=1e-12)
        assert (line["learning_rate"], line["drop_path"]) == pytest.approx((expected.rates[begin], expected.drops[epoch]), rel=1e-12)
    result = read(folder / "result.json")
    assert result["train"] == {key: lines(folder)[-1][key] for key in ("loss", "accuracy")}
    loss, first, five = examined(expected.result, on.test, on)
    tested = result["test"]
    assert tested["images"] == len(on.test) and (tested["loss"], tested["top1"]) == pytest.approx((loss, first), rel=1e-9)
    assert tested["top5"] == (pytest.approx(five, rel=1e-9) if on.num_classes >= 5 else None)
    own = [p.numel() for name, p in expected.result.named_parameters() if not name.startswith("auxiliary.")]
    assert result["parameters"] == sum(own) and result["weights"] == ("moving average" if expected.averages else "last epoch")


@pytest.mark.parametrize(("settings", "classes"), [(EVERYTHING, 7), (BASE, 5), (BASE, 3)], ids=["everything", "base", "three classes"])
def test_a_run_leaves_what_was_written_out(settings: Training, classes: int, tmp_path: Path) -> None:
    on = data(classes=classes)
    run(plan(settings, on), SEED, tmp_path, lambda progress: None)
    assert_left(tmp_path, literal(settings, classes=classes), on)


# ---- the command


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 images to train and 9 to test, of three classes, as files."""
    root, noise = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for part, count in (("train", 7), ("test", 3)):
        for number in range(3 * count):
            folder = root / "noise" / part / "abc"[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            levels = noise.integers(0, 160, (8, 8, 3)) + np.array([0, 30, 90])
            Image.fromarray(levels.astype(np.uint8)).save(folder / f"{number}.png")
    return root / "noise"


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    MINE.save(tmp_path_factory.mktemp("cell") / "mine.json")
    return tmp_path_factory.getbasetemp() / "cell0" / "mine.json"


def command(cell: Path, pictures: Path, out: Path, *flags: str) -> Path:
    """The folder that is left."""
    assert main(["train", str(cell), f"--data={pictures}", f"--out={out}", *flags]) == 0
    return out


@functools.cache
def written_out(settings: Training, pictures: Path, seed: int = 0) -> Trace:
    on = load(pictures)
    return trained(lambda: twin(settings, on, seed), settings, on, seed)


def test_every_flag_of_a_training_reaches_its_place(cell: Path, pictures: Path, tmp_path: Path) -> None:
    folder = command(cell, pictures, tmp_path / "run", *FLAGS, f"--seed={SEED}", "--device=cpu")
    usual = RECIPES["cifar"].settings
    assert [name for name, value in asdict(FLAGGED).items() if value == getattr(usual, name)] == ["decay"]  # not with a tail
    assert_left(folder, written_out(FLAGGED, pictures, SEED), load(pictures))


def test_the_settings_of_a_recipe_are_what_is_trained_by(cell: Path, pictures: Path, tmp_path: Path) -> None:
    """NATS-Bench's, of which other flags change the size alone."""
    flags = ["--recipe=nats", *(flag for flag in SMALL if flag != "--cutout=3")]
    settings = Training(
        **{"epochs": 2, "batch_size": 8, "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "clip": 0.0, "cutout": 0},
        **{"drop_path": 0.0, "aux_weight": 0.0, "cells": 3, "channels": 4},
    )
    assert_left(command(cell, pictures, tmp_path / "run", *flags), written_out(settings, pictures), load(pictures))


DARTS = Training(
    **{"epochs": 2, "batch_size": 8, "lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4, "clip": 5.0, "cutout": 3, "drop_path": 0.2},
    **{"aux_weight": 0.4, "cells": 3, "channels": 4},
)


def test_several_seeds_with_a_scaled_rate_and_their_record(cell: Path, pictures: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    mine.write_bytes(cell.read_bytes())
    folder = command(mine, pictures, tmp_path / "runs", *SMALL, "--runs=2", "--seed=7", "--scale-lr", "--record")
    on, settings = load(pictures), replace(DARTS, lr=0.025 * 8 / 96)
    ends = []
    for seed in (7, 8):
        expected = written_out(settings, pictures, seed)
        assert_left(folder / f"seed-{seed}", expected, on)
        ends.append(examined(expected.result, on.test, on))
    found = read(folder / "result.json")
    assert (found["runs"], found["seeds"]) == (2, [7, 8])
    for key, values in zip(("loss", "top1"), zip(*ends, strict=True), strict=False):
        assert found[key] == {"mean": pytest.approx(np.mean(values)), "std": pytest.approx(np.std(values, ddof=1))}
    (entry,) = read(mine)["provenance"]["results"]
    first = [end[1] for end in ends]
    assert (entry["value"], entry["spread"]) == pytest.approx((100 - np.mean(first), np.std(first, ddof=1)), abs=1e-4)


def test_a_training_that_begins_from_weights_is_written_out_from_them(cell: Path, pictures: Path, tmp_path: Path) -> None:
    """The auxiliary head, of which the file has nothing, is drawn by the seed."""
    before = command(cell, pictures, tmp_path / "before", *SMALL, "--epochs=1", "--no-test")
    assert read(before / "result.json")["test"] is None
    after = command(cell, pictures, tmp_path / "after", *SMALL, f"--weights={before / 'model'}", "--seed=9")
    on = load(pictures)

    def begun() -> TrainedTwin:
        net = twin(DARTS, on, 9)
        own = [value for name, value in net.state_dict().items() if not name.startswith("auxiliary.")]
        for value, taken in zip(own, saved(before), strict=True):
            value.copy_(taken)
        return net

    assert_left(after, trained(begun, DARTS, on, 9), on)


@pytest.mark.parametrize("stop", [(2, 2), (2, 3)], ids=str)
def test_a_stopped_command_goes_on_to_what_is_written_out(
    stop: tuple[int, int], cell: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within an epoch, and at the end of one; with the settings of the folder, not those of the recipe.

    A line of an epoch that was lost is dropped, as a kill leaves it before the state is kept; the clock goes on.
    """
    said = train_command.report

    def tell(live: Any, title: str, place: Progress) -> None:
        if (place.epoch, place.step) == stop and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            signal.raise_signal(signal.SIGTERM)
        said(live, title, place)

    monkeypatch.setattr(train_command, "report", tell)
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)
    assert main(["train", str(cell), f"--data={pictures}", f"--out={tmp_path / 'run'}", *FLAGS, "--device=cpu"]) == 130
    kept = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["stages"]["training"]
    assert (kept["epochs"], kept["step"]) == ((stop[0], 0) if stop[1] == 3 else (stop[0] - 1, stop[1]))
    known = [line | {"seconds": 1000.0} for line in lines(tmp_path / "run")]
    assert len(known) == kept["epochs"]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [*known, known[0] | {"epoch": 3}]))
    assert main(["train", f"--resume={tmp_path / 'run'}"]) == 0
    assert_left(tmp_path / "run", written_out(FLAGGED, pictures), load(pictures))
    assert 1000 < lines(tmp_path / "run")[-1]["seconds"] == read(tmp_path / "run" / "result.json")["seconds"]
