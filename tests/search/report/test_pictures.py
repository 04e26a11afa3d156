"""The lines, bars and cells of a report's pictures are the numbers of the run's files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nasarch.cells.space import DARTS
from nasarch.search.report.panels import pen_of
from tests.helpers.chart_file import ChartFile, PanelFile, near, numbers
from tests.helpers.reported import FIGURES, Album, edge_weight, operation_weight, write


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    folder = tmp_path_factory.mktemp("numbers")
    return Album([write(folder / "run")], folder / "report")


def points(panel: PanelFile, line: Sequence[float]) -> list[list[tuple[float, float]]]:
    """Where the values lie by the panel's axes, broken where the second stage begins."""
    unit = (panel.start - panel.end) / (panel.high - panel.low)
    found = [(panel.x + panel.step * i, panel.start - unit * (value - panel.low)) for i, value in enumerate(line)]
    return [found[:2], found[2:]]


def test_curves_are_the_columns_of_the_metrics(album: Album) -> None:
    names = ("loss", "accuracy", "learning_rate", "temperature", "multi_adds")
    panels = album.charts["curves"].panels
    titles = ["loss", "accuracy", "learning rate", "temperature of the softmaxes", "multi-adds as nas_224, millions"]
    assert [one.title for one in panels] == titles and {one.unit for one in panels} == {"epoch"}
    for one, name in zip(panels, names, strict=True):
        assert one.lines == {"": FIGURES[name]}
        assert (one.first, one.count) == (1, 4)
        assert one.scale == ("log" if name == "temperature" else "linear")
        if name != "temperature":
            assert near(one.strokes(""), points(one, FIGURES[name]))
        assert one.rules == [2.5]
        assert one.warmups == [(0.5, 1.0), (2.5, 1.0)]


def test_a_point_lies_where_its_epoch_and_its_loss_are(tmp_path: Path) -> None:
    """In pixels, from metrics.jsonl: axes 48 to 350 and, below the names of the stages, 38 to 174; a twentieth as margin."""
    folder = write(tmp_path / "run")
    loss = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    low, high = min(loss) - 0.05 * (max(loss) - min(loss)), max(loss) + 0.05 * (max(loss) - min(loss))
    x = [48 + (350 - 48) * (epoch - 0.5) / 4 for epoch in (1, 2, 3, 4)]
    y = [174 - (174 - 38) * (value - low) / (high - low) for value in loss]
    panel = Album([folder], tmp_path / "report").charts["curves"].panels[0]
    assert panel.box == [0, 0, 360, 196]
    expected = [*zip(x, y, strict=True)]
    assert near(panel.strokes(""), [expected[:2], expected[2:]])
    marks = [numbers(part)[:2] for part in panel.part("", "marks")[0].attrib["d"].split("M")[1:]]
    assert near([[(a, b) for a, b in marks]], [expected])
    assert panel.lines[""] == [float(f"{value:.5g}") for value in loss]


def test_a_logarithmic_scale_has_equal_ratios_at_equal_distances(album: Album) -> None:
    panel = album.charts["curves"].panels[3]
    (_, first), (_, second) = panel.strokes("")[0]
    (_, third), (_, fourth) = panel.strokes("")[1]
    assert FIGURES["temperature"] == [8.0, 4.0, 2.0, 0.5]
    assert second - first == pytest.approx(third - second, abs=0.2) and fourth - third == pytest.approx(2 * (second - first), abs=0.2)


def test_skips_and_cost_are_those_of_the_metrics(album: Album) -> None:
    (panel,) = album.charts["skips"].panels
    assert panel.lines == {"normal": [1, 2, 3, 4], "reduction": [2, 4, 6, 8]}
    assert list(album.charts["skips"].legend) == ["normal", "reduction"]
    assert (panel.low, panel.high) == (-0.4, 8.6) and panel.width("normal") > panel.width("reduction")
    steps = panel.part("normal", "line")[0].attrib["d"]  # a level line over each epoch
    assert steps.count("H") == 4 and steps.count("M") == 2 and steps.count("V") == 2 and "L" not in steps
    speed, memory = album.charts["cost"].panels
    assert (speed.lines, memory.lines) == ({"": FIGURES["images_per_second"]}, {"": FIGURES["memory"]})
    assert (speed.title, memory.title) == ("images/s", "peak memory so far, MB")


