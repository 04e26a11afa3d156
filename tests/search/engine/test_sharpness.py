"""The largest eigenvalue is measured on the way, as often as asked, and the search does not notice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.cells.genotype import Genotype
from nasarch.cli.main import main
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.result import SearchResult
from nasarch.search.recipes import dots, ftso, pc_darts
from nasarch.search.report.report import write_report
from nasarch.search.runs.reader import read_run
from tests.helpers.coloured_images import data
from tests.helpers.nested import nested
from tests.literal.record import Watched

SETTINGS = pc_darts.PcDarts(epochs=2, warmup=1, nodes=2, layers=3, channels=8, batch_size=8, random_channels=True)
SMALL: dict[str, Any] = {"nodes": 2, "layers": 3, "channels": 8, "batch_size": 8}
DIGITS = ["--data", "digits", "--device", "cpu", "--layers", "3", "--channels", "4", "--nodes", "2", "--batch-size", "32"]


def found(recipe: Any, settings: Any, **context: Any) -> tuple[SearchResult, list[float]]:
    """What a search ends with, and the eigenvalues on the way."""
    values, running = [], recipe.search(SearchContext(data=data(), **context), settings)
    while True:
        try:
            values += next(running).figures.values()
        except StopIteration as stop:
            return stop.value, values


def test_a_search_that_is_watched_finds_the_same() -> None:
    (plain, nothing), (watched, values) = (found(pc_darts, SETTINGS, **given) for given in ({}, {"hessian": True, "hessian_every": 2}))
    assert torch.equal(plain.weights.operations_ZEO, watched.weights.operations_ZEO)
    assert nothing == [] and len(values) == 4, "three steps an epoch: after the second and the last"


def test_a_search_that_is_watched_leaves_the_same_network() -> None:
    """To the bit: weights, running statistics, and where its random channels are."""
    settings = replace(SETTINGS, channels=4)
    plain, watched = (
        Watched().follow(pc_darts.search(SearchContext(data=data(), **given), settings))
        for given in ({}, {"hessian": True, "hessian_every": 2})
    )
    (ours,), (theirs,) = ([net.state_dict() for net in search.nets] for search in (plain, watched))
    assert ours.keys() == theirs.keys() and any("running_mean" in name for name in ours) and "sampler._extra_state" in ours
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_more_images_leave_no_trace_and_repeat_their_channels() -> None:
    """Random channels are drawn in the same way in every iteration, so that the eigenvalue is that of one function."""
    given = [{}, *[{"hessian": True, "hessian_images": count} for count in (8, 12, 12)]]
    plain, batch, more, again = (found(pc_darts, SETTINGS, **context) for context in given)
    assert torch.equal(plain[0].weights.operations_ZEO, more[0].weights.operations_ZEO)
    assert more[1] == again[1] and all(a != b for a, b in zip(more[1], batch[1], strict=True))
    assert batch[1] == found(pc_darts, SETTINGS, hessian=True)[1]


def test_where_all_images_train_both_it_is_measured_on_them() -> None:
    settings = nested(
        dots.Dots(),
        operation_epochs=2,
        topology_epochs=2,
        operation_warmup=1,
        topology_warmup=1,
        operation_layers=3,
        topology_layers=3,
        nodes=2,
        channels=8,
        batch_size=8,
    )
    assert len(found(dots, settings, hessian=True)[1]) == 4


def test_the_measured_images_do_not_change_and_are_of_all_classes() -> None:
    train, valid = SearchContext(data=data()).train_val_loaders(12, (0.5, 0.5))
    (x, y), (again, _) = valid.sample(), valid.sample()
    assert torch.equal(x, again) and y.unique().tolist() == [0, 1, 2]
    assert not torch.equal(x, train.sample()[0])


def test_every_step_has_its_line_and_the_report_its_picture(tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = ["--fractions", "0.05", "0.05", "--epochs", "2", "--hessian-every", "2"]
    assert main(["search", "ftso", "--out", str(run), *DIGITS, *flags]) == 0
    lines = [json.loads(line) for line in (run / "eigenvalues.jsonl").read_text().splitlines()]
    steps = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["steps"]
    wanted = sorted({*range(2, steps + 1, 2), steps})
    assert [(line["epoch"], line["step"]) for line in lines] == [(epoch, step) for epoch in (1, 2) for step in wanted]
    assert all(line["stage"] == "topology" and isinstance(line["eigenvalue"], float) for line in lines)
    cells = {path.stem for path in (run / "genotypes").glob("*.json")}
    within = {f"epoch-{epoch}-step-{step}" for epoch in (1, 2) for step in wanted if step < steps}
    assert cells == {"epoch-1", "epoch-2"} | within
    page = write_report([run], tmp_path / "report").read_text()
    assert "Fig. 4d" in page and any("iteration" in path.name for path in (tmp_path / "report").rglob("*.svg"))
    assert "the cell by iteration (FTSO Fig. 3c)" in page


def test_the_cell_of_an_iteration_is_that_of_a_search_which_ends_there(tmp_path: Path) -> None:
    """FTSO Fig. 3c: one search of two iterations has the cells of both."""
    flags = [*DIGITS, "--fractions", "0.05", "0.05", "--name", "cell"]
    for count in ("1", "2"):
        assert main(["search", "ftso", "--out", str(tmp_path / count), "--iterations", count, "--hessian-every", "1", *flags]) == 0
    by_step = read_run(tmp_path / "2").step_cells
    assert list(by_step) == [(1, 1)]
    assert by_step[1, 1].cells == Genotype.load(tmp_path / "1" / "genotype.json").cells


def test_float16_measures_without_cells_since_its_first_steps_may_be_left_out() -> None:
    running = ftso.search(SearchContext(data=data(), hessian=True, hessian_every=1), ftso.Ftso(**SMALL))
    first = next(running)
    assert first.measured is not None and first.result is None and first.figures
    stage = SearchContext(data=data(), amp="fp16", hessian=True, hessian_every=1)
    assert next(ftso.search(stage, ftso.Ftso(**SMALL))).measured is None


def test_lines_of_steps_that_are_made_again_are_replaced(tmp_path: Path) -> None:
    run, flags = tmp_path / "run", ["--fractions", "0.05", "0.05", "--epochs", "1", "--hessian-every", "2"]
    assert main(["search", "ftso", "--out", str(run), *DIGITS, *flags]) == 0
    lines = (run / "eigenvalues.jsonl").read_text()
    (run / "genotype.json").unlink()  # as if it had been killed before its checkpoint: it starts again
    assert main(["search", "ftso", "--resume", str(run)]) == 0
    assert (run / "eigenvalues.jsonl").read_text() == lines


def test_iterations_of_the_skip_supernet_can_be_watched_one_by_one() -> None:
    settings = ftso.Ftso(iterations=2, nodes=2, layers=3, channels=8, batch_size=8)
    _, values = found(ftso, settings, hessian=True, hessian_every=1)
    assert len(values) == 2 and values[0] != values[1]
    assert found(ftso, replace(settings, iterations=1), hessian=True)[1] == pytest.approx(values[:1])
