"""Runs that are not over, of before, or with figures that hardly change: what a report makes of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.space import NATS
from nasarch.search.report import charts
from nasarch.search.report.charts import Metric
from nasarch.search.report.html import Album
from nasarch.search.report.panels import cycle_pen
from nasarch.search.report.sections import _metric
from nasarch.search.runs.history import Timeline
from nasarch.search.runs.reader import find_runs, read_run
from tests.helpers.chart_file import drawn, numbers
from tests.helpers.reported import FIGURES, cells, write
from tests.helpers.reported import Album as ReportAlbum
from tests.helpers.stages import epochs


def unfinished(folder: Path, epochs: int) -> Path:
    """The run after so many epochs; of the next one the line is half-written."""
    write(folder)
    for name in ("genotype.json", "edges.json"):
        (folder / name).unlink()
    for name in ("metrics", "weights"):
        lines = (folder / f"{name}.jsonl").read_text().splitlines(keepends=True)
        (folder / f"{name}.jsonl").write_text("".join(lines[:epochs]) + "".join(lines[epochs : epochs + 1])[:9])
    return folder


@pytest.mark.parametrize(("epochs", "state"), [(0, "0 epochs"), (1, "1 epoch"), (3, "3 epochs")])
def test_a_run_that_goes_on_is_known_as_far_as_it_went(epochs: int, state: str, tmp_path: Path) -> None:
    run = read_run(unfinished(tmp_path / "run", epochs))
    assert run.state == f"unfinished, {state} so far" and run.epochs == epochs and run.margins is None and run.genotype is None
    assert run.last_cell == (cells(epochs) if epochs else None)
    assert sorted(run.cells) == list(range(1, epochs + 1)) and (run.weights is None or len(run.weights) == epochs)
    assert run.column("loss") == FIGURES["loss"][:epochs]
    assert run.seconds == {0: None, 1: 10.0, 3: 27.0}[epochs]  # 20 and then, by a clock that began anew, 7


def test_of_a_finished_run_nothing_may_be_half_written(tmp_path: Path) -> None:
    folder = write(tmp_path / "run")
    assert read_run(folder).state == "finished, 4 epochs" and read_run(folder).last_cell == cells(4)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"stage": ')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 5: damaged"):
        read_run(folder)


def test_weights_that_are_ahead_of_the_metrics_wait(tmp_path: Path) -> None:
    """A run that was killed between the two files."""
    folder = unfinished(tmp_path / "run", 3)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:2]))
    run = read_run(folder)
    assert run.epochs == 2 and run.weights is not None and len(run.weights) == 2 and sorted(run.cells) == [1, 2]


def test_figures_that_are_no_numbers_are_missing(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", figures=FIGURES | {"memory": [1.0, True, "2", None], "eigenvalue": [None] * 4})
    run = read_run(folder)
    assert run.column("memory") == [1.0, None, None, None] and run.column("eigenvalue") == [None] * 4


def test_skips_are_counted_where_they_were_not_written(tmp_path: Path) -> None:
    figures = {key: values for key, values in FIGURES.items() if key != "skips"}
    folder = write(tmp_path / "run", figures=figures)
    (folder / "genotypes" / "epoch-3.json").unlink()
    assert read_run(folder).skips() == {"normal": [0, 4, None, 4], "reduction": [0, 0, None, 0]}


@pytest.mark.parametrize(
    ("config", "space"),
    [
        ({"space": {"name": "nats", "nodes": 3}}, NATS),
        ({"space": None, "settings": {"nodes": 3}}, ("darts", 3)),
        ({"space": None, "settings": {}}, ("darts", 4)),
    ],
)
def test_without_a_cell_the_space_is_that_of_the_configuration(config: dict[str, Any], space: Any, tmp_path: Path) -> None:
    folder = unfinished(tmp_path / "run", 0)
    (folder / "weights.jsonl").unlink()
    told = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(told))
    found = read_run(folder).space
    assert found == space if space is NATS else (found.name, found.nodes) == space


def test_runs_are_found_in_order_and_once(tmp_path: Path) -> None:
    for seed in (2, 10, 1):
        write(tmp_path / "all" / f"seed-{seed}", seed=seed)
    write(tmp_path / "one", seed=7)
    found = find_runs([tmp_path / "one", tmp_path / "all", tmp_path / "all" / "seed-2", tmp_path / "one"])
    assert [run.config["seed"] for run in found] == [7, 1, 2, 10] and found[0].label == "DOTS, seed 7"


def test_edges_that_are_in_or_out_have_no_weights_to_draw(tmp_path: Path) -> None:
    folder = write(tmp_path / "run")
    lines = [json.loads(line) for line in (folder / "weights.jsonl").read_text().splitlines()]
    for line in lines:
        line["edges"] = [[0.0, 1.0, 1.0, 0.0, 1.0]] * 2
    (folder / "weights.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    album = ReportAlbum([folder], tmp_path / "report")
    assert album.page.text.count("operations alone have weights, edges have none") == 2
    assert not [name for name in album.page.figures if name.startswith("edges")]


# ---- panels


def test_a_temperature_that_stays_has_no_metric(tmp_path: Path) -> None:
    still = read_run(
        write(tmp_path / "run", figures=FIGURES | {"temperature": [1.0] * 4, "learning_rate": [0.1] * 4, "multi_adds": [None] * 4})
    )
    assert _metric(still, "temperature", "T") is None and _metric(still, "multi_adds", "M") is None
    assert _metric(still, "learning_rate", "rate") == Metric("rate", {"": [0.1] * 4}, log=False)
    falls = read_run(write(tmp_path / "falls"))
    assert _metric(falls, "temperature", "T") == Metric("T", {"": FIGURES["temperature"]}, log=True)


@pytest.mark.parametrize(
    ("values", "scale"), [([10.0, 1.0], "linear"), ([10.1, 1.0], "log"), ([5.0, 0.0], "linear"), ([5.0, -1.0], "linear")]
)
def test_a_scale_is_logarithmic_from_more_than_a_decade_on(values: list[float], scale: str) -> None:
    (panel,) = drawn(charts.curves([Metric("T", {"": values}, log=True)], Timeline.of(epochs("a", "a")))).panels
    assert panel.scale == scale
    (panel,) = drawn(charts.curves([Metric("T", {"": values})], Timeline.of(epochs("a", "a")))).panels
    assert panel.scale == "linear"


@pytest.mark.parametrize(
    ("values", "limits"), [([0.1, 1.0], (-0.06, 1.06)), ([0.5, 1.0], (0.47, 1.03)), ([0.39, 1.0], (-0.06, 1.06)), ([], (-0.06, 1.06))]
)
def test_weights_begin_at_zero_unless_all_lie_far_from_it(values: list[float], limits: tuple[float, float]) -> None:
    assert charts.weight_limits(values) == pytest.approx(limits)


def test_a_stage_of_one_epoch_is_a_dot_and_long_lines_have_none() -> None:
    for stages, marked in ((["a", "b", "b"], [1, 2, 3]), (["a"] * 17 + ["b"], [18]), (["a"] * 16, [*range(1, 17)]), (["a"] * 17, [])):
        (panel,) = drawn(charts.curves([Metric("x", {"": [1.0] * len(stages)})], Timeline.of(epochs(*stages)))).panels
        marks = [numbers(mark)[0] for part in panel.part("", "marks") for mark in part.attrib["d"].split("M")[1:]]
        assert [round(panel.epoch(x)) for x in marks] == marked


def test_long_lines_of_several_have_some_markers() -> None:
    (panel,) = drawn(charts.curves([Metric("x", {"a": [1.0] * 50, "b": [2.0] * 50})], Timeline.of(epochs(*["a"] * 50)))).panels
    for name in "ab":
        marks = [numbers(mark)[0] for part in panel.part(name, "marks") for mark in part.attrib["d"].split("M")[1:]]
        assert [round(panel.epoch(x)) for x in marks] == [4, 11, 18, 25, 32, 39, 46]
    shapes = [re.sub(r"M[-\d. ]+", "", panel.part(name, "marks")[0].attrib["d"]) for name in "ab"]
    assert shapes[0] != shapes[1]


def test_grey_ground_is_explained_where_there_is_some() -> None:
    for warmup, noted in (((1,), True), ((), False)):
        chart = charts.curves([Metric("x", {"": [1.0, 2.0]})], Timeline.of(epochs("a", "a", warmup=warmup)))
        assert ("warm-up: the weights alone are trained" in Album(None).chart("x", chart, "")) == noted


def test_twenty_one_lines_can_be_told_apart() -> None:
    pens = [cycle_pen(rank) for rank in range(22)]
    assert len({str(pen) for pen in pens}) == 21 and pens[21] == pens[0]
    assert len({pen.colour for pen in pens[:7]}) == 7


def test_names_of_stages_stand_above_where_there_are_several() -> None:
    for stages, names in ((["a", "b", "b"], {"a": 1.0, "b": 2.5}), (["a", "a"], {})):
        (panel,) = drawn(charts.curves([Metric("x", {"": [1.0] * len(stages)})], Timeline.of(epochs(*stages)))).panels
        found = {text.text: round(panel.epoch(float(text.attrib["x"])), 1) for text in panel.elements("soft")}
        assert found == names
