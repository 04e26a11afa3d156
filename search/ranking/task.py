"""Ranking task: a command that ranks, with its budget, its other arguments and its folder; from flags or from a folder to resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from nasarch.data.options import DataOptions
from nasarch.runtime import distributed
from nasarch.runtime.json_files import CONFIG, check_types, read_object, reading
from nasarch.runtime.options import updated
from nasarch.runtime.recorded_data import moved_data

from .budget import AUTO, DEFAULT_DATA, Budget

FROM_SEARCHES = ("data", "size", "root", "in_memory")
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
    task_facts = facts()
    budget = replace(budget.complete(), dataset=_data_of_searches(budget.dataset, task_facts.get("searched") or {}))
    return RankingTask(command, budget, task_facts, budget.output.out)


def _data_of_searches(options: DataOptions, searched: Facts) -> DataOptions:
    """The options, with what they leave open as in the searches: with data set `auto` all of it, otherwise the size alone."""
    names = FROM_SEARCHES if options.data == AUTO else ("size",)
    known = {"data": DEFAULT_DATA} | {name: searched[name] for name in FROM_SEARCHES if name in searched}
    return updated(options, {name: known.get(name) for name in names if getattr(options, name) in (None, AUTO)})


def _resumed(command: str, folder: Path) -> RankingTask:
    remedy = f"give the folder of `nasarch {command}`, with its config.json"
    config = read_object(folder / CONFIG, remedy, tournament=str, budget=dict, facts=dict)
    with reading(folder / CONFIG, remedy):
        budget = check_types(updated(Budget().complete(), config["budget"] | {"resume": folder}))
    if config["tournament"] != command:
        raise ValueError(f"{folder} is of `nasarch {config['tournament']}`, not of `nasarch {command}`: resume it with that command")
    return RankingTask(command, budget, config["facts"], folder)
