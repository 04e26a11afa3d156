"""What trainings of many small networks are told: the budget of each, alike in all commands, and how a folder tells it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from nasarch.runtime import distributed
from nasarch.runtime.run_folder import usual_folder, with_paths
from nasarch.search.training.recipes import SHALLOW, Training

DATA = "digits"  # where neither a flag nor a run says which


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How each network is trained: by the recipe `shallow` (eDARTS, sec. IV-A), which these change, on how much of which data.

    Args:
        data: digits, cifar10, cifar100, or a folder or tar file of class folders; by default what the runs were searched on, or digits.
        size: bring all images to squares of so many pixels; by default as the search did.
        root: folder of CIFAR's files.
        download: fetch CIFAR's files if they are missing.
        in_memory: hold all images in memory (True) or decode them in every epoch (False); by default what fits is held.
        workers: processes that decode images on disk; by default one a core.
        images: train on so many images, as many of each class; by default on all that there are for it.
        val_images: measure accuracy on so many images, as many of each class; by default on all that there are for it.
        epochs: of each training; the schedules are stretched to them.
        seeds: train each network so many times, with the seeds from SEED on.
        seed: the first one; also of the halves of the data, unless all runs were searched on the same ones, and of the images drawn.
        batch_size: images of a step.
        lr: learning rate of SGD at first; it falls to 0 along a cosine.
        drop_path: probability of dropping an edge that the last epoch would reach.
        cells: of each network.
        channels: of the first cells' nodes.
        together: train so many networks as one, on the same images; 0 takes what is fastest by measurement, 1 trains one by one.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
        tf32: let NVIDIA GPUs round the factors of float32 convolutions and matrix products to TF32: faster, but not exact.
        out: a new folder for the results; by default one below runs/.
        resume: go on with what is in this folder, with its own settings and data; no other flag counts then.
    """

    data: str | None = None
    size: int | None = None
    root: Path | None = None
    download: bool = False
    in_memory: bool | None = None
    workers: int | None = None
    images: int | None = None
    val_images: int | None = None
    epochs: int = SHALLOW.epochs
    seeds: int = 3
    seed: int = 0
    batch_size: int = SHALLOW.batch_size
    lr: float = SHALLOW.lr
    drop_path: float = SHALLOW.drop_path
    cells: int = 5
    channels: int = 16
    together: int = 0
    device: str = "auto"
    tf32: bool = False
    out: Path | None = None
    resume: Path | None = None

    def __post_init__(self) -> None:
        least = {"seeds": 1, "seed": 0, "together": 0, "cells": 3, "channels": 2}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"--{name} {getattr(self, name)}: choose {low} or more")
        self.settings()  # checks the others

    def settings(self) -> Training:
        """The recipe with the changes."""
        names = ("epochs", "batch_size", "lr", "drop_path", "cells", "channels")
        return replace(SHALLOW, **{name: getattr(self, name) for name in names})


Facts = dict[str, Any]  # what a command is told besides the budget, for JSON


class RankingTask(NamedTuple):
    """A command, its budget, what else it was told, and its folder."""

    command: str
    budget: Budget
    facts: Facts
    folder: Path


def told(command: str, budget: Budget, facts: Callable[[], Facts]) -> RankingTask:
    """What is to be done: what the flags say, `facts` being asked only then; or what the folder to resume says.

    What the flags don't say of the data is taken from the fact `searched` (origin.py), if there is one.

    Raises:
        ValueError: there is nothing of this command to resume; several processes without a folder in common.
    """
    if budget.resume is not None:
        return _resumed(command, budget.resume)
    if budget.out is None and distributed.rank_and_world_size()[1] > 1:
        raise ValueError("several processes work into one folder: name it with --out DIR, on a disk that all of them see")
    found = facts()
    budget = _settled(budget, found.get("searched") or {})
    return RankingTask(command, budget, found, budget.out or usual_folder(command, budget.data or DATA))


def _settled(budget: Budget, searched: Facts) -> Budget:
    """The budget with the data that were searched on where it names none, and their size where it has none."""
    known: Facts = with_paths(Budget, searched)
    names = ("size",) if budget.data is not None else ("data", "size", "root", "in_memory")
    usual: dict[str, Any] = {name: known.get(name) for name in names if getattr(budget, name) is None}
    return replace(budget, **usual | {"data": budget.data or known.get("data") or DATA})


def _resumed(command: str, folder: Path) -> RankingTask:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found = config["tournament"]
        values: dict[str, Any] = with_paths(Budget, config["budget"])
        budget, facts = Budget(**values | {"resume": folder}), dict(config["facts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"nothing to resume in {folder} ({error}): give the folder of `nasarch {command}`, with its config.json"
        ) from error
    if found != command:
        raise ValueError(f"{folder} is of `nasarch {found}`, not of `nasarch {command}`: resume it with that command")
    return RankingTask(command, budget, facts, folder)
