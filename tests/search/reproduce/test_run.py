"""A row's run: what is measured beside what is reported, from files with known values; stopped, resumed and refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.genotype import Genotype
from nasarch.cli import main as command_line
from nasarch.cli.main import main
from nasarch.data.options import DataOptions
from nasarch.models.catalogue import cost_of
from nasarch.models.zoo import MODELS
from nasarch.runtime.options import OutputOptions
from nasarch.search.reproduce.budget import budgets, differences
from nasarch.search.reproduce.metrics import Results, measure, retained
from nasarch.search.reproduce.options import ReproduceOptions
from nasarch.search.reproduce.run import reproduce, resumed
from nasarch.search.rows.rows import find
from nasarch.search.runs.reader import Run

DIGITS = DataOptions(data="digits")


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def lines(path: Path, *values: Any) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def finished_search(folder: Path, seconds: float = 864.0, skips: int = 0) -> None:
    """A finished search of PC-DARTS that found the published cell, of which `skips` edges are skip connections."""
    genotype = MODELS["pc_darts_cifar"].genotype
    assert genotype is not None
    about: dict[str, Any] = genotype.to_dict()
    for edge in [edge for node in about["cells"]["normal"]["nodes"] for edge in node][:skips]:
        edge[0] = "skip_connect"
    write(folder / "genotype.json", about)
    data = {"name": "digits", "images": 1500}
    settings = {"epochs": 1, "layers": 3}
    write(folder / "config.json", {"method": "PC-DARTS", "seed": 0, "settings": settings, "processes": 2, "data": data})
    lines(folder / "metrics.jsonl", {"stage": "", "warmup": False, "epoch": 1, "loss": 1.0, "accuracy": 0.5, "seconds": seconds})


def outcome(folder: Path, words: Sequence[str]) -> None:
    """Writes what a command of the row would write, with known figures."""
    out = Path(words[words.index("--out") + 1])
    if words[0] == "search":
        finished_search(out)
    elif words[0] == "train":
        for seed in (0, 1):
            config = {"recipe": {"name": "pc-darts"}, "settings": {"epochs": 2}, "data": {"name": "digits", "images": 1500}}
            write(out / f"seed-{seed}" / "config.json", config)
            write(out / f"seed-{seed}" / "result.json", {"seconds": 10.0})
            lines(out / f"seed-{seed}" / "metrics.jsonl", {"epoch": 1, "loss": 2.0, "accuracy": 0.1, "learning_rate": 0.1})
        write(out / "result.json", {})
    else:
        write(out, {"images": 297, "loss": 0.5, "top1": 96.0 if "seed-0" in words[1] else 97.0, "top5": 99.0})


def run_row(name: str, folder: Path, do: Callable[[Path, Sequence[str]], None] = outcome, **options: Any) -> list[Sequence[str]]:
    """The commands that a row asks for, each answered by `do`."""
    asked = []
    output = OutputOptions(resume=folder) if (folder / "config.json").exists() else OutputOptions(out=folder)
    chosen = ReproduceOptions(dataset=DIGITS, trainings=2, output=output, **options)
    row, chosen = (find(name), chosen) if output.resume is None else resumed(chosen)
    for words in reproduce(row, chosen):
        asked.append(words)
        do(folder, words)
    return asked


def figures(folder: Path) -> dict[str, tuple[Any, ...]]:
    rows = json.loads((folder / "result.json").read_text())["figures"]
    return {row["metric"]: (row["reported"], row["measured"], row["std"], row["runs"]) for row in rows}


def test_figures_are_beside_the_papers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "row"
    run_row("pc-darts/table4/pc-darts-epochs-75", folder)
    assert figures(folder)["test error"] == (2.67, 3.5, pytest.approx(0.5**0.5), 2)
    run_row("pc-darts/table1/cifar10", tmp_path / "best")
    found = figures(tmp_path / "best")
    assert found["best test error"] == (2.57, 3.0, None, 1)
    assert found["parameters"] == (3.6, cost_of(MODELS["pc_darts_cifar"]).parameters / 1e6, None, 1)
    assert found["search cost"] == (0.1, pytest.approx(2 * 864 / 86_400), None, 1), "of two processes"
    printed = capsys.readouterr().out
    assert "3.50 ± 0.71" in printed and "2.57 ± 0.07" in printed
    assert "unlike the paper: data digits (cifar10), epochs 1 (75), layers 3 (8)" in printed
    table = (folder / "table.md").read_text()
    assert "| test error, % | 2.67 | 3.50 ± 0.71 | 2 |" in table


def test_it_goes_on_where_it_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, whole = tmp_path / "row", tmp_path / "whole"

    def stop_in_training(folder: Path, words: Sequence[str]) -> None:
        if words[0] == "train":
            write(folder / "train" / "config.json", {})
            raise KeyboardInterrupt
        outcome(folder, words)

    steps = reproduce(find("pc-darts/table1/cifar10"), ReproduceOptions(dataset=DIGITS, trainings=2, output=OutputOptions(out=folder)))
    with pytest.raises(KeyboardInterrupt):
        for words in steps:
            try:
                stop_in_training(folder, words)
            except KeyboardInterrupt as stop:
                steps.throw(stop)
    assert f"nasarch reproduce --resume {folder}" in capsys.readouterr().out
    asked = run_row(
        "",
        folder,
        lambda folder, words: outcome(folder, ["train", "--out", str(folder / "train")] if "--resume" in words else words),
    )
    assert [list(words[:3]) for words in asked] == [
        ["train", "--resume", str(folder / "train")],
        ["evaluate", str(folder / "train" / "seed-0"), "--data"],
        ["evaluate", str(folder / "train" / "seed-1"), "--data"],
    ]
    run_row("pc-darts/table1/cifar10", whole)
    assert figures(folder) == figures(whole)
    assert run_row("", folder) == [], "nothing is left to do"


def test_a_later_stage_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "row"
    assert [words[0] for words in run_row("pc-darts/table1/cifar10", folder, stage="search")] == ["search"]
    assert figures(folder)["best test error"][1] is None
    assert run_row("", folder) == [], "as the folder says"
    assert [words[0] for words in run_row("", folder, stage="test")] == ["train", "evaluate", "evaluate"]


def test_the_command_line_runs_them_and_hands_errors_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    folder = tmp_path / "row"
    known = command_line.run

    def run(arguments: Sequence[str], *rest: Any) -> None:
        if arguments[0] == "reproduce":
            known(arguments, *rest)
        elif arguments[0] == "train":
            raise ValueError("no space left")
        else:
            outcome(folder, arguments)

    monkeypatch.setattr(command_line, "run", run)
    words = ["reproduce", "pc-darts/table1/cifar10", "--data", "digits", "--trainings", "2"]
    monkeypatch.setattr(sys, "argv", ["nasarch", *words])
    assert main([*words, "--out", str(folder)]) == 2
    assert "nasarch: error: no space left" in capsys.readouterr().err
    assert (folder / "search" / "genotype.json").exists() and not (folder / "result.json").exists()
    assert not (folder / ".lock").exists()

    def stop(arguments: Sequence[str], *rest: Any) -> None:
        if arguments[0] == "reproduce":
            known(arguments, *rest)
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "run", stop)
    assert main(["reproduce", "--resume", str(folder)]) == 130
    assert f"stopped; to go on: nasarch reproduce --resume {folder}" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "damaged"),
        ('{"row": "pc-darts/table9", "options": {}}', "unknown row"),
        ('{"row": "pc-darts/table1/cifar10", "options": {"scale": "x"}}', "damaged"),
        ('{"row": "pc-darts/table1/cifar10", "options": {"nope": 1}}', "nope"),
        ('{"row": 3, "options": {}}', "'row' is 3"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=words) as caught:
        resumed(ReproduceOptions(output=OutputOptions(resume=tmp_path)))
    assert str(tmp_path / "config.json") in str(caught.value)


def test_another_row_in_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    folder = tmp_path / "row"
    run_row("pc-darts/table1/cifar10", folder)
    assert main(["reproduce", "dots/fig1/a", "--resume", str(folder)]) == 2
    assert "is of row pc-darts/table1/cifar10, not of dots/fig1/a" in capsys.readouterr().err
    assert main(["reproduce", "pc-darts/table1/cifar10", "--data", "digits", "--out", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_means_over_five_searches(tmp_path: Path) -> None:
    """eDARTS' Table II: skip connections are sums, accuracies and parameters means over the five cells."""
    row, options = find("edarts/table2/darts"), ReproduceOptions(dataset=DIGITS)
    for seed, skips in enumerate((3, 0, 1, 0, 2)):
        finished_search(tmp_path / "search" / f"seed-{seed}", skips=skips)
    ranking = [{"accuracies": {"0": 90.0 + seed}, "parameters": 100_000 * (1 + seed)} for seed in range(5)]
    write(tmp_path / "train" / "ranking.json", {"ranking": ranking})
    found = {one.figure.metric: (one.mean, one.runs) for one in measure(Results(row, options, tmp_path))}
    assert found["shallow accuracy"] == (92.0, 5)
    assert found["shallow parameters"] == (pytest.approx(0.3), 5)
    cells = [Genotype.load(tmp_path / f"search/seed-{seed}/genotype.json").cells["normal"] for seed in range(5)]
    skipped = [sum(op.operation == "skip_connect" for node in cell.nodes for op in node) for cell in cells]
    assert found["skip connections, normal cell"] == (sum(skipped), 1)
    assert max(skipped) == skipped[0] > min(skipped)


