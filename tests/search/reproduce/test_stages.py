"""A row's commands, word for word, and all of them as the real command line parses them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nasarch.cli.main import COMMANDS, run
from nasarch.data.options import DataOptions
from nasarch.search.ranking.budget import Budget
from nasarch.search.reproduce.options import ReproduceOptions
from nasarch.search.reproduce.stages import commands
from nasarch.search.rows.row import COCO, IMAGENET, Detect, Row, Search, Train
from nasarch.search.rows.rows import ROWS, find
from nasarch.search.runs.options import SearchOptions
from nasarch.search.settings.presets import PRESETS
from nasarch.search.training.recipes import RECIPES

RUNNABLE = [row for row in ROWS.values() if row.reason is None]


def lines(name: str, **options: Any) -> list[str]:
    return [" ".join(command.arguments()) for command in commands(find(name), ReproduceOptions(**options), Path("out"))]


def test_a_row_with_a_choice_word_for_word() -> None:
    """DARTS searches four times, chooses after 100 epochs of the whole network, and trains ten times (three here)."""
    digits = DataOptions(data="digits", workers=0)
    assert lines("darts/table1/second", dataset=digits, trainings=2, seed=3) == [
        "search darts --preset second --data digits --workers 0 --runs 4 --seed 3 --scale 1 --amp off --out out/search",
        "select out/search --recipe cifar --seeds 1 --seed 3 --epochs 100 --out out/choose",
        "train out/choose/genotype.json --recipe cifar --data digits --workers 0 --epochs 600 --runs 2 --seed 3 --no-test --amp off "
        "--out out/train",
        "evaluate out/train/seed-3 --data digits --workers 0 --out out/test/seed-3.json",
        "evaluate out/train/seed-4 --data digits --workers 0 --out out/test/seed-4.json",
    ]


def test_scale_shrinks_every_stage_and_flags_of_one_stage_go_to_it_alone() -> None:
    words = lines(
        "darts/table1/first",
        scale=0.02,
        searches=2,
        trainings=1,
        changes=("search.layers=3", "search.hessian", "choose.cells=4", "train.batch-size=8"),
    )
    assert words == [
        "search darts --preset first --data cifar10 --runs 2 --seed 0 --scale 0.02 --amp off --layers 3 --hessian --out out/search",
        "select out/search --recipe cifar --seeds 1 --seed 0 --epochs 2 --cells 4 --out out/choose",
        "train out/choose/genotype.json --recipe cifar --data cifar10 --epochs 12 --runs 1 --seed 0 --no-test --amp off --batch-size 8 "
        "--out out/train",
        "evaluate out/train --data cifar10 --out out/test/seed-0.json",
    ]


def test_stages_end_where_they_are_told_to_and_one_search_needs_no_choice() -> None:
    name = "darts/table1/first"
    assert [line.split()[0] for line in lines(name, stage="search")] == ["search"]
    assert [line.split()[0] for line in lines(name, stage="choose")] == ["search", "select"]
    assert [line.split()[0] for line in lines(name, stage="train", trainings=1)] == ["search", "select", "train"]
    once = lines(name, stage="train", searches=1)
    assert [line.split()[:2] for line in once] == [["search", "darts"], ["train", "out/search/genotype.json"]]


def test_a_finished_search_is_gone_on_from(tmp_path: Path) -> None:
    words = lines("pc-darts/table1/cifar10", from_run=tmp_path / "run", trainings=1)
    assert [line.split()[:2] for line in words] == [["train", f"{tmp_path}/run/genotype.json"], ["evaluate", "out/train"]]


def test_two_data_sets(tmp_path: Path) -> None:
    both = lines("pc-darts/table2/cifar10", train_data=str(tmp_path))
    assert "--data cifar10" in both[0]
    assert all(f"--data {tmp_path}" in line for line in both[1:])
    one = lines("pc-darts/table2/cifar10", dataset=DataOptions(data=str(tmp_path)))
    assert all(f"--data {tmp_path}" in line for line in one)


@pytest.mark.parametrize("name", ["pc-darts/table2/imagenet", "pc-darts/table5/pc-darts"])
def test_data_without_a_download_have_to_be_given(name: str) -> None:
    with pytest.raises(ValueError, match="has no download: give .* with --data DIR"):
        lines(name)


def test_a_row_that_can_not_be_run_says_why() -> None:
    with pytest.raises(ValueError, match=r"pc-darts/table1/densenet-bc can't be run: no cell of this package"):
        lines("pc-darts/table1/densenet-bc")


@pytest.mark.parametrize("change", ["layers=3", "test.batch-size=3", "search.", "search.Layers=3", "search. layers=3"])
def test_a_change_that_names_no_stage_is_refused(change: str) -> None:
    with pytest.raises(ValueError, match=r"write STAGE.NAME=VALUE"):
        ReproduceOptions(changes=(change,))


def test_a_stopped_command_is_resumed_by_its_folder_alone(tmp_path: Path) -> None:
    for part in ("search", "train"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text("{}")
    found = commands(find("ftso/table1/skip-1ep/600"), ReproduceOptions(), tmp_path)
    assert [one.arguments() for one in found[:2]] == [
        ["search", "ftso", "--resume", f"{tmp_path}/search"],
        ["train", "--resume", f"{tmp_path}/train"],
    ]
    (tmp_path / "search" / "genotype.json").write_text("{}")
    assert [one.pending() is None for one in found] == [True, False, False]


class Parsed:
    """What every command got from its flags, without running."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []
        for target in (
            "nasarch.search.runs.command.search_with",
            "nasarch.search.training.command.train",
            "nasarch.search.ranking.select.run",
            "nasarch.search.ranking.compare.run",
            "nasarch.search.ranking.correlate.run",
            "nasarch.search.ranking.paths.run",
        ):
            monkeypatch.setattr(target, lambda *given, **named: self.calls.append((*given, *named.values())))


@pytest.mark.parametrize("row", RUNNABLE, ids=lambda row: row.name)
def test_the_command_line_takes_every_command_and_gets_the_papers_settings(
    row: Row, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["nasarch", "reproduce", row.name])
    needs_folder = any(getattr(step, "data", None) in (IMAGENET, COCO) for step in row.steps) or any(
        PRESETS[step.method][step.preset].data == IMAGENET for step in row.steps if isinstance(step, Search)
    )
    options = ReproduceOptions(dataset=DataOptions(data=str(tmp_path))) if needs_folder else ReproduceOptions()
    parsed = Parsed(monkeypatch)
    for command in commands(row, options, tmp_path / "out"):
        if command.stage != "test" and command.words[0] != "detect":
            run(command.arguments(), COMMANDS, "nasarch")
    assert len(parsed.calls) == len([step for step in row.steps if not isinstance(step, Detect)])
    for call in parsed.calls:
        if any(isinstance(value, SearchOptions) for value in call):
            step = row.step(Search)
            changes = {"iterations": int(step.flags[1])} if step.flags[:1] == ("--iterations",) else {}
            assert call[1] == replace(PRESETS[step.method][step.preset].settings(), **changes)
            assert (call[2].runs, call[2].seed, call[2].space) == (step.runs, step.seed, PRESETS[step.method][step.preset].space)
        elif not any(isinstance(value, Budget) for value in call):
            step, (source, settings, job) = row.step(Train), call[:3]
            paper = RECIPES[step.recipe].settings
            assert settings == (paper if step.epochs is None else type(paper)(**{**vars(paper), "epochs": step.epochs}))
            assert (job.runs, job.recipe, job.test, source) == (step.runs, step.recipe, False, source)
            assert step.model in (None, source)
