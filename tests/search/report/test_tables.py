"""The tables of a report are the numbers of the run's files, of one run and of several."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasarch.models.network import CellNetwork
from nasarch.search.report import report, sections
from nasarch.search.runs.reader import read_run
from tests.helpers.page import Page
from tests.helpers.reported import FIGURES, MARGINS, Album, cells, write


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    folder = tmp_path_factory.mktemp("numbers")
    return Album([write(folder / "run")], folder / "report")


def test_the_facts_are_those_of_the_files(album: Album) -> None:
    expected = {
        "method": "DOTS",
        "state": "finished, 4 epochs",
        "seed": "0",
        "data": "digits, 1,500 training images, 16 x 24 pixels, scikit-learn",
        "space": "darts, 2 inner nodes",
        "last epoch": "loss 0.9877, accuracy 0.4567",
        "skip connections": "normal 4, reduction 8",
        "time": "34.0 s",
        "peak memory": "1,700 MB",
        "device": "a GPU",
        "paper, Table 1 (preset cifar)": "2.49 %",
        "epochs": "4",
        "grouped": "yes",
        "clip": "none",
        "fractions": "0.5, 0.25",
        "command": "nasarch search dots",
        "amp": "bf16",
        "tf32": "True",
        "processes": "2",
        "threads": "3",
        "torch": "2.9",
        "sha256 of the data": "abc",
    }
    assert {words: album.after(words) for words in expected} == expected
    assert "time: 34.0 s; peak memory: 1,700 MB. a GPU" in album.page.text


def test_the_costs_are_those_of_the_networks_that_are_built(album: Album) -> None:
    for name, words, size, settings in (
        ("as nas_cifar", "20 cells, 36 channels, 32 x 32 pixels", 32, {"cells": 20, "channels": 36, "num_classes": 10}),
        (
            "as nas_224",
            "14 cells, 48 channels, 224 x 224 pixels",
            224,
            {"cells": 14, "channels": 48, "stem": "imagenet", "num_classes": 1000},
        ),
    ):
        net = CellNetwork(cells(4), device="meta", **settings).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(torch.empty(1, 3, size, size, device="meta"))
        count, multi_adds = sum(p.numel() for p in net.parameters()) / 1e6, counter.get_total_flops() / 2e6
        assert album.after(name) == f"{count:.2f} M parameters, {multi_adds:.0f} M multi-adds ({words})"


def test_margins_and_changes_are_rows_of_the_files(album: Album) -> None:
    assert album.page.text.count("normal\n2\nc_{k-2} 0.4000, c_{k-1} 0.6000\nc_{k-1}, c_{k-2}") == 1
    assert "normal\n3\nc_{k-2} 0.1250, c_{k-1} 0.3750, 2 0.5000\n2, c_{k-1}\nc_{k-2}\n0.250000" in album.page.text
    assert "reduction\n3\nc_{k-2} 0.3000, c_{k-1} 0.1000, 2 0.6000\n2, c_{k-2}\nc_{k-1}\n0.200000" in album.page.text
    assert "normal\n2\nc_{k-2}\n1 max_pool_3x3; 2-4 skip_connect" in album.page.text
    assert "normal\n3\nc_{k-1}\n4 skip_connect" in album.page.text and "reduction\n3\nc_{k-2}\n1-3 sep_conv_3x3" in album.page.text


# ---- several runs


def other(**changes: Sequence[Any]) -> dict[str, Any]:
    return {**FIGURES, **changes}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Album:
    folder = tmp_path_factory.mktemp("compared")
    second = [row | {"kept": [2, 0]} if row["node"] == 3 else row for row in MARGINS]
    skips = [{"normal": 1, "reduction": 1}] * 3 + [{"normal": 1, "reduction": 5}]
    write(folder / "a" / "seed-3", seed=3)
    write(folder / "a" / "seed-10", seed=10, figures=other(loss=[4.0, 3.0, 2.0, 1.0], memory=[1.0] * 4, skips=skips), margins=second)
    return Album([folder / "a"], folder / "report")


def test_a_row_of_the_comparison_is_that_of_its_run(compared: Album) -> None:
    first, second = compared.rows("run", 2, 7)
    assert first == ["DOTS, seed 3", "finished, 4 epochs", "0.9877", "0.4567", "normal 4, reduction 8", "34.0 s", "1,700 MB"]
    assert second == ["DOTS, seed 10", "finished, 4 epochs", "1", "0.4567", "normal 1, reduction 5", "34.0 s", "1 MB"]
    assert "DOTS: skip connections, mean of 2 runs: normal 2.50, reduction 6.50, together 9.00" in compared.page.text
    links = [attributes["href"] for tag, attributes in compared.page.tags if tag == "a"]
    assert links == ["#run-1", "#run-2"] * 2


def test_the_curves_of_all_runs_lie_in_one_picture(compared: Album) -> None:
    chart = compared.charts["runs"]
    loss, accuracy, multi_adds, normal, reduction = chart.panels
    assert [panel.title for panel in (loss, accuracy, multi_adds)] == ["loss", "accuracy", "multi-adds as nas_224, millions"]
    assert loss.lines == {"DOTS, seed 3": FIGURES["loss"], "DOTS, seed 10": [4.0, 3.0, 2.0, 1.0]}
    assert list(map(len, loss.strokes("DOTS, seed 3"))) == [4]
    assert list(chart.legend) == ["DOTS, seed 3", "DOTS, seed 10"]
    assert {name: loss.style(name) for name in loss.lines} == chart.legend
    assert normal.lines == {"DOTS, seed 3": [1, 2, 3, 4], "DOTS, seed 10": [1, 1, 1, 1]} and reduction.title.endswith("reduction cell")


def test_the_cells_of_all_runs_stand_side_by_side(compared: Album) -> None:
    """Both runs found the same cells: all that they have is common."""
    assert "Cells side by side" in compared.page.headings
    assert {"cells-darts-2-normal", "cells-darts-2-reduction"} < {*compared.page.figures}
    assert (
        "normal cell: 4 of 4 edges that occur are in all 2 cells with the same operation; they have thick outlines." in compared.page.text
    )
    labels = compared.page.all("aria-label")
    assert {"DOTS, seed 3: normal cell", "DOTS, seed 10: normal cell"} < {*labels}


def test_what_all_cells_have_is_marked(tmp_path: Path) -> None:
    """The other cell has another operation on the first edge of the normal cell, and no edge 1 -> 3 but 0 -> 3."""
    folders = [write(tmp_path / "a"), write(tmp_path / "b", seed=1)]
    first = json.loads((folders[1] / "genotype.json").read_text())
    first["cells"]["normal"]["nodes"] = [[["sep_conv_3x3", 0], ["skip_connect", 1]], [["skip_connect", 2], ["skip_connect", 0]]]
    (folders[1] / "genotype.json").write_text(json.dumps(first))
    page = Album(folders, tmp_path / "report").page
    assert "normal cell: 2 of 5 edges that occur are in all 2 cells with the same operation" in page.text
    classes = [attributes["class"] or "" for tag, attributes in page.tags if tag == "g" and "edge" in (attributes.get("class") or "")]
    bold = [name.split()[1] for name in classes if "bold" in name]
    assert bold == ["op-skip"] * 4 + ["op-sep"] * 8  # two edges of each normal cell, all four of each reduction cell


def test_stability_counts_how_often_each_edge_was_kept(compared: Album) -> None:
    """Node 3 of the normal cell reads 2 and 1 in one run, 2 and 0 in the other."""
    text = compared.page.text
    assert "how often each edge was kept in 2 runs" in text
    assert "normal\n2\n2\n2\n" in text and "normal\n3\n1\n1\n2\n" in text and "reduction\n3\n2\n0\n2\n" in text


def test_runs_of_other_settings_or_data_are_no_group(tmp_path: Path) -> None:
    first = write(tmp_path / "a", seed=0)
    for name, config in (
        ("settings", {"settings": {"epochs": 5}}),
        ("method", {"method": "DARTS"}),
        ("data", {"data": {"name": "digits", "sha256": "abd"}}),
    ):
        runs = [read_run(first), read_run(write(tmp_path / name, seed=1, **config))]
        assert report._groups(runs) == []
    same = [read_run(first), read_run(write(tmp_path / "same", seed=1, device="another", command="x"))]
    assert report._groups(same) == [same]


@pytest.mark.parametrize(("count", "shown"), [(1, "sections"), (5, "sections"), (6, "brief")])
def test_more_than_five_runs_have_short_sections(count: int, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, int, str]] = []

    def stub(name: str) -> Any:
        return lambda run, album: called.append((name, run.config["seed"], album.prefix)) or []

    for name in ("sections", "brief"):
        monkeypatch.setattr(report, name, stub(name))
    monkeypatch.setattr(report, "_curves", lambda *given: [])
    monkeypatch.setattr(report, "_cells", lambda *given: [])
    runs = [write(tmp_path / f"{seed}", seed=seed) for seed in range(count)]
    page = Page(report.write_report(runs, tmp_path / "out"))
    prefix = "run-{}-" if count > 1 else ""
    assert called == [(shown, seed, prefix.format(seed + 1)) for seed in range(count)]
    assert page.headings[0] == ("DOTS, seed 0: 0" if count == 1 else f"{count} searches: DOTS")
    assert ("Of more than 5 runs each has a short section" in page.text) == (count == 6)


def test_settings_of_a_stage_are_rows_under_the_names_of_their_flags() -> None:
    settings = {"operation": {"epochs": 2, "levels": 1}, "grouped": False, "fractions": [0.5, 0.5]}
    expected = {"operation.epochs": "2", "operation.levels": "1", "grouped": "no", "fractions": "0.5, 0.5"}
    assert dict(sections._rows(settings)) == expected
