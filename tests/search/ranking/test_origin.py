"""Cells from runs are trained on what their searches were searched on, on the same sides where all have the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.cells.topology import unified
from nasarch.data.dataset import Images, split_indices
from nasarch.data.load import listing, load
from nasarch.data.split_files import read_split, write_split
from nasarch.runtime.options import MachineOptions, updated
from nasarch.runtime.run_folder import as_json
from nasarch.search.ranking.budget import Budget
from nasarch.search.ranking.origin import in_common
from nasarch.search.ranking.protocol import EvaluationProtocol, budget_summary, evaluation_protocol, summary_line
from nasarch.search.ranking.select import _facts
from nasarch.search.ranking.task import RankingTask, ranking_task
from tests.helpers.datasets import as_tree, two_classes

SMALL = Budget(batch_size=4, epochs=3, machine=MachineOptions(device="cpu"))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return as_tree(tmp_path / "pets", two_classes(count=12))


def a_run(folder: Path, pets: Path, *, seed: int = 0, size: int | None = 10, split: Path | None = None, **settings: Any) -> str:
    """What a search leaves that is read here."""
    folder.mkdir(parents=True)
    data = load(pets, size=size)
    about = {"name": data.name, "images": len(data.train), "size": list(data.size), "sha256": data.digest}
    job = {"data": str(pets), "size": size, "root": None, "in_memory": None, "split": None if split is None else str(split)}
    config = {"method": "DARTS", "seed": seed, "settings": {"fractions": [0.5, 0.5]} | settings, "job": job, "data": about}
    (folder / "config.json").write_text(as_json(config))
    path = ("01-02-03-04", "01-12-23-34", "01-01-01-01")[seed]
    unified(path).save(folder / "genotype.json")
    return str(folder)


def field(*sources: str, budget: Budget = SMALL) -> tuple[RankingTask, EvaluationProtocol]:
    task = ranking_task("select", budget, lambda: _facts(sources, budget))
    return task, evaluation_protocol(task, by_test=False)


def pixels(part: Any) -> torch.Tensor:
    assert isinstance(part, Images)
    return part.pixels


def test_data_and_size_are_those_of_the_runs(tmp_path: Path, pets: Path) -> None:
    runs = [a_run(tmp_path / "a", pets), a_run(tmp_path / "b", pets, seed=1)]
    task, place = field(*runs)
    assert task.budget.dataset.data == str(pets) and place.data.size == (10, 10) and len(place.train) == len(place.val) == 12
    smaller, place = field(*runs, budget=updated(Budget(), {"batch_size": 4, "size": 8}))
    assert place.data.size == (8, 8) and "8x8 pixels (searched at 10x10)" in summary_line(smaller, place)
    task, place = field("ftso_cifar", "dots_cifar", budget=Budget(batch_size=4))
    assert task.budget.dataset.data == "digits" and place.data.name == "digits"


def test_the_sides_are_those_of_the_search_where_all_have_the_same(tmp_path: Path, pets: Path) -> None:
    runs = [a_run(tmp_path / name, pets, seed=2, fractions=[0.25, 0.5]) for name in ("a", "b")]
    task, place = field(*runs, "ftso_cifar")
    train = load(pets, size=10).train
    first, second = (pixels(train.subset(part)) for part in split_indices(train.labels, (0.25, 0.5), 2))
    assert torch.equal(pixels(place.train), first) and torch.equal(pixels(place.val), second)
    assert "evaluated on 12 images of the searches' validation side (fractions 0.25 and 0.5, seed 2)" in summary_line(task, place)
    task, place = field(a_run(tmp_path / "e", pets, fractions=None, images=6), "ftso_cifar")  # eDARTS says how many
    assert len(place.train) == len(place.val) == 6


def test_a_split_is_taken_as_it_is(tmp_path: Path, pets: Path) -> None:
    write_split(listing(pets), (0.5, 0.25), 7, tmp_path / "lists")
    runs = [a_run(tmp_path / str(seed), pets, seed=seed, split=tmp_path / "lists") for seed in (0, 1)]
    task, place = field(*runs)
    data = load(pets, size=10)
    first, second = read_split(tmp_path / "lists", data)
    assert torch.equal(pixels(place.train), pixels(data.train.subset(first))) and len(place.val) == len(second) == 6
    assert "(second list of" in summary_line(task, place)


def test_runs_with_other_seeds_share_no_sides_and_that_is_said(tmp_path: Path, pets: Path) -> None:
    runs = [a_run(tmp_path / str(seed), pets, seed=seed) for seed in (1, 2)]
    task, place = field(*runs)
    train = load(pets, size=10).train
    assert torch.equal(pixels(place.train), pixels(train.subset(split_indices(train.labels, (0.5, 0.5), 0)[0])))
    assert "of the half held out by seed 0, not the validation side of every search" in summary_line(task, place)


def test_the_consensus_of_seeds_was_searched_on_what_they_were(tmp_path: Path, pets: Path) -> None:
    a_run(tmp_path / "runs" / "seed-0", pets)
    mean = tmp_path / "runs" / "consensus"
    mean.mkdir()
    unified("01-01-01-01").save(mean / "genotype.json")
    task, place = field(str(mean), "ftso_cifar")
    assert place.data.name == "pets" and task.facts["halves"] is None


def test_other_data_than_those_of_the_search_are_refused(tmp_path: Path, pets: Path) -> None:
    others = as_tree(tmp_path / "others" / "pets", two_classes(count=11))
    first, second = a_run(tmp_path / "a", pets), a_run(tmp_path / "b", others, seed=1)
    with pytest.raises(
        ValueError, match=r"a was searched on pets \(24 training.*b was searched on pets \(22.*choose among cells of the same"
    ):
        field(first, second)
    with pytest.raises(ValueError, match=r"a was searched on pets .* but the data here are digits \(1,500 training images of 10x10"):
        field(first, "ftso_cifar", budget=updated(Budget(), {"data": "digits", "batch_size": 4}))
    with pytest.raises(ValueError, match="10x10 pixels, .*8x8 pixels, .*name one size for all with --size"):
        field(first, a_run(tmp_path / "c", pets, seed=1, size=8))
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["data"] |= {"size": [9, 9], "sha256": "0" * 64}
    (tmp_path / "a" / "config.json").write_text(as_json(config))
    with pytest.raises(ValueError, match="of 9x9 pixels.*but the data here are pets .*10x10 pixels"):
        field(first, "ftso_cifar")
    (tmp_path / "a" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="config.json: damaged .*: mend it, or give the cell as a file"):
        in_common([tmp_path / "a"], None)


def test_the_budget_says_how_long_and_on_what(tmp_path: Path, pets: Path) -> None:
    task, place = field(a_run(tmp_path / "a", pets), "ftso_cifar", budget=updated(SMALL, {"batch_size": 5, "cells": 3, "channels": 4}))
    from nasarch.search.ranking.tournament import _batches

    assert place.steps == 3 * len(_batches(place, 0)) == 9  # 12 images in batches of 5: the last one counts
    said = summary_line(task, place)
    assert said.startswith("pets, 10x10 pixels; 12 training images") and "3 epochs, 9 steps of 5 images; 3 cells, 4 channels" in said
    assert "seeds 0 to 2; CPU" in said and said.endswith("networks per group")
    kept = budget_summary(task, place)
    assert kept["steps"] == 9 and kept["trained_on"] == kept["evaluated"] == 12 and kept["data_sha256"] == place.data.digest
