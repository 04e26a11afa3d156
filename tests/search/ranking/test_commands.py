"""`nasarch rank-paths`, `select` and `compare`: what they leave, going on after a stop, several processes, bad input."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cells.random_cells import random_cells
from nasarch.cells.space import DARTS, NATS
from nasarch.cells.topology import cell, chain, unified
from nasarch.cli.main import COMMANDS, main
from nasarch.data.options import DataOptions
from nasarch.runtime.options import MachineOptions, OutputOptions
from nasarch.runtime.run_folder import as_json
from nasarch.search.ranking import compare, console, select
from nasarch.search.ranking.budget import Budget
from nasarch.search.ranking.compare import ZOO
from nasarch.search.ranking.protocol import EvaluationProtocol
from nasarch.search.ranking.task import RankingTask
from nasarch.search.ranking.tournament import Candidate, Line
from tests.helpers.datasets import as_tree, two_classes
from tests.helpers.ranking_commands import SMALL, TINY, refused

PATHS = ["rank-paths", "--nodes", "2", "--best", "2", "--ends", "1", *TINY]


def saved(path: Path, genotype: Genotype) -> str:
    genotype.save(path)
    return str(path)


def lines(folder: Path) -> list[dict[str, Any]]:
    """What was measured; how long it took differs."""
    found = [json.loads(line) for line in (folder / "networks.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("ranked") / "paths"
    assert main([*PATHS, "--seeds", "2", "--networks-per-group", "2", "--out", str(folder)]) == 0
    yield folder


def test_paths_are_ranked_in_stages(ranked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, measured = json.loads((ranked / "paths.json").read_text()), lines(ranked)
    by_stage = {stage: [line for line in measured if line["stage"] == stage] for stage in ("one", "both", "one-ends", "both-ends")}
    assert sorted(line["name"] for line in by_stage["one"]) == ["01-01", "01-02", "01-12"]
    order = [row["path"] for row in found["paths"]]
    assert {line["name"] for line in by_stage["both"]} == set(order[:2])
    assert {line["name"] for line in by_stage["one-ends"]} == {order[0], order[-1]} and len(by_stage["both-ends"]) == 1
    assert all(line["seed"] == (1 if stage.endswith("ends") else 0) for stage, some in by_stage.items() for line in some)
    first = [row["one"]["accuracies"]["0"] for row in found["paths"]]
    assert first == sorted(first, reverse=True) and found["best"] == by_stage["both-ends"][0]["name"]
    top, bottom = found["paths"][0]["one"], found["paths"][-1]["one"]
    assert set(top["accuracies"]) == {"0", "1"} and top["evaluated"] == {"mean": top["accuracies"]["1"], "std": None}
    assert found["paths"][1]["one"]["evaluated"] is None and found["ends"]["evaluated_by"] == [1]
    assert found["ends"]["mean"] == pytest.approx(top["accuracies"]["1"] - bottom["accuracies"]["1"])
    assert found["verdict"]["clear"] is None and found["verdict"]["of"] == 2 and found["budget"]["steps"] == 8
    table = (ranked / "table.md").read_text()
    assert f"| one | {order[-1]} |" in table and "by seed 0, which selected" in table and "digits, 8x8 pixels; 200 training images" in table
    assert found["noise"]["graphs"] == 3 and found["noise"]["within"] is None
    with Image.open(ranked / "map.png") as picture:
        assert picture.width > 200
    assert main(["rank-paths", "--resume", str(ranked)]) == 0
    said = capsys.readouterr().out
    assert f"nasarch search edarts --path {found['best']}" in said and "stage two" in said and lines(ranked) == measured
    assert said.startswith("digits, 8x8 pixels; 200 training images, evaluated on 100 images of the half held out by seed 0; 2 epochs, 8 ")


def test_paths_are_ranked_by_the_test_images_as_edarts_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sec. III-B and IV-D; with all training images, where no number of them is given."""
    folder, few = tmp_path / "paths", [flag for flag in PATHS if flag not in ("--images", "200", "--val-images", "100")]
    assert main([*few, "--by-test", "--epochs", "1", "--batch-size", "1500", "--seeds", "1", "--out", str(folder)]) == 0
    assert "1,500 training images, evaluated on 297 test images" in capsys.readouterr().out
    found = json.loads((folder / "paths.json").read_text())
    assert (found["budget"]["trained_on"], found["budget"]["evaluated"], found["budget"]["evaluated_on"]) == (1500, 297, "test images")
    assert json.loads((folder / "config.json").read_text())["facts"]["by_test"] is True
    before = (folder / "paths.json").read_bytes()
    (folder / "paths.json").unlink()
    assert main(["rank-paths", "--resume", str(folder)]) == 0 and (folder / "paths.json").read_bytes() == before
    assert "evaluated on 297 test images" in capsys.readouterr().out