def test_eigenvalues_are_shown_by_epoch_and_by_iteration(album: Album) -> None:
    (panel,) = album.charts["eigenvalue"].panels
    assert panel.lines == {"": FIGURES["eigenvalue"]}
    (panel,) = album.charts["eigenvalue-by-iteration"].panels
    assert panel.unit == "measurement" and (panel.first, panel.count, panel.rules) == (1, 12, [6.5])
    assert panel.lines == {"": [pytest.approx(0.1 * i) for i in range(12)]} and list(map(len, panel.strokes(""))) == [6, 6]


@pytest.mark.parametrize(("z", "kind"), [(0, "normal"), (1, "reduction")])
@pytest.mark.parametrize("stage", [1, 2])
def test_operation_weights_are_the_tables_of_their_cell_and_stage(z: int, kind: str, stage: int, album: Album) -> None:
    epochs = [1, 2] if stage == 1 else [3, 4]
    chart = album.charts[f"operations-{kind}-{stage}"]
    assert [panel.title for panel in chart.panels] == ["c_{k-2} → 2", "c_{k-1} → 2", "c_{k-2} → 3", "c_{k-1} → 3", "2 → 3"]
    assert list(chart.legend) == list(DARTS.operations)
    for e, panel in enumerate(chart.panels):
        expected = {
            name: [pytest.approx(operation_weight(z, e, o, n), rel=1e-4) for n in epochs] for o, name in enumerate(DARTS.operations)
        }
        assert panel.lines == expected and panel.first == epochs[0]
        assert {name: panel.style(name) for name in panel.lines} == chart.legend
        for o, name in enumerate(DARTS.operations):
            line = [operation_weight(z, e, o, n) for n in epochs]
            assert near(panel.strokes(name), points(panel, line)[:1])
    assert len({(panel.low, panel.high) for panel in chart.panels}) == 1
    assert {tuple(panel.warmups) for panel in chart.panels} == {((epochs[0] - 0.5, 1.0),)}
    assert chart.heading == f"{kind} cell, {'operations' if stage == 1 else 'topology'}: operation weights by epoch"


@pytest.mark.parametrize(("z", "kind"), [(0, "normal"), (1, "reduction")])
def test_edge_weights_are_the_tables_of_their_cell_and_thick_where_kept(z: int, kind: str, album: Album) -> None:
    chart = album.charts[f"edges-{kind}-2"]
    kept = {2: {0, 1}, 3: {1, 2}}
    names = ["from c_{k-2}", "from c_{k-1}", "from 2"]
    assert list(chart.legend) == names
    for node, panel, edges in zip((2, 3), chart.panels, ((0, 1), (2, 3, 4)), strict=True):
        assert panel.title == f"into {node}" and list(panel.lines) == names[:node]
        for source, e in enumerate(edges):
            name = names[source]
            assert panel.style(name) == chart.legend[name]
            assert panel.lines[name] == [pytest.approx(edge_weight(z, e, n)) for n in (3, 4)] and panel.first == 3
            assert panel.width(name) == (2.6 if source in kept[node] else 1.1)
    assert "edges-normal-1" not in album.charts  # they are all 1 there, which is said in words


