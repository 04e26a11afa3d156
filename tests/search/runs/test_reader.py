"""What is read from the folder of a search: every value by hand, with what a kill leaves half-written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.space import DARTS, NATS
from nasarch.search.engine.result import Margin
from nasarch.search.runs.history import Span
from nasarch.search.runs.reader import find_runs, read_run
from tests.helpers.reported import STAGES
from tests.helpers.written_run import SMALL, edit_lines, genotype, margins, weights, write_run


def add_line(path: Path, value: Any) -> None:
    path.write_text(path.read_text() + (value if isinstance(value, str) else json.dumps(value) + "\n"))


def test_a_finished_run_is_read_whole(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", seed=7))
    assert (run.label, run.state, run.epochs, run.seconds, run.space) == ("DOTS, seed 7", "finished, 4 epochs", 4, 8.0, SMALL)
    assert run.column("loss") == [2.0, 1.0, 2 / 3, 0.5] and run.column("nothing") == [None] * 4
    assert run.timeline.stages == (Span("operations", 1, 2), Span("topology", 3, 4))
    assert run.timeline.warmups == (Span("operations", 1, 1), Span("topology", 3, 3))
    assert run.skips() == {kind: [1, 2, 3, 4] for kind in SMALL.kinds}
    assert sorted(run.cells) == [1, 2, 3, 4] and run.cells[3] == genotype(SMALL, SMALL.operations[2])
    assert run.genotype == run.last_cell == genotype(SMALL, SMALL.operations[2]) and run.measured == []
    assert run.weights is not None and [table.operations[0][0] for table in run.weights] == [
        weights(SMALL, n, stage)["operations"][0][0] for n, stage in enumerate(STAGES, 1)
    ]
    assert [table.edges[1][0] for table in run.weights] == pytest.approx([1.0, 1.0, 0.28, 0.29])
    assert run.margins == [Margin(**row | {"weights": tuple(row["weights"]), "kept": tuple(row["kept"])}) for row in margins(SMALL)]


def test_what_a_kill_leaves_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    """Weights of an epoch without its figures, half a line, a cell of an epoch to be searched again; what an epoch's figures lack."""
    folder = write_run(tmp_path / "run", finished=False)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:2]) + lines[2][:40])
    edit_lines(folder / "weights.jsonl", more=1)
    run = read_run(folder)
    assert (run.epochs, run.state, run.genotype, run.margins) == (2, "unfinished, 2 epochs so far", None, None)
    assert run.weights is not None and len(run.weights) == 2 and sorted(run.cells) == [1, 2]
    assert run.last_cell == run.cells[2]
    (folder / "metrics.jsonl").write_text(lines[0])
    assert read_run(folder).state == "unfinished, 1 epoch so far"
    (folder / "metrics.jsonl").write_text(lines[2][:40])
    nothing = read_run(folder)
    assert (nothing.epochs, nothing.weights, nothing.last_cell, nothing.seconds) == (0, [], None, None)


def test_half_a_line_of_a_finished_run_is_damage(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    add_line(folder / "metrics.jsonl", '{"stage": "topo')
    with pytest.raises(ValueError, match="metrics.jsonl, line 5: damaged"):
        read_run(folder)


def test_figures_that_are_no_numbers_count_as_missing_and_skips_are_counted_from_the_cells(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    edit_lines(folder / "metrics.jsonl", memory="much", multi_adds=True, skips=None, temperature=None)
    genotype(SMALL, "skip_connect").save(folder / "genotypes" / "epoch-2.json")
    (folder / "genotypes" / "epoch-3.json").unlink()
    run = read_run(folder)
    assert run.column("memory") == run.column("multi_adds") == run.column("temperature") == [None] * 4
    assert run.skips() == {kind: [0, 4, None, 0] for kind in SMALL.kinds}


def test_measurements_within_epochs_are_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", finished=False)
    line = {"stage": "topology", "warmup": False, "epoch": 1, "step": 5, "eigenvalue": 0.25}
    (folder / "eigenvalues.jsonl").touch()
    add_line(folder / "eigenvalues.jsonl", line)
    assert read_run(folder).measured == [line]
    add_line(folder / "eigenvalues.jsonl", line | {"eigenvalue": None})
    assert read_run(folder).measured == [line]
    add_line(folder / "eigenvalues.jsonl", line | {"warmup": None})
    add_line(folder / "eigenvalues.jsonl", line)
    with pytest.raises(ValueError, match="eigenvalues.jsonl, line 2: damaged"):
        read_run(folder)


def test_the_space_is_that_of_the_cells_or_of_the_settings_of_before(tmp_path: Path) -> None:
    nats = write_run(tmp_path / "nats", space=NATS)
    assert read_run(nats).space == NATS
    older = write_run(tmp_path / "older", finished=False)
    config = json.loads((older / "config.json").read_text())
    for path in (older / "genotypes").iterdir():
        path.unlink()
    for file in ("metrics.jsonl", "weights.jsonl"):
        (older / file).unlink()
    del config["space"]
    for settings, nodes in (({"nodes": 3}, 3), ({}, DARTS.nodes)):
        (older / "config.json").write_text(json.dumps(config | {"settings": settings}))
        assert read_run(older).space == DARTS.with_nodes(nodes)


@pytest.mark.parametrize(
    "wrong", [{"kept": [3, 0]}, {"dropped": 3}, {"kept": [-1, 0]}, {"lead": "much"}, {"weights": [True, 0.5]}], ids=str
)
def test_margins_that_no_search_writes_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    """Node 3 reads 0, 1 or 2."""
    folder = write_run(tmp_path / "run")
    rows = margins(SMALL)
    rows[1] |= {"kept": [2, 1], "dropped": 0}
    (folder / "edges.json").write_text(json.dumps(rows))
    assert read_run(folder).margins is not None
    rows[1] |= wrong
    (folder / "edges.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match="edges.json: a row is not as a search writes it"):
        read_run(folder)


def test_runs_come_in_the_order_of_their_numbers_and_each_once(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for seed in (10, 9, 8):
        write_run(folder / f"seed-{seed}", seed=seed)
    alone = write_run(tmp_path / "alone", seed=1)
    assert [run.config["seed"] for run in find_runs([folder / "seed-9", alone, folder, alone])] == [9, 1, 8, 10]