def test_a_stopped_ranking_goes_on_as_if_it_never_had_been(
    ranked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)  # a report after every step
    tell, seen = console.TournamentProgress.__call__, list[int]()

    def tell_or_stop(tally: Any, heat: Any, place: Any) -> None:
        seen.append(place.step)
        if len(seen) in (2, 11):  # within an epoch of the first heat, and later
            os.kill(os.getpid(), signal.SIGTERM)
        tell(tally, heat, place)

    monkeypatch.setattr(console.TournamentProgress, "__call__", tell_or_stop)
    folder = tmp_path / "stopped"
    assert main([*PATHS, "--seeds", "2", "--networks-per-group", "2", "--out", str(folder)]) == 130
    assert f"to go on: nasarch rank-paths --resume {folder}" in capsys.readouterr().out
    assert list((folder / "groups").glob("*.pt")) and not (folder / "paths.json").exists()
    assert main(["rank-paths", "--resume", str(folder)]) == 130
    assert main(["rank-paths", "--resume", str(folder)]) == 0
    assert lines(folder) == lines(ranked) and (folder / "paths.json").read_bytes() == (ranked / "paths.json").read_bytes()
    assert not list((folder / "groups").glob("*.pt"))


@pytest.mark.slow
def test_processes_share_the_networks(ranked: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nasarch"]
    command = [*torchrun, *PATHS, "--seeds", "2", "--networks-per-group", "2", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    assert done.returncode == 0, done.stderr
    assert lines(folder) == lines(ranked) and (folder / "paths.json").read_bytes() == (ranked / "paths.json").read_bytes()
    assert json.loads((folder / "config.json").read_text())["processes"] == 2


def test_the_better_cell_is_selected_and_its_file_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poor = Genotype("poor", DARTS.name, dict.fromkeys(DARTS.kinds, cell(chain(4), "avg_pool_3x3")))
    sources = [saved(tmp_path / "poor.json", poor), saved(tmp_path / "good.json", unified("01-02-03-04"))]
    flags = [*SMALL, "--epochs", "3", "--batch-size", "32", "--lr", "0.1", "--drop-path", "0", "--seeds", "2"]
    assert main(["select", *sources, *flags, "--out", str(tmp_path / "run")]) == 0
    found, winner = json.loads((tmp_path / "run" / "ranking.json").read_text()), Genotype.load(tmp_path / "run" / "genotype.json")
    assert [row["name"] for row in found["ranking"]] == sources[::-1] and winner == unified("01-02-03-04")
    assert found["verdict"]["rival"]["behind"] > 3 and found["verdict"]["rival"]["as_good"] < 0.5
    chosen = winner.to_dict()["provenance"]["source"]["selection"]
    assert chosen["verdict"]["winner"] == sources[1] and chosen["budget"]["evaluated"] == 750 == chosen["budget"]["trained_on"]
    assert chosen["budget"] == found["budget"] and found["budget"]["steps"] == 3 * 24
    assert "good.json leads" in capsys.readouterr().out


def test_equal_cells_give_no_clear_winner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "runs" / "seed-0"
    run.mkdir(parents=True)
    sources = [saved(tmp_path / "a.json", unified("01-02-03-04")), str(tmp_path / "runs")]
    saved(run / "genotype.json", unified("01-02-03-04"))
    assert main(["select", *sources, *TINY, "--seeds", "2", "--out", str(tmp_path / "run")]) == 0
    found = json.loads((tmp_path / "run" / "ranking.json").read_text())
    assert [row["name"] for row in found["ranking"]] == [sources[0], str(run)]
    assert found["verdict"]["rival"]["behind"] == 0 and found["verdict"]["rival"]["as_good"] == 0.5 and not found["verdict"]["clear"]
    assert "not sure" in capsys.readouterr().out


def test_cells_are_compared_beside_random_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["ftso_cifar", "fair_darts_a_cifar", "--random", "2", *TINY, "--seeds", "1"]
    assert main(["compare", *flags, "--out", str(tmp_path / "a")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    table = (tmp_path / "a" / "table.md").read_text()
    names = {row["name"] for row in json.loads((tmp_path / "a" / "ranking.json").read_text())["ranking"]}
    assert names == {"ftso_cifar", "fair_darts_a_cifar", "random 1", "random 2"} and all(name in table and name in said for name in names)
    assert (
        "100 test images" in said
        and "evaluated on 100 test images; 2 epochs, 8 steps of 64 images" in table
        and {line["networks_in_group"] for line in lines(tmp_path / "a")} >= {1, 3}
    )
    cells = json.loads((tmp_path / "a" / "config.json").read_text())["facts"]["cells"]
    first, second = (Genotype.from_dict(one["genotype"]) for one in cells[2:])
    assert first != second and all(len(n) == 2 for kind in first.cells.values() for n in kind.nodes)
    assert all(name in ZOO for name in ("darts_v1_cifar", "ftso_cifar")) and len(ZOO) == 7


@pytest.mark.parametrize(("command", "module"), [("select", select), ("compare", compare)])
def test_seeds_count_from_the_one_that_is_given_and_the_best_mean_wins(
    command: str, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any training: accuracies by name and seed are 60, 61, 62 and 50 below that, but the last cell's first one is 99."""
    told = []

    def train_candidates(
        task: RankingTask, field: EvaluationProtocol, stage: str, cells: Sequence[Candidate], seeds: Sequence[int], title: str
    ) -> list[Line]:
        told.append((task.command, field.evaluated_on, len(field.val), list(seeds), [one.name for one in cells]))
        rows = [(one.name, i, 60.0 + i - 50 * k) for k, one in enumerate(cells) for i in range(3)]
        rows[3] = (*rows[3][:2], 99.0)
        return [{"stage": stage, "name": name, "seed": 4 + i, "accuracy": value, "parameters": 7} for name, i, value in rows]

    monkeypatch.setattr(module, "train_candidates", train_candidates)
    flags = [*SMALL, "--seeds", "3", "--seed", "4", "--val-images", "100", "--out", str(tmp_path / "run")]
    assert main([command, "ftso_cifar", "dots_cifar", *flags]) == 0
    judged_by = "test images" if command == "compare" else "images of the half held out by seed 4"
    assert told == [(command, judged_by, 100, [4, 5, 6], ["ftso_cifar", "dots_cifar"])]
    found = json.loads((tmp_path / "run" / "ranking.json").read_text())
    assert [(row["name"], row["mean"]) for row in found["ranking"]] == [
        ("ftso_cifar", 61.0),
        ("dots_cifar", 40.6667),
    ]
    assert found["ranking"][0]["accuracies"] == {"4": 60.0, "5": 61.0, "6": 62.0}
    if command == "select":
        assert found["verdict"]["winner"] == "ftso_cifar" and found["verdict"]["rival"]["behind"] == 20.333333
        assert Genotype.load(tmp_path / "run" / "genotype.json") == resolve("ftso_cifar")
    else:
        table = (tmp_path / "run" / "table.md").read_text()
        assert "| ftso_cifar | 61.00 +- 1.00 | 3 | 7 |" in table and "seeds 4 to 6" in table


def test_random_cells_are_drawn_by_the_seed_from_all_that_a_space_has() -> None:
    """Uniformly: with 400 cells every operation but none and every pair of sources is drawn, about as often as the others."""
    generator = random.Random(0)
    drawn = [random_cells(DARTS, generator, "x").cells["reduction"] for _ in range(400)]
    operations = Counter(op.operation for one in drawn for node in one.nodes for op in node)
    assert set(operations) == {*DARTS.operations} - {"none"} and max(operations.values()) < 1.3 * min(operations.values())
    pairs = Counter(tuple(op.source for op in one.nodes[3]) for one in drawn)
    assert set(pairs) == set(combinations(range(5), 2)) and all(20 <= count <= 60 for count in pairs.values())
    first, same, other = (compare._field(["ftso_cifar"], 2, seed) for seed in (3, 3, 4))
    assert [one.name for one in first] == ["ftso_cifar", "random 1", "random 2"] and first == same
    assert first[1].genotype not in (first[2].genotype, other[1].genotype)
    nats = random_cells(NATS, generator, "n").cells["normal"]
    assert [[op.source for op in node] for node in nats.nodes] == [[0], [0, 1], [0, 1, 2]] and nats.concat == (3,)


def test_what_a_user_gets_wrong_is_said_in_one_line(ranked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "new")]
    assert "--epochs 0: choose 1 or more" in refused(capsys, "rank-paths", "--epochs", "0")
    assert "--seeds 0: choose 1 or more" in refused(capsys, "rank-paths", "--seeds", "0")
    assert "there are 180 paths" in refused(capsys, "rank-paths", "--best", "200")
    assert "--nodes 1: a cell of one inner node has one topology" in refused(
        capsys, "rank-paths", "--nodes", "1", "--best", "1", "--ends", "1"
    )
    assert "--ends 2: choose 1 to 1" in refused(capsys, "rank-paths", "--nodes", "2", "--best", "3", "--ends", "2")
    assert "node 3 can't read '03'" in refused(capsys, "rank-paths", "--reduction", "01-03-01-01")
    assert "there are 750 images for it, of 10 classes; choose 10 to 750" in refused(capsys, "rank-paths", "--images", "5000", *SMALL, *out)
    assert "--val-images 3" in refused(capsys, "select", "ftso_cifar", "dots_cifar", "--val-images", "3", *SMALL, *out)
    assert "choose 20 or fewer" in refused(capsys, "compare", "--images", "20", *SMALL, *out)
    assert "no cells are nothing to select from" in refused(capsys, "select")
    assert "1 cell is nothing to select from" in refused(capsys, "select", "ftso_cifar")
    assert "ftso_cifar is there twice" in refused(capsys, "select", "ftso_cifar", "ftso_cifar")
    assert "unknown model 'fsto_cifar' (did you mean ftso_cifar" in refused(capsys, "select", "fsto_cifar", "ftso_cifar")
    assert "ftso_nats_cifar of 'nats': their networks differ" in refused(capsys, "select", "ftso_cifar", "ftso_nats_cifar")
    assert f"{tmp_path} has neither genotype.json nor a trained model" in refused(capsys, "select", str(tmp_path), "ftso_cifar")
    assert "no run: give the folder" in refused(capsys, "correlate") and "no search in" in refused(capsys, "correlate", str(tmp_path))
    assert "give the folder of `nasarch select`" in refused(capsys, "select", "--resume", str(tmp_path))
    assert "is of `nasarch rank-paths`, not of `nasarch select`" in refused(capsys, "select", "--resume", str(ranked))
    assert "exists already" in refused(capsys, "rank-paths", *TINY, "--out", str(ranked))
    assert not (tmp_path / "new").exists()


def test_data_without_a_test_part_can_be_ranked_but_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(as_tree(tmp_path / "pets", two_classes(count=8))), *SMALL, "--epochs", "1", "--batch-size", "4", "--seeds", "1"]
    assert "has no test part" in refused(capsys, "compare", *data, "--out", str(tmp_path / "a"))
    assert main(["select", "ftso_cifar", "dots_cifar", *data, "--out", str(tmp_path / "b")]) == 0


def test_a_damaged_or_changed_folder_is_refused(ranked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(ranked, tmp_path / "copy")
    (folder / "groups" / "one-seed0-000.jsonl").write_text("{")
    assert "one-seed0-000.jsonl, line 1: damaged" in refused(capsys, "rank-paths", "--resume", str(folder))
    config = json.loads((folder / "config.json").read_text())
    config["data"]["sha256"] = "0" * 64
    (folder / "config.json").write_text(as_json(config))
    assert f"those of the run in {folder} {'0' * 64}: resume" in refused(capsys, "rank-paths", "--resume", str(folder))


def test_every_flag_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for part in (Budget, DataOptions, MachineOptions, OutputOptions):
        assert all(f" {field.name}: " in (part.__doc__ or "") for field in fields(part))
    for name in ("rank-paths", "correlate", "select", "compare"):
        assert main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert COMMANDS[name].summary and "--val-images" in text


def test_the_zoo_has_what_is_compared() -> None:
    assert all(resolve(name).space == DARTS.name for name in ZOO if name != "edarts_cifar")
