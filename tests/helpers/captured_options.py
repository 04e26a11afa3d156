"""What the commands `nasarch search` and `nasarch train` hand on, caught before anything is read or trained."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nasarch.cli.main import main
from nasarch.data.dataset import Dataset
from nasarch.search.runs import command
from nasarch.search.runs.run import Plan
from nasarch.search.training import command as train_command
from nasarch.search.training.plan import TrainPlan
from tests.helpers.coloured_images import data
from tests.helpers.small_training import colours


def words(name: str, value: Any) -> list[str]:
    """The flag as a user types it."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]


def typed(changes: dict[str, Any]) -> list[str]:
    return [word for name, value in changes.items() for word in words(name, value)]


class CapturedCall:
    """What a command hands on: to `load`, to what searches or trains, and to the switches of TF32."""

    def __init__(self) -> None:
        self.load: dict[str, Any] = {}
        self.plan: Any = None
        self.folder = Path()
        self.tf32: list[bool] = []

    def keep(self, plan: Any, folder: Path) -> None:
        self.plan, self.folder = plan, folder


def catch_searches(monkeypatch: pytest.MonkeyPatch) -> CapturedCall:
    """Of `nasarch search`; the images are those of three colours, named as the data."""
    found, images = CapturedCall(), data()

    def load(name: str, **how: Any) -> Dataset:
        found.load = {"name": name, **how}
        return replace(images, name=Path(name).stem)

    monkeypatch.setattr("nasarch.data.load.load", load)
    monkeypatch.setattr(command, "search", found.keep)
    monkeypatch.setattr(command, "fitted", lambda settings, *_: (settings, []))  # whatever the number of images
    monkeypatch.setattr("nasarch.compute.set_tf32", found.tf32.append)
    return found


def catch_trainings(monkeypatch: pytest.MonkeyPatch) -> CapturedCall:
    """Of `nasarch train`; the images are those of three colours."""
    found, images = CapturedCall(), colours()

    def load(name: str, **how: Any) -> Dataset:
        found.load = {"name": name, **how}
        return images

    monkeypatch.setattr("nasarch.data.load.load", load)
    monkeypatch.setattr(train_command, "_train", found.keep)
    monkeypatch.setattr(train_command, "fitted", lambda settings, *_: (settings, []))  # whatever the number of images
    monkeypatch.setattr("nasarch.compute.set_tf32", found.tf32.append)
    return found


def plan_of(told: CapturedCall, *arguments: str, method: str = "ftso") -> Plan:
    """The plan of a search with these flags."""
    return _run(told, "search", method, *arguments)


def training_of(told: CapturedCall, *arguments: str, model: str = "pc_darts_cifar") -> TrainPlan:
    """The plan of a training with these flags."""
    return _run(told, "train", model, *arguments)


def _run(told: CapturedCall, *arguments: str) -> Any:
    told.plan = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["/somewhere/bin/nasarch", *arguments])
        assert main(list(arguments)) == 0
    assert told.plan is not None
    return told.plan
