"""Several processes of a tournament agree on its folder before one of them trains; results that are no numbers are refused."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.distributed as dist
from torch import multiprocessing

from nasarch.cells.topology import unified
from nasarch.runtime.options import updated
from nasarch.search.ranking import tournament
from nasarch.search.ranking.budget import Budget
from nasarch.search.ranking.console import TournamentProgress
from nasarch.search.ranking.protocol import evaluation_protocol
from nasarch.search.ranking.task import RankingTask
from nasarch.search.ranking.tournament import Candidate, open_tournament, read_group, train_groups, training_groups

PROCESSES = 2
TINY = updated(
    Budget(cells=3, channels=4, epochs=1, images=20, val_images=20, batch_size=10, networks_per_group=1),
    {"data": "digits", "size": 8, "device": "cpu"},
)


def a_task(folder: Path) -> RankingTask:
    return RankingTask("select", TINY, {"cells": []}, folder)


def process(number: int, folder: str) -> None:
    """One of the processes: begins a tournament, then the same one in the folder that is used by then; writes down what it is told."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(PROCESSES)}
    task, said = a_task(Path(folder) / "used"), []
    place = evaluation_protocol(task, by_test=False)
    for meeting in ("first", "second"):
        dist.init_process_group("gloo", init_method=f"file://{folder}/{meeting}", rank=number, world_size=PROCESSES)
        try:
            with open_tournament(task, place):
                said.append("begins")
        except ValueError as error:
            said.append(str(error))
        said.append(f"joined: {dist.is_initialized()}")
    (Path(folder) / f"{number}.json").write_text(json.dumps(said))


def test_no_process_begins_in_a_folder_that_the_first_refuses(tmp_path: Path) -> None:
    multiprocessing.spawn(process, (str(tmp_path),), nprocs=PROCESSES)
    for number in range(PROCESSES):
        first, _, second, from_polyphase = json.loads((tmp_path / f"{number}.json").read_text())
        assert first == "begins" and "exists already" in second and from_polyphase == "joined: False"
    assert json.loads((tmp_path / "used" / "config.json").read_text())["processes"] == PROCESSES


def test_a_folder_that_another_machine_does_not_see_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = a_task(tmp_path / "elsewhere")
    place = evaluation_protocol(task, by_test=False)
    monkeypatch.setattr(tournament, "PATIENCE", 0.0)
    config = json.loads(json.dumps(tournament._config(task, place)))
    monkeypatch.setattr(tournament, "claimed", lambda *told: contextlib.nullcontext(task.folder))
    monkeypatch.setattr(tournament.distributed, "run_on_main", lambda work: config)
    with (
        pytest.raises(ValueError, match="no .*elsewhere/config.json here, though the first process has one: name a folder with --out"),
        open_tournament(task, place),
    ):
        pytest.fail("begun")


def test_a_network_whose_loss_is_no_number_is_not_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = a_task(tmp_path / "run")
    place = evaluation_protocol(task, by_test=False)
    wanted = training_groups("cells", [Candidate("mine", unified("01-02-03-04"))], [5], 1)
    monkeypatch.setattr(tournament, "_evaluated", lambda *arguments: [(10.0, math.nan)])
    with pytest.raises(ValueError, match=r"loss of mine, seed 5, on the evaluation images is nan, so it can't be ranked: .*\(--lr\)"):
        train_groups(task, place, wanted, lambda heat, progress: None)
    assert not list((tmp_path / "run").rglob("*.jsonl"))


def test_lines_of_before_whose_loss_is_no_number_are_refused(tmp_path: Path) -> None:
    line = {"name": "mine", "seed": 5, "accuracy": 10.0, "loss": math.inf}
    (tmp_path / "heat.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match="heat.jsonl, line 1: damaged .Infinity is not a number in JSON.*: remove it, and resume"):
        read_group(tmp_path / "heat.jsonl")
    (tmp_path / "heat.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="heat.jsonl, line 1: damaged .no 'name'.: remove it, and resume"):
        read_group(tmp_path / "heat.jsonl")


def test_each_process_takes_its_share_of_the_heats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two, beside a first one that is done: heats 1 and 3 are its own, heat 1 is over."""
    task = a_task(tmp_path / "run")
    place = evaluation_protocol(task, by_test=False)
    wanted = training_groups(
        "cells", [Candidate(path, unified(path)) for path in ("01-02-03-04", "01-01-01-01", "01-12-23-34", "01-02-02-02")], [5], 1
    )
    (tmp_path / "run" / "groups").mkdir(parents=True)
    for number in (0, 1, 2):
        line = {"name": wanted[number].candidates[0].name, "seed": 5, "accuracy": 50.0 + number, "loss": 1.0}
        (tmp_path / "run" / "groups" / f"{wanted[number].name}.jsonl").write_text(json.dumps(line) + "\n")
    monkeypatch.setattr(tournament.distributed, "rank_and_world_size", lambda: (1, 2))
    monkeypatch.setattr(tournament.time, "sleep", lambda seconds: pytest.fail("it waits for a heat that is its own"))
    tally = TournamentProgress(SimpleNamespace(say=lambda *words, **told: None), "cells", wanted, task.folder)  # type: ignore[arg-type]
    assert (tally.total, tally.done) == (2, 1)
    trained: list[str] = []
    found = train_groups(task, place, wanted, lambda heat, progress: trained.append(heat.name))
    assert set(trained) == {wanted[3].name} and [line["accuracy"] for line in found[:3]] == [50.0, 51.0, 52.0]
    assert [line["name"] for line in found] == [heat.candidates[0].name for heat in wanted]
    collected = [json.loads(line) for line in (tmp_path / "run" / "networks.jsonl").read_text().splitlines()]
    assert collected == found and found[3]["accuracy"] in {5.0 * right for right in range(21)}  # of 20 images
