"""What DOTS retains: operations by group and without annealing (Fig. 3b, Tables 7 to 9), edges of each node by epoch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nasarch.cells.genotype import resolve
from nasarch.cells.space import DARTS, Edge
from nasarch.cli.main import main
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.recipes.dots import FREE, PARAMETRIC
from nasarch.search.report.report import write_report
from nasarch.search.runs.history import retained_edges, retained_operations
from nasarch.search.runs.reader import read_run
from nasarch.search.supernet.candidates import all_candidates

GROUPS = (FREE, PARAMETRIC)


def test_weights_without_annealing_are_the_softmax_at_temperature_one() -> None:
    arch = Relaxation(DARTS, all_candidates(DARTS), groups=GROUPS, init_std=1.0, generator=torch.Generator().manual_seed(0))
    assert len(arch.weights().unannealed_ZEO) == 0, "at temperature 1 they are the weights"
    plain = arch.weights().operations_ZEO
    arch.temperature.fill_(0.2)
    cold = arch.weights()
    assert torch.equal(cold.unannealed_ZEO, plain) and not torch.allclose(cold.operations_ZEO, plain)
    scaled = Relaxation(DARTS, all_candidates(DARTS), operation_scale=0.5)
    assert scaled.weights().unannealed_ZEO[0, 0].tolist() == pytest.approx([1 / 8] * 8)


def test_the_retained_operations_are_the_strongest_of_each_group() -> None:
    weights = [[0.1, 0.3, 0.4, 0.2, 0.3, 0.1, 0.5, 0.1]] + [[0.7, 0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 0.6]] * 13
    found = retained_operations(DARTS, weights, GROUPS)
    assert found[Edge(0, 2)] == ("avg_pool_3x3", "dil_conv_3x3") and found[Edge(1, 2)] == ("none", "dil_conv_5x5")


def test_the_edges_of_a_node_by_epoch() -> None:
    cells = {1: resolve("darts_v2_cifar"), 2: resolve("darts_v2_cifar"), 3: resolve("pc_darts_cifar")}
    of_five = retained_edges(DARTS, "normal", cells, 3)[5]
    assert [(span.first, span.last) for span in of_five] == [(1, 2), (3, 3)]
    assert of_five[0].value == "c_{k-2}, 2"
    assert retained_edges(DARTS, "normal", {2: cells[1]}, 3)[5] == [of_five[0]._replace(first=2)]


def test_a_search_writes_them_and_its_report_shows_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = ["--data", "digits", "--nodes", "2", "--channels", "4", "--batch-size", "32", "--fractions", "0.03", "0.03"]
    flags += ["--operation.layers", "3", "--operation.epochs", "2", "--operation.warmup", "1", "--operation.start", "3"]
    flags += ["--topology.layers", "3", "--topology.epochs", "2", "--topology.warmup", "1"]
    assert main(["search", "dots", "--out", str(run), *flags]) == 0
    lines = [json.loads(line) for line in (run / "weights.jsonl").read_text().splitlines()]
    assert all(line["unannealed"] != line["operations"] for line in lines if line["epoch"] == 2 and line["stage"] == "operations")
    assert all("unannealed" in line for line in lines)
    tables = read_run(run).weights
    assert tables is not None and tables[1].unannealed == lines[1]["unannealed"]
    page = write_report([run], tmp_path / "report").read_text()
    for words in ("Operations retained in each group", "the edges that each node retains, by epoch", "DOTS Fig. 3b"):
        assert words in page
    names = {path.name for path in (tmp_path / "report").rglob("*.svg")}
    assert {"unannealed-normal-1.svg", "unannealed-reduction-2.svg"} <= names
