"""Every row that can be run, on a small part of the digits at the smallest scale: its commands, figures, sizes and report are there."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from nasarch.cells.space import NATS
from nasarch.cli.main import main
from nasarch.data.load import load
from nasarch.search.rows.row import COCO, Compare, Correlate, Detect, RankPaths, Row, Search, Train
from nasarch.search.rows.rows import ROWS
from nasarch.search.settings.presets import PRESETS
from nasarch.search.training.recipes import RECIPES

RUNNABLE = [row for row in ROWS.values() if row.reason is None and row.step(Detect) is None]
A_FEW = (  # of each kind of stage one, in `make test`
    "darts/table1/first",
    "ftso/fig3/a/epoch-50",
    "edarts/table2/darts-subset-sparse",
    "edarts/table3/pc-darts-shallow",
    "ftso/table4/ftso-cifar10",
)
SIDE = 16


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of digits, 12 images of each to train and 4 to test, as a folder."""
    folder, data = tmp_path_factory.mktemp("data") / "digits", load("digits", size=SIDE)
    for name, part, count in (("train", data.train, 12), ("test", data.test, 4)):
        for label in range(4):
            (folder / name / str(label)).mkdir(parents=True)
            chosen = part.pixels[part.labels == label][:count]  # type: ignore[union-attr]
            for number, pixels in enumerate(chosen):
                Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / name / str(label) / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def nats_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of all 15,625 cells of NATS-Bench's space with made accuracies."""
    path = tmp_path_factory.mktemp("nats") / "table.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", "c10", "c100", "in16"])
        for operations in itertools.product(NATS.operations, repeat=6):
            names = [f"{operation}~{source}" for operation, source in zip(operations, (0, 0, 1, 0, 1, 2), strict=True)]
            nodes = ("|".join(names[:1]), "|".join(names[1:3]), "|".join(names[3:]))
            writer.writerow(["+".join(f"|{node}|" for node in nodes), 90, 70, 45])
    return path


def shrunk(row: Row) -> list[str]:
    """Changes to the row's own settings that make every stage one of seconds."""
    search, changes = row.step(Search), ["choose.cells=3", "choose.channels=4", "choose.batch-size=16"]
    if search is not None:
        settings = PRESETS[search.method][search.preset].settings()
        nats = PRESETS[search.method][search.preset].space == "nats"
        changes += ["search.channels=4", "search.batch-size=16"]
        names = ("operation.layers", "topology.layers") if search.method == "dots" else ("layers",)
        changes += [f"search.{name}={1 if nats else 3}" for name in names]
        changes += ["search.images=24"] if search.method == "edarts" and settings.images is not None else []
    if row.step(RankPaths):
        changes += ["search.nodes=2", "search.best=1", "search.ends=1", "search.cells=3", "search.channels=4", "search.batch-size=16"]
    if row.step(Train, Compare, Correlate):
        changes += ["train.cells=3", "train.channels=4", "train.batch-size=16"]
    if row.step(Train) and RECIPES[row.step(Train).recipe].stem == "cifar":
        changes += [f"train.cutout={SIDE // 2 if RECIPES[row.step(Train).recipe].settings.cutout else 0}"]
    return changes


def check(row: Row, images: Path, nats_table: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = any(isinstance(step, Train) and RECIPES[step.recipe].stem == "imagenet" for step in row.steps)
    words = ["reproduce", row.name, "--data", str(images), "--scale", "0.001", "--searches", "1", "--trainings", "1", "--workers", "0"]
    words += ["--size", "64"] if large else []
    nats = row.step(Search) and PRESETS[row.step(Search).method][row.step(Search).preset].space == "nats"
    words += ["--nats-table", str(nats_table)] if nats else []
    words += ["--out", str(folder), "--set", *shrunk(row)]
    monkeypatch.setattr(sys, "argv", ["nasarch", *words])
    assert main(words) == 0
    result = json.loads((folder / "result.json").read_text())
    unmeasured = [figure["metric"] for figure in result["figures"] if figure["measured"] is None]
    searched = row.step(Search) is not None
    assert [name for name in unmeasured if not (name == "search cost" and not searched)] == [], result
    assert main(["report", str(folder)]) == 0
    page = (folder / "report" / "index.html").read_text()
    assert row.place.replace("'", "&#x27;") in page and "reported" in page
    assert ("data:image/png" in page) == (searched or row.step(Train) is not None)


@pytest.mark.parametrize("name", A_FEW)
def test_a_few_rows_run(name: str, images: Path, nats_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(ROWS[name], images, nats_table, tmp_path / "row", monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in RUNNABLE if row.name not in A_FEW], ids=lambda row: row.name)
def test_every_row_runs(row: Row, images: Path, nats_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(row, images, nats_table, tmp_path / "row", monkeypatch)


def test_no_row_is_forgotten() -> None:
    assert {row.name for row in ROWS.values() if row.step(Detect)} == {"pc-darts/table5/pc-darts"}
    assert all(step.data == COCO for row in ROWS.values() for step in row.steps if isinstance(step, Detect))
