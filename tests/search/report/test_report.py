"""A report shows all that a run folder holds, whatever is missing in it, in one page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.cells.space import DARTS, NATS, Edge, Space
from nasarch.cli.main import main
from nasarch.search.report import charts
from nasarch.search.report.report import write_report
from nasarch.search.runs.history import Span, Timeline, kept_edges
from nasarch.search.runs.reader import find_runs, read_run
from tests.helpers.chart_file import drawn
from tests.helpers.page import Page
from tests.helpers.reported import STAGES
from tests.helpers.stages import epochs
from tests.helpers.written_run import SMALL, edit_lines, genotype, margins, metrics, weights, write_run

OPTIONAL = ("skips", "multi_adds", "memory", "eigenvalue", "temperature")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Page]:
    folder = write_run(tmp_path_factory.mktemp("runs") / "dots")
    return folder / "report", Page(write_report([folder]))


def test_a_finished_run_has_every_section(finished: tuple[Path, Page]) -> None:
    _, page = finished
    assert page.headings[0] == "DOTS, seed 0: found"
    assert page.headings[2:] == [
        "The cell that was found",
        "Settings",
        "Curves",
        "Skip connections",
        "Sharpness in the architecture parameters",
        "Operation weights",
        "Operations retained in each group",
        "Edge weights",
        "The cell as it changed",
        "Margins",
        "Cost",
    ]
    for words in ("2.49 % test error", "paper, Table 1: DOTS (preset cifar)", "8.0 s", "640 MB", "finished, 4 epochs", "M multi-adds"):
        assert words in page.text
    assert "Stage 'operations': operations alone have weights, edges have none." in page.text
    assert "1-2 max_pool_3x3; 3-4 avg_pool_3x3" in page.text
    assert "0.125000" in page.text


def test_the_pictures_lie_beside_the_page_and_in_it(finished: tuple[Path, Page]) -> None:
    folder, page = finished
    names = {
        *("cell", "curves", "skips", "eigenvalue", "changes", "cost"),
        *("operations-normal-1", "operations-reduction-1", "operations-normal-2", "operations-reduction-2"),
        *("edges-normal-2", "edges-reduction-2"),
    }
    assert {path.name for path in folder.iterdir()} == {"index.html", *(f"{name}.svg" for name in names)}
    assert sorted(page.figures) == sorted([*names, "cells-by-epoch"])
    for name in names:
        root = ElementTree.parse(folder / f"{name}.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and 300 < float(root.attrib["width"]) < 2500


def test_the_page_asks_for_nothing_and_runs_its_own_script_alone(finished: tuple[Path, Page]) -> None:
    folder, page = finished
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href", "srcset", "action")]
    assert all(value and value.startswith("#") for value in links)
    assert not {"link", "iframe", "object", "img"} & {tag for tag, _ in page.tags} and [tag for tag, _ in page.tags].count("script") == 1
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    (script,) = re.findall("<script>(.*?)</script>", (folder / "index.html").read_text(encoding="utf-8"), flags=re.DOTALL)
    (policy,) = [attributes["content"] or "" for tag, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';") and policy.endswith(f"script-src 'sha256-{digest}'")
    assert "http" not in re.sub("http://www.w3.org/2000/svg", "", script)


def test_a_report_of_fifty_epochs_has_less_than_3_mb(tmp_path: Path) -> None:
    """Whole cells of DARTS with two stages, and another cell in every epoch."""
    folder = write_run(tmp_path / "run", space=DARTS)
    generator = random.Random(0)
    stages = epochs(*["operations"] * 25, *["topology"] * 25)
    lines, tables = list[dict[str, Any]](), list[dict[str, Any]]()
    for n, stage in enumerate(stages, 1):
        lines.append(metrics(DARTS, n, stage) | {"loss": generator.random(), "accuracy": generator.random()})
        weight = [[[generator.random() for _ in DARTS.operations] for _ in DARTS.edges] for _ in DARTS.kinds]
        tables.append(weights(DARTS, n, stage) | {"operations": weight, "unannealed": weight})
        tables[-1]["edges"] = [[generator.random() for _ in DARTS.edges] for _ in DARTS.kinds]
        nodes = [tuple(Op(generator.choice(DARTS.operations[1:]), i) for i in generator.sample(range(j), 2)) for j in DARTS.inner_nodes]
        cell = Cell(tuple(nodes), DARTS.concat(), DARTS.inputs)
        Genotype("x", "darts", dict.fromkeys(DARTS.kinds, cell)).save(folder / "genotypes" / f"epoch-{n}.json")
    for name, rows in (("metrics", lines), ("weights", tables)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = write_report([folder])
    page = Page(path)
    assert path.stat().st_size < 3_000_000
    assert [len(json.loads(frames)) for frames in page.all("data-frames")] == [50, 50] and "unannealed-normal-2" in page.figures


def test_several_seeds_are_compared(tmp_path: Path) -> None:
    for seed in (3, 10):
        write_run(tmp_path / "runs" / f"seed-{seed}", seed=seed)
    (tmp_path / "runs" / "config.json").write_text(json.dumps({"method": "DOTS", "settings": {}, "job": {}}))
    page = Page(write_report([tmp_path / "runs"]))
    assert page.headings[:5] == ["2 searches: DOTS", "Runs", "What the papers report", "Cells side by side", "Stability"]
    assert [words for words in page.headings if words.startswith("DOTS, seed")] == ["DOTS, seed 3", "DOTS, seed 10"]
    assert "mean of 2 runs: normal 4.00, reduction 4.00, together 8.00" in page.text
    anchors = {attributes["href"] for _, attributes in page.tags if attributes.get("href")}
    assert anchors == {f"#{attributes['id']}" for tag, attributes in page.tags if attributes.get("id") and tag != "figure"}
    assert len(set(page.all("id"))) == len(page.all("id"))
    assert {"runs.svg", "run-1-cell.svg", "run-2-cell.svg"} <= {path.name for path in (tmp_path / "runs" / "report").iterdir()}


def test_runs_of_other_searches_stand_side_by_side_in_the_folder_that_is_named(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", space=NATS, name="other")
    page = Page(write_report([first, second, first], tmp_path / "out"))
    assert page.headings[0] == "2 searches: DOTS" and "Stability" not in page.headings
    assert f"DOTS, seed 0 ({second})" in page.text
    assert not (first / "report").exists() and (tmp_path / "out" / "run-2-operations-normal-1.svg").exists()


def test_many_runs_stay_short(tmp_path: Path) -> None:
    for seed in range(6):
        write_run(tmp_path / f"seed-{seed}", seed=seed)
    path = write_report([tmp_path])
    page = Page(path)
    assert page.headings.count("Margins") == 6 and "Curves" not in page.headings
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("epochs", [0, 3])
def test_an_unfinished_run_is_shown_as_far_as_it_went(tmp_path: Path, epochs: int) -> None:
    folder = write_run(tmp_path / "run", finished=False)
    for file in ("metrics", "weights"):
        path = folder / f"{file}.jsonl"
        whole = path.read_text().splitlines(keepends=True)
        path.write_text("".join(whole[:epochs]) + whole[epochs][:20])
    page = Page(write_report([folder]))
    assert f"unfinished, {epochs} epochs so far" in page.text
    assert ("The present cell" in page.headings) == ("Curves" in page.headings) == (epochs > 0)
    assert "Margins" not in page.headings and "epoch-4" not in page.text


def test_a_run_of_before_lacks_only_what_it_did_not_write(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "weights.jsonl").unlink()
    edit_lines(folder / "metrics.jsonl", **dict.fromkeys(OPTIONAL))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({key: config[key] for key in ("method", "settings", "seed")}))
    page = Page(write_report([folder]))
    assert {"Curves", "Skip connections", "The cell as it changed", "Margins", "Cost"} <= set(page.headings)
    assert not {"Operation weights", "Edge weights", "Sharpness in the architecture parameters"} & set(page.headings)


def test_one_candidate_and_no_edge_weights_are_said_not_drawn(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    one = [[[0.0] * 3 + [1.0] + [0.0] * 4] * 5] * 2
    edit_lines(folder / "weights.jsonl", operations=one, edges=[[1.0] * 5] * 2)
    page = Page(write_report([folder]))
    assert "every edge has one candidate operation" in page.text and "edges have none" in page.text
    assert not list((folder / "report").glob("operations-*")) + list((folder / "report").glob("edges-*"))


def test_what_the_run_says_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('$x_$ & \"y\"')</script>"
    folder = write_run(tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config |= {"method": evil, "name": evil, "device": evil, "command": evil, "settings": {evil: evil}, "versions": {evil: evil}}
    config |= {"data": {"name": evil, "source": evil}, "preset": {"name": evil, "row": evil, "reported": evil}}
    (folder / "config.json").write_text(json.dumps(config))
    edit_lines(folder / "metrics.jsonl", stage=evil)
    page = Page(write_report([folder]))
    assert evil in page.text and [tag for tag, _ in page.tags].count("script") == 1
    assert [ElementTree.parse(path) for path in (folder / "report").glob("*.svg")]


def test_the_clock_that_starts_anew_is_added_up(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    times = [10.0, 20.0, 7.0, 14.0]
    lines = [json.dumps(metrics(SMALL, n, s) | {"seconds": time}) for (n, s), time in zip(enumerate(STAGES, 1), times, strict=True)]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    assert read_run(folder).seconds == 34.0


def break_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def drop_method(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"settings": {}, "seed": 0}))


def break_line(folder: Path) -> None:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join([lines[0], lines[1][:30], *lines[2:]]))


def drop_loss(folder: Path) -> None:
    edit_lines(folder / "metrics.jsonl", loss=None)


def text_for_loss(folder: Path) -> None:
    edit_lines(folder / "metrics.jsonl", loss="low")


def small_tables(folder: Path) -> None:
    edit_lines(folder / "weights.jsonl", edges=[[1.0]])


def other_margins(folder: Path) -> None:
    (folder / "edges.json").write_text(json.dumps([{"kind": "normal"}]))


def impossible_source(folder: Path) -> None:
    rows = margins(SMALL)
    rows[1]["kept"] = [7, 0]
    (folder / "edges.json").write_text(json.dumps(rows))


def break_cell(folder: Path) -> None:
    (folder / "genotypes" / "epoch-2.json").write_text("no")


def not_an_object(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text("[1]\n")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_config, ["config.json", "not JSON", "search again"]),
        (drop_method, ["config.json", "'method'", "give the folder"]),
        (break_line, ["metrics.jsonl, line 2", "search again"]),
        (drop_loss, ["metrics.jsonl, line 1", "'loss'"]),
        (text_for_loss, ["metrics.jsonl, line 1", "'low'"]),
        (small_tables, ["weights.jsonl, line 1", "2 x 5"]),
        (other_margins, ["edges.json", "kept"]),
        (impossible_source, ["edges.json", "node 3 can't read"]),
        (break_cell, ["epoch-2.json", "not JSON"]),
        (not_an_object, ["metrics.jsonl, line 1", "damaged"]),
    ],
)
def test_what_is_damaged_is_named_with_a_remedy(damage: Any, words: list[str], tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    damage(folder)
    with pytest.raises(ValueError) as caught:
        write_report([folder])
    assert all(word in str(caught.value) for word in words)
    assert not (folder / "report").exists()


def test_a_line_in_the_middle_of_an_unfinished_run_may_not_be_damaged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", finished=False)
    break_line(folder)
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2"):
        find_runs([folder])


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: there is no such folder; give the folder of a search"):
        write_report([tmp_path / "nowhere"])
    with pytest.raises(ValueError, match=r"it has no config\.json"):
        write_report([tmp_path])
    (tmp_path / "config.json").write_text(json.dumps({"method": "DOTS", "settings": {}, "job": {}}))
    with pytest.raises(ValueError, match="none of its seeds has begun"):
        write_report([tmp_path])
    with pytest.raises(ValueError, match="no run"):
        write_report([])


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match="can't write"):
        write_report([folder], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_the_same_run_gives_the_same_page_wherever_it_lies(finished: tuple[Path, Page], tmp_path: Path) -> None:
    folder, _ = finished
    shutil.copytree(folder.parent, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    assert write_report([tmp_path / "run"]).read_bytes() == (folder / "index.html").read_bytes()


def test_what_a_search_writes_is_what_a_report_reads(tmp_path: Path) -> None:
    small = ["--layers", "3", "--channels", "4", "--batch-size", "64", "--size", "8", "--iterations", "2"]
    assert main(["search", "ftso", "--data", "digits", "--out", str(tmp_path / "run"), "--device", "cpu", *small]) == 0
    page = Page(write_report([tmp_path / "run"]))
    assert {"Curves", "Edge weights", "The cell as it changed", "Margins", "Cost"} <= set(page.headings)
    assert "every edge has one candidate operation" in page.text and (tmp_path / "run" / "report" / "edges-normal.svg").exists()


def test_the_history_of_an_edge_is_that_of_its_operation() -> None:
    cells = {1: genotype(DARTS, "skip_connect"), 2: genotype(DARTS, "skip_connect"), 4: genotype(DARTS, "sep_conv_3x3")}
    history = kept_edges(DARTS, "normal", cells, 4)
    assert list(history) == list(DARTS.edges)
    assert history[Edge(3, 4)] == [Span("skip_connect", 1, 2), Span("sep_conv_3x3", 4, 4)] and history[Edge(0, 4)] == []


def test_a_weight_that_is_zero_throughout_a_stage_is_no_candidate() -> None:
    timeline = Timeline.of(epochs("a", "a", "b", "b"))
    assert charts.live([0.0, 0.5, 0.0, 0.0], timeline) == [0.0, 0.5, None, None]
    assert charts.live([0.1, 0.5, 0.0, 0.2], timeline.of_stage(timeline.stages[1])) == [None, None, 0.0, 0.2]


@pytest.mark.parametrize("space", [DARTS, NATS, DARTS.with_nodes(1), DARTS.with_nodes(5)], ids=str)
def test_every_edge_has_its_panel_and_every_operation_its_own_line(space: Space) -> None:
    timeline = Timeline.of(STAGES)
    tables = [weights(space, n, s)["operations"][0] for n, s in enumerate(STAGES, 1)]
    chart = drawn(charts.operation_weights(space, space.kinds[0], tables, timeline))
    assert len(chart.panels) == len(space.edges)
    assert list(chart.legend) == list(space.operations)
    assert len(set(chart.legend.values())) == len(space.operations)
    assert len(drawn(charts.edge_weights(space, space.kinds[0], [[0.5] * len(space.edges)] * 4, {}, timeline)).panels) == space.nodes
