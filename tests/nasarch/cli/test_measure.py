"""`nasarch measure`, and `derive` and `pareto` with its table: what they write and print, without measuring anything."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS
from nasarch.latency import measure as measuring
from nasarch.latency.table import LatencyTable
from nasarch.models.zoo import network_of
from nasarch.search.engine.result import ArchitectureWeights
from nasarch.search.recipes import darts
from tests.helpers.command_line import Run
from tests.helpers.latency_table import made_up_table


@pytest.fixture
def searched(tmp_path: Path) -> Path:
    """A finished search by DARTS with random weights, and a table for it."""
    folder = tmp_path / "run"
    folder.mkdir()
    weights = ArchitectureWeights(torch.rand(2, 14, 8, generator=torch.Generator().manual_seed(0)), torch.ones(2, 14))
    (folder / "weights.json").write_text(json.dumps(weights.to_lists()))
    config = {"method": "DARTS", "settings": asdict(darts.Darts()), "seed": 0, "space": {"name": "darts", "nodes": 4}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text(json.dumps({"stage": "topology", "warmup": False, "loss": 1.0, "accuracy": 0.5}) + "\n")
    found = darts.derive(DARTS, darts.Darts(), weights, "found").genotype
    Genotype("found", "darts", found.cells, {"method": "DARTS"}).save(folder / "genotype.json")
    made_up_table(DARTS, network_of(DARTS), scale=0.5).save(tmp_path / "table.json")
    return folder


def slower(table: LatencyTable, times: float) -> Callable[[Sequence[Genotype]], list[float]]:
    return lambda cells: [times * table.scale * table.added_ms(one) for one in cells]


def test_measure_writes_a_table_and_says_how_well_it_predicts(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Any]()

    def measured(space: Any, model: Any, **settings: Any) -> LatencyTable:
        settings.pop("report")("rounds", 5, 5)
        asked.append((space, model.name, settings))
        return made_up_table(space, model, scale=0.5)

    monkeypatch.setattr(measuring, "measure", measured)
    out = tmp_path / "new" / "table.json"
    words = ("--network", "nas_cifar", "--nodes", "3", "--operations", "skip_connect", "sep_conv_3x3", "--backend", "pytorch")
    status, printed, _ = run("measure", *words, "--batch", "4", "--threads", "2", "--rounds", "7", "--check", "5", "-o", str(out))
    ((space, network, settings),) = asked
    assert (space.nodes, space.operations, network) == (3, ("skip_connect", "sep_conv_3x3"), "nas_cifar")
    assert settings == {"backend": "pytorch", "batch": 4, "threads": 2, "time": "wall", "rounds": 7, "check": 5}
    table = LatencyTable.load(out)
    lines = printed.splitlines()
    assert status == 0 and lines[0] == "rounds: 5 of 5"
    assert lines[1] == f"wrote {out}: {len(table.parts)} parts of nas_cifar; {table.conditions}; median of 5 rounds"
    assert lines[2:] == [
        "3 random networks: 0.5 to 1.5 ms; 0.50 times the sum of the parts",
        "rank correlation of sum and network: Kendall 1.00, Spearman 1.00",
        "mean relative error: 0.0 % (100.0 % of the plain sum)",
    ]
    assert run("measure", "--space", "nats", "-o", str(out)).status == 0
    assert asked[-1][1] == "nas_bench_201" and asked[-1][0].name == "nats"


def test_what_can_not_be_measured_is_refused(run: Run, tmp_path: Path) -> None:
    for words, message in (
        (("--network", "nas_cifar", "--space", "nats"), "cells of space 'nats' make nas_bench_201"),
        (("--operations", "sep_conv"), "unknown operation 'sep_conv' in space 'darts'"),
        (("--rounds", "2"), "--rounds 2: choose 5 or more"),
        (("--batch", "0"), "--batch 0: choose 1 or more"),
        (("--time", "cpu"), "CPU time is the latency of one thread: give --threads 1"),
        (("--time", "cpu", "--threads", "2"), "CPU time is the latency of one thread: give --threads 1"),
    ):
        status, _, err = run("measure", *words, "-o", str(tmp_path / "none.json"))
        assert status == 2 and message in err and not (tmp_path / "none.json").exists()


def test_derive_keeps_a_measured_latency(run: Run, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = LatencyTable.load(tmp_path / "table.json")
    monkeypatch.setattr(measuring, "measure_cells", lambda given, model: slower(given, 1.2))
    out, limit = tmp_path / "out", 0.9 * 1.2 * table.scale * table.added_ms(Genotype.load(searched / "genotype.json"))
    words = ("--latency", str(tmp_path / "table.json"), "--max-latency-ms", f"{limit}")
    status, printed, _ = run("derive", str(searched), *words, "-o", str(out))
    facts = json.loads((out / "derivation.json").read_text())
    ((cell,), free) = facts["cells"], facts["optimum without budget"]
    lines = printed.splitlines()
    assert status == 0 and lines[0] == f"latency: {table.conditions}" == f"latency: {facts['latency']}"
    assert cell["measured_latency_ms"] <= limit < free["measured_latency_ms"] and facts["budget"]["max_latency_ms"] == limit
    assert cell["measured_latency_ms"] == pytest.approx(1.2 * cell["predicted_latency_ms"], abs=0.02)
    assert 0 < cell["below the optimum"] and f"{cell['measured_latency_ms']:.3g} ms measured; score" in lines[2]
    provenance = Genotype.load(out / "genotype.json").provenance["source"]["derivation"]
    assert provenance["measured_latency_ms"] == cell["measured_latency_ms"] and provenance["latency"] == table.conditions


def test_on_another_machine_latency_is_predicted_alone(run: Run, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "processor", lambda: "another one")
    table, out = LatencyTable.load(tmp_path / "table.json"), tmp_path / "out"
    limit = 0.9 * table.scale * table.added_ms(Genotype.load(searched / "genotype.json"))
    words = ("--latency", str(tmp_path / "table.json"), "--max-latency-ms", f"{limit}")
    status, printed, _ = run("derive", str(searched), *words, "-o", str(out))
    (cell,) = json.loads((out / "derivation.json").read_text())["cells"]
    assert status == 0 and "predicted only, since this machine has another processor" in printed
    assert "measured_latency_ms" not in cell and 0.9 * limit < cell["predicted_latency_ms"] <= limit


def test_latencies_without_a_table_and_tables_of_others_are_refused(run: Run, searched: Path, tmp_path: Path) -> None:
    table, out = str(tmp_path / "table.json"), str(tmp_path / "out")
    for words, message in (
        (("derive", "--max-latency-ms", "8"), "--max-latency-ms 8 needs --latency TABLE: `nasarch measure -o latency.json` makes a table"),
        (("pareto", "--cost", "latency"), "--cost latency needs --latency TABLE"),
        (("derive", "--latency", table, "--network", "nas_cifar"), "is of another network (network nas_224 instead of nas_cifar"),
        (("pareto", "--latency", table, "--network", "nas_cifar"), "is of another network (network nas_224 instead of nas_cifar"),
        (("derive", "--latency", str(searched / "config.json")), "config.json: damaged"),
        (("derive", "--latency", table, "--max-latency-ms", "0.1"), "--max-latency-ms 0.1: the smallest nas_224 of this search has"),
    ):
        status, _, err = run(words[0], str(searched), *words[1:], "-o", out)
        assert status == 2 and message in err and not Path(out).exists()


def test_pareto_writes_the_front_of_latency(run: Run, searched: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "table.json", tmp_path / "front"
    status, printed, _ = run("pareto", str(searched), "--cost", "latency", "--latency", str(table), "-o", str(out))
    with (out / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    milliseconds = [float(row["predicted_latency_ms"]) for row in rows]
    assert status == 0 and "predicted ms" in printed and milliseconds == sorted(set(milliseconds)) and len(rows) > 5
    assert float(rows[-1]["below the optimum"]) == 0 and (out / "front.png").read_bytes().startswith(b"\x89PNG")
    loaded = LatencyTable.load(table)
    for row in rows[:: len(rows) // 4]:
        predicted = loaded.scale * loaded.added_ms(Genotype.load(out / row["file"]))
        assert float(row["predicted_latency_ms"]) == pytest.approx(predicted, abs=0.02)