def test_retained_operations_are_the_two_with_weight(tmp_path: Path) -> None:
    from nasarch.cells.space import DARTS
    from nasarch.search.runs.reader import Tables

    edge = [0.0] * len(DARTS.operations)
    edge[DARTS.operations.index("sep_conv_5x5")], edge[DARTS.operations.index("skip_connect")] = 0.7, 1e-7
    run = Run(
        folder=tmp_path,
        config={},
        space=DARTS,
        metrics=[],
        weights=[Tables([[edge] * 14] * 2, [[1.0] * 14] * 2)],
        cells={},
        genotype=None,
        margins=None,
    )
    assert retained(run, "reduction") == [("skip_connect", "sep_conv_5x5")] * 14


@pytest.mark.parametrize(("operator", "named"), [("replace", False), ("gradient", True)])
def test_settings_of_a_search_that_is_not_run_are_no_difference(operator: str, named: bool, tmp_path: Path) -> None:
    row, options = find("ftso/table1/skip-1ep/600"), ReproduceOptions(dataset=DIGITS)
    finished_search(tmp_path / "search")
    config = json.loads((tmp_path / "search" / "config.json").read_text())
    write(tmp_path / "search" / "config.json", config | {"settings": {"operator": operator, "operator_epochs": 1, "layers": 3}})
    (budget,) = budgets(row, Results(row, options, tmp_path))
    assert "layers 3 (8)" in budget.differs and ("operator_epochs 1 (50)" in budget.differs) == named


def test_differences_name_what_is_unlike_the_paper() -> None:
    paper = {"data": "cifar10", "epochs": 50, "fractions": (0.5, 0.5), "cells": None}
    assert differences({"data": "cifar10", "epochs": 50, "fractions": [0.5, 0.5], "cells": None}, paper) == ()
    assert differences({"data": "digits", "epochs": 1, "fractions": [0.1, 0.025], "cells": 3}, paper) == (
        "data digits (cifar10)",
        "epochs 1 (50)",
        "fractions 0.1, 0.025 (0.5, 0.5)",
        "cells 3 (the model's)",
    )
