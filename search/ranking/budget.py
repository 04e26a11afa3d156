"""Training budget of a ranking's networks, alike in all its commands, and the ranking task: a command with its budget and facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from tyro.conf import arg

from nasarch.data.options import DataOptions
from nasarch.runtime import distributed
from nasarch.runtime.json_files import CONFIG, check_types, read_object, reading
from nasarch.runtime.options import MachineOptions, OutputOptions, updated
from nasarch.runtime.recorded_data import moved_data
from nasarch.search.training.recipes import SHALLOW, Training

AUTO = "auto"  # data set of the searches that are ranked, or `DEFAULT_DATA`
DEFAULT_DATA = "digits"
FROM_SEARCHES = ("data", "size", "root", "in_memory")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Training budget of each network: the recipe `shallow` (eDARTS, sec. IV-A) with these changes, and the images.

    Args:
        dataset: Options of the data set.
        machine: Options of the hardware.
        output: Options of the run folder.
        images: Number of training images, class-balanced (default: all of the training half).
        val_images: Number of validation images, class-balanced (default: all of the validation half).
        epochs: Number of epochs of each training, over which the schedules are stretched.
        seeds: Number of trainings of each network (seeds SEED, SEED+1, ...).
        seed: First random seed; also of the halves of the data, unless all searches share theirs, and of the images drawn.
        batch_size: Number of images in a step.
        lr: Initial learning rate of SGD; it falls to 0 along a cosine.
        drop_path: Probability of dropping an edge that the last epoch would reach.
        cells: Number of cells of each network.
        channels: Number of channels of the first cells' nodes.
        together: Number of networks fused into one and trained on the same batches; 0 is the fastest by measurement, 1 one by one.

    Raises:
        ValueError: a value out of its range.
    """

    dataset: Annotated[DataOptions, arg(name="")] = DataOptions(data=AUTO)
    machine: Annotated[MachineOptions, arg(name="")] = MachineOptions()
    output: Annotated[OutputOptions, arg(name="")] = OutputOptions()
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

    def __post_init__(self) -> None:
        minima = {"seeds": 1, "seed": 0, "together": 0, "cells": 3, "channels": 2}
        for name, minimum in minima.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"--{name} {getattr(self, name)}: choose {minimum} or more")
        self.settings()  # checks the others

    def settings(self) -> Training:
        """The recipe with the changes."""
        names = ("epochs", "batch_size", "lr", "drop_path", "cells", "channels")
        return replace(SHALLOW, **{name: getattr(self, name) for name in names})


Facts = dict[str, Any]  # of a command besides the budget, for JSON


class RankingTask(NamedTuple):
    """A command, its budget, its other arguments, and its folder, which has no name until it is claimed if the user gave none."""

    command: str
    budget: Budget
    facts: Facts
    out: Path | None

    @property
    def folder(self) -> Path:
        assert self.out is not None
        return self.out


def ranking_task(command: str, budget: Budget, facts: Callable[[], Facts]) -> RankingTask:
    """The task that the flags describe, `facts` being called only then; or the one in the folder to resume.

    What the flags leave open of the data set is taken from the fact `searched` (origin.py), if there is one.

    Raises:
        ValueError: there is nothing of this command to resume; several processes without a folder in common.
    """
    if budget.output.resume is not None:
        task = _resumed(command, budget.output.resume)
        return task._replace(budget=moved_data(task.budget, budget, Budget()))
    if budget.output.out is None and distributed.rank_and_world_size()[1] > 1:
        raise ValueError("several processes work into one folder: name it with --out DIR, on a disk that all of them see")
    found = facts()
    budget = replace(budget, dataset=_data_of_searches(budget.dataset, found.get("searched") or {}))
    return RankingTask(command, budget, found, budget.output.out)


def _data_of_searches(options: DataOptions, searched: Facts) -> DataOptions:
    """The options, with what they leave open as in the searches: with data set `auto` all of it, otherwise the size alone."""
    names = FROM_SEARCHES if options.data == AUTO else ("size",)
    known = {"data": DEFAULT_DATA} | {name: searched[name] for name in FROM_SEARCHES if name in searched}
    return updated(options, {name: known.get(name) for name in names if getattr(options, name) in (None, AUTO)})


def _resumed(command: str, folder: Path) -> RankingTask:
    remedy = f"give the folder of `nasarch {command}`, with its config.json"
    config = read_object(folder / CONFIG, remedy, tournament=str, budget=dict, facts=dict)
    with reading(folder / CONFIG, remedy):
        budget = check_types(updated(Budget(), config["budget"] | {"resume": folder}))
    if config["tournament"] != command:
        raise ValueError(f"{folder} is of `nasarch {config['tournament']}`, not of `nasarch {command}`: resume it with that command")
    return RankingTask(command, budget, config["facts"], folder)