def test_the_bars_of_the_changes_are_the_epochs_of_each_edge(album: Album) -> None:
    normal, reduction = album.charts["changes"].panels
    pool, skip = "max_pool_3x3", "skip_connect"
    both = [(1, 1, pool), (2, 4, skip)]
    assert normal.bars == {
        "c_{k-2} → 2": both,
        "c_{k-1} → 2": both,
        "c_{k-2} → 3": [(1, 1, pool), (2, 3, skip)],
        "c_{k-1} → 3": [(4, 4, skip)],
        "2 → 3": both,
    }
    sep = "sep_conv_3x3"
    assert reduction.bars == {
        **dict.fromkeys(["c_{k-2} → 2", "c_{k-1} → 2", "2 → 3"], [(1, 4, sep)]),
        "c_{k-2} → 3": [(1, 3, sep)],
        "c_{k-1} → 3": [(4, 4, sep)],
    }
    assert (normal.title, reduction.title) == ("normal cell", "reduction cell")
    assert normal.texts("end") == ["ck-2 → 2", "ck-1 → 2", "ck-2 → 3", "ck-1 → 3", "2 → 3"]
    for panel in (normal, reduction):
        drawn = {
            name: [
                (
                    round(panel.epoch(float(bar.attrib["x"])) + 0.5),
                    round(float(bar.attrib["width"]) / panel.step),
                    bar.attrib["class"].split()[1],
                )
                for bar in panel.part(name, "bar")
            ]
            for name in panel.bars
        }
        assert drawn == {
            name: [(first, last - first + 1, pen_of(value).colour) for first, last, value in spans] for name, spans in panel.bars.items()
        }
        heights = [float(panel.groups[name].attrib["data-row"]) for name in panel.groups]
        assert heights == sorted(heights) and len(set(heights)) == 5


def test_the_cell_that_was_found_is_a_picture(album: Album) -> None:
    assert {"cell", "cells-by-epoch"} < {*album.page.figures}
    assert {"found: normal cell", "found: reduction cell"} < {*album.page.all("aria-label")}


def test_the_cells_by_epoch_have_the_operations_of_their_epochs(album: Album) -> None:
    """Slots are by target, then by source: 0 and 1 into node 2; 0, 1 and 2 into node 3."""
    normal, reduction = (
        [[None if i < 0 else json.loads(names)[i] for i in frame] for frame in json.loads(frames)]
        for names, frames in zip(album.page.all("data-operations"), album.page.all("data-frames"), strict=True)
    )
    pool, skip, sep = "max_pool_3x3", "skip_connect", "sep_conv_3x3"
    middle = [skip, skip, skip, None, skip]
    assert normal == [[pool, pool, pool, None, pool], middle, middle, [skip, skip, None, skip, skip]]
    assert reduction == [[sep, sep, sep, None, sep]] * 3 + [[sep, sep, None, sep, sep]]
    (captions,) = map(json.loads, album.page.all("data-captions"))
    assert captions[0] == "epoch 1 of 4, stage 'operations', warm-up: loss 2, accuracy 0.1"
    assert captions[3] == "epoch 4 of 4, stage 'topology': loss 0.9877, accuracy 0.4567"
    (slider,) = [attributes for tag, attributes in album.page.tags if tag == "input"]
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "3", "3")


def test_a_picture_needs_no_page(album: Album) -> None:
    """The colours of a file are written out, for programs that know no variables."""
    for chart in album.charts.values():
        assert "var(" not in chart.text and "prefers-color-scheme" not in chart.text and ElementTree.fromstring(chart.text) is not None
        for x, y, width, height in chart.places:
            assert 0 <= x and x + width <= chart.size[0] and y + height <= chart.size[1]


def test_what_a_chart_shows_is_also_said(album: Album) -> None:
    loss = album.charts["curves"].panels[0]
    assert loss.description == "from 2 at epoch 1 to 0.9877 at epoch 4, least 0.9877, greatest 2"
    assert loss.svg.attrib["role"] == "img" and loss.svg.attrib["aria-label"] == f"loss: {loss.description}"
    changes: ChartFile = album.charts["changes"]
    assert "at epoch 4: c_{k-2} → 2 skip_connect; c_{k-1} → 2 skip_connect; " in (changes.panels[0].description or "")
