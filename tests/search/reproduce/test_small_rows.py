"""Every row that can be run, on a small part of the digits at the smallest scale: its commands, figures, sizes and report are there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import small_rows
from nasarch.cli.main import main
from nasarch.search.rows.row import Row, Search, Train
from nasarch.search.rows.rows import ROWS

A_FEW = (  # one of each kind, in `make test`
    "darts/table1/first",
    "ftso/fig3/a/epoch-50",
    "edarts/table2/darts-subset-sparse",
    "edarts/table3/pc-darts-shallow",
    "ftso/table4/ftso-cifar10",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_rows.write_images(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="module")
def nats_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_rows.write_nats_table(tmp_path_factory.mktemp("nats") / "table.csv")


def check(row: Row, images: Path, nats_table: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*small_rows.words(row, images, nats_table), "--out", str(folder)]
    monkeypatch.setattr(sys, "argv", ["nasarch", *words])
    assert main(words) == 0
    result = json.loads((folder / "result.json").read_text())
    unmeasured = [figure["metric"] for figure in result["figures"] if figure["measured"] is None]
    searched = row.step(Search) is not None
    assert [name for name in unmeasured if not (name == "search cost" and not searched)] == [], result
    assert main(["report", str(folder)]) == 0
    page = (folder / "report" / "index.html").read_text()
    assert row.place.replace("'", "&#x27;") in page and "reported" in page
    assert ("<figure" in page) == (searched or row.step(Train) is not None)


@pytest.mark.parametrize("name", A_FEW)
def test_a_few_rows_run(name: str, images: Path, nats_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(ROWS[name], images, nats_table, tmp_path / "row", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in small_rows.runnable() if row.name not in A_FEW], ids=lambda row: row.name)
def test_every_row_runs(row: Row, images: Path, nats_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(row, images, nats_table, tmp_path / "row", monkeypatch)


def test_no_row_is_forgotten() -> None:
    left_out = {name for name, row in ROWS.items() if row.reason is None} - {row.name for row in small_rows.runnable()}
    assert left_out == {"pc-darts/table5/pc-darts"}, "a detector, which is tested with its commands"
