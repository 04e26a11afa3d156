"""`nasarch derive` and `nasarch pareto`: from the folder of a search to cells within a budget, tables and a chart."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS
from nasarch.models.cost import network_cost
from nasarch.models.source import find_sources
from nasarch.search.engine.result import ArchitectureWeights
from nasarch.search.recipes import darts
from tests.helpers.command_line import Run

FIGURES = ("multi_adds", "parameters", "skips")


def write_search(folder: Path, seed: int) -> Genotype:
    """A finished search by DARTS with random weights; returns its cell."""
    folder.mkdir(parents=True)
    weights = ArchitectureWeights(torch.rand(2, 14, 8, generator=torch.Generator().manual_seed(seed)), torch.ones(2, 14))
    (folder / "weights.json").write_text(json.dumps(weights.to_lists()))
    weights = ArchitectureWeights.load(folder / "weights.json", "")
    config = {"method": "DARTS", "settings": asdict(darts.Darts()), "seed": seed, "space": {"name": "darts", "nodes": 4}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text(json.dumps({"stage": "topology", "warmup": False, "loss": 1.0, "accuracy": 0.5}) + "\n")
    found = darts.derive(DARTS, darts.Darts(), weights, "found").genotype
    about = {"method": "DARTS", "searched_on": "digits", "kind": "found by nasarch", "source": {"seed": seed}}
    found = Genotype("found", "darts", found.cells, about)
    found.save(folder / "genotype.json")
    return found


def figures(path: Path, network: str = "nas_224") -> tuple[int, int, int]:
    sizes = {"nas_224": ("imagenet", 14, 48, 224, 1000), "nas_cifar": ("cifar", 20, 36, 32, 10)}
    stem, cells, channels, size, classes = sizes[network]
    found = Genotype.load(path)
    cost = network_cost(found, stem=stem, cells=cells, channels=channels, size=size, num_classes=classes)
    skips = sum(op.operation == "skip_connect" for node in found.cells["normal"].nodes for op in node)
    return cost.multi_adds, cost.parameters, skips


def test_derive_writes_the_best_cells_within_the_limits(run: Run, tmp_path: Path) -> None:
    write_search(tmp_path / "run", 0)
    out = tmp_path / "cells"
    limits = ("--max-macs", "450", "--max-params", "4.2", "--max-skips", "1")
    status, printed, _ = run("derive", str(tmp_path / "run"), *limits, "--best", "3", "-o", str(out))
    assert status == 0
    facts = json.loads((out / "derivation.json").read_text())
    assert facts["budget"] == {"max_macs": 450.0, "max_params": 4.2, "max_skips": 1} and facts["network"] == "nas_224"
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"cell-{i}.json" for i in (1, 2, 3)),
        "cell.png",
        "derivation.json",
        "genotype.json",
    ]
    assert (out / "cell-1.json").read_bytes() == (out / "genotype.json").read_bytes()
    lines = printed.splitlines()
    assert lines[0].startswith("optimum without budget: ") and lines[-1].startswith("choose: nasarch select ")
    for i, (one, line) in enumerate(zip(facts["cells"], lines[1:4], strict=True), 1):
        path = out / f"cell-{i}.json"
        assert figures(path) == tuple(one[name] for name in FIGURES)
        assert one["multi_adds"] <= 450e6 and one["parameters"] <= 4.2e6 and one["skips"] <= 1
        macs, params, skips, score, below = (one[key] for key in (*FIGURES, "score", "below the optimum"))
        cost = f"{macs / 1e6:.1f} M multi-adds, {params / 1e6:.2f} M parameters, {skips} skip connections in the normal cell"
        assert line == f"{path}: {cost}; score {score:.6f}, {below:.6f} below the optimum"
        derivation = Genotype.load(path).provenance["source"]["derivation"]
        assert derivation["budget"]["max_macs"] == 450 and derivation["score"] == one["score"]
    scores = [one["score"] for one in facts["cells"]]
    assert scores == sorted(scores, reverse=True) and 0 < facts["cells"][0]["below the optimum"]
    assert find_sources(out)[0][1].cells == Genotype.load(out / "genotype.json")


def test_without_limits_derive_gives_the_cell_of_the_search(run: Run, tmp_path: Path) -> None:
    found = write_search(tmp_path / "run", 1)
    assert run("derive", str(tmp_path / "run"), "-o", str(tmp_path / "same")).status == 0
    assert Genotype.load(tmp_path / "same" / "genotype.json").to_dict()["cells"] == found.to_dict()["cells"]
    assert not (tmp_path / "same" / "cell-1.json").exists()


def test_limits_are_of_the_network_that_is_named(run: Run, tmp_path: Path) -> None:
    write_search(tmp_path / "run", 2)
    status, printed, _ = run("derive", str(tmp_path / "run"), "--max-params", "3", "--network", "nas_cifar", "-o", str(tmp_path / "small"))
    _, parameters, _ = figures(tmp_path / "small" / "genotype.json", "nas_cifar")
    assert status == 0 and parameters <= 3e6 and f"{parameters / 1e6:.2f} M parameters" in printed


def test_derive_takes_the_mean_of_several_seeds(run: Run, tmp_path: Path) -> None:
    cells = [write_search(tmp_path / "runs" / f"seed-{seed}", seed) for seed in (0, 1)]
    assert run("derive", str(tmp_path / "runs"), "-o", str(tmp_path / "mean")).status == 0
    tables = [ArchitectureWeights.load(tmp_path / "runs" / f"seed-{seed}" / "weights.json", "") for seed in (0, 1)]
    mean = ArchitectureWeights(sum(table.operations_ZEO for table in tables) / 2, torch.ones(2, 14))  # type: ignore[arg-type]
    found = Genotype.load(tmp_path / "mean" / "genotype.json")
    assert found == darts.derive(DARTS, darts.Darts(), mean, "mean").genotype and found not in cells


def test_what_can_not_be_derived_is_refused_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    write_search(tmp_path / "run", 0)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "config.json").write_bytes((tmp_path / "run" / "config.json").read_bytes())
    (tmp_path / "unfinished" / "metrics.jsonl").write_text("")
    out = tmp_path / "out"
    for arguments, message in (
        ((tmp_path / "run", "--max-macs", "50"), "--max-macs 50: the smallest nas_224 of this search has"),
        ((tmp_path / "run", "--network", "nas_bench_201"), "cells of space 'darts' make nas_cifar or nas_224"),
        ((tmp_path / "unfinished",), "holds no finished search with weights.json"),
        ((tmp_path / "none",), "no search in"),
    ):
        status, _, err = run("derive", *map(str, arguments), "-o", str(out))
        assert status == 2 and message in err and not out.exists()


def test_pareto_writes_every_cell_of_the_fronts(run: Run, tmp_path: Path) -> None:
    found = [write_search(tmp_path / name, seed) for seed, name in enumerate("ab")]
    out = tmp_path / "front"
    status, printed, _ = run("pareto", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(out))
    with (out / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert status == 0 and f"{len(rows)} cells" in printed and (out / "front.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in out.iterdir()} == {"front.csv", "front.png", *(row["file"] for row in rows)}
    for name, cells in zip("ab", found, strict=True):
        front = [row for row in rows if row["run"] == str(tmp_path / name)]
        costs, below = [int(row["multi_adds"]) for row in front], [float(row["below the optimum"]) for row in front]
        assert costs == sorted(set(costs)) and below == sorted(below, reverse=True) and below[-1] == 0
        assert Genotype.load(out / front[-1]["file"]) == cells
        assert all(figures(out / row["file"]) == tuple(int(row[key]) for key in FIGURES) for row in front)
    status, _, err = run("pareto", str(tmp_path / "a"), str(tmp_path / "a"), "-o", str(tmp_path / "twice"))
    assert status == 2 and "named twice" in err


@pytest.mark.parametrize("cost", ["parameters", "multi_adds"])
def test_the_cost_of_a_front_is_chosen(run: Run, tmp_path: Path, cost: str) -> None:
    write_search(tmp_path / "run", 3)
    assert run("pareto", str(tmp_path / "run"), "--cost", cost, "-o", str(tmp_path / cost)).status == 0
    with (tmp_path / cost / "front.csv").open() as file:
        costs = [int(row[cost]) for row in csv.DictReader(file)]
    assert costs == sorted(set(costs))
