"""The lines and bars of a report's pictures are the numbers of the run's files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nasarch.cells.space import DARTS
from nasarch.search.report import charts
from tests.helpers.reported import FIGURES, Album, edge_weight, operation_weight, write
from tests.helpers.table_values import is_rule, values


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    folder = tmp_path_factory.mktemp("numbers")
    return Album([write(folder / "run")], folder / "report")


def by_stage(line: Sequence[float]) -> list[tuple[list[int], list[float]]]:
    """A line is broken where a stage begins."""
    return [([1, 2], list(line[:2])), ([3, 4], list(line[2:]))]


def test_curves_are_the_columns_of_the_metrics(album: Album) -> None:
    names = ("loss", "accuracy", "learning_rate", "temperature", "multi_adds")
    axes = album.figures["curves"].axes
    titles = ["loss", "accuracy", "learning rate", "temperature of the softmaxes", "multi-adds as nas_224, millions"]
    assert [one.get_ylabel() for one in axes] == titles and {one.get_xlabel() for one in axes} == {"epoch"}
    for one, name in zip(axes, names, strict=True):
        assert values(one) == by_stage(FIGURES[name])
        assert one.get_xlim() == (0.5, 4.5)
        assert one.get_yscale() == ("log" if name == "temperature" else "linear")
        (rule,) = [line for line in one.lines if is_rule(line)]
        assert set(rule.get_xdata()) == {2.5}
        assert [(patch.get_x(), patch.get_width()) for patch in one.patches] == [(0.5, 1.0), (2.5, 1.0)]  # warm-ups


def test_skips_and_cost_are_those_of_the_metrics(album: Album) -> None:
    (axes,) = album.figures["skips"].axes
    assert values(axes) == by_stage([1, 2, 3, 4]) + by_stage([2, 4, 6, 8])
    assert [text.get_text() for text in album.figures["skips"].legends[0].get_texts()] == ["normal", "reduction"]
    assert {line.get_drawstyle() for line in axes.lines if not is_rule(line)} == {"steps-mid"} and axes.get_ylim() == (-0.4, 8.6)
    speed, memory = album.figures["cost"].axes
    assert (values(speed), values(memory)) == (by_stage(FIGURES["images_per_second"]), by_stage(FIGURES["memory"]))
    assert (speed.get_ylabel(), memory.get_ylabel()) == ("images/s", "peak memory so far, MB")


def test_eigenvalues_are_shown_by_epoch_and_by_iteration(album: Album) -> None:
    (axes,) = album.figures["eigenvalue"].axes
    assert values(axes) == by_stage(FIGURES["eigenvalue"])
    (axes,) = album.figures["eigenvalue-by-iteration"].axes
    assert axes.get_xlabel() == "measurement"
    assert values(axes) == [
        (list(range(1, 7)), [pytest.approx(0.1 * i) for i in range(6)]),
        (list(range(7, 13)), [pytest.approx(0.1 * i) for i in range(6, 12)]),
    ]


@pytest.mark.parametrize(("z", "kind"), [(0, "normal"), (1, "reduction")])
@pytest.mark.parametrize("stage", [1, 2])
def test_operation_weights_are_the_tables_of_their_cell_and_stage(z: int, kind: str, stage: int, album: Album) -> None:
    epochs = [1, 2] if stage == 1 else [3, 4]
    figure = album.figures[f"operations-{kind}-{stage}"]
    titles = ["$c_{k-2}$ → 2", "$c_{k-1}$ → 2", "$c_{k-2}$ → 3", "$c_{k-1}$ → 3", "2 → 3"]
    assert [axes.get_title() for axes in figure.axes] == titles
    named = {(handle.get_color(), handle.get_linestyle()): text.get_text() for handle, text in keys(figure)}
    assert list(named.values()) == list(DARTS.operations)
    for e, axes in enumerate(figure.axes):
        shown = {named[line.get_color(), line.get_linestyle()]: (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
        assert shown == {name: (epochs, [operation_weight(z, e, o, n) for n in epochs]) for o, name in enumerate(DARTS.operations)}
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert "grey: warm-up, the weights alone are trained" in texts(figure)
    assert f"{kind} cell, {'operations' if stage == 1 else 'topology'}: operation weights by epoch" in texts(figure)


def keys(figure: Figure) -> list[tuple[Any, Any]]:
    (legend,) = figure.legends
    return list(zip(legend.get_lines(), legend.get_texts(), strict=True))


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.texts}


@pytest.mark.parametrize(("z", "kind"), [(0, "normal"), (1, "reduction")])
def test_edge_weights_are_the_tables_of_their_cell_and_thick_where_kept(z: int, kind: str, album: Album) -> None:
    figure = album.figures[f"edges-{kind}-2"]
    kept = {2: {0, 1}, 3: {1, 2}}
    named = {(handle.get_color(), handle.get_linestyle()): source for source, (handle, _) in enumerate(keys(figure))}
    assert [text.get_text() for _, text in keys(figure)] == ["from $c_{k-2}$", "from $c_{k-1}$", "from 2"]
    for node, axes, edges in zip((2, 3), figure.axes, ((0, 1), (2, 3, 4)), strict=True):
        assert axes.get_title() == f"into {node}"
        for source, (e, line) in enumerate(zip(edges, axes.lines, strict=True)):
            assert named[line.get_color(), line.get_linestyle()] == source
            assert (list(line.get_xdata()), list(line.get_ydata())) == ([3, 4], [edge_weight(z, e, n) for n in (3, 4)])
            assert line.get_linewidth() == (2.3 if source in kept[node] else 0.9)
    assert "edges-normal-1" not in album.figures  # they are all 1 there, which is said in words


def test_the_bars_of_the_changes_are_the_epochs_of_each_edge(album: Album) -> None:
    normal, reduction = album.figures["changes"].axes
    assert bars(normal) == {
        (row, first, count, operation) for row in (0, 1, 4) for first, count, operation in ((1, 1, "max_pool_3x3"), (2, 3, "skip_connect"))
    } | {(2, 1, 1, "max_pool_3x3"), (2, 2, 2, "skip_connect"), (3, 4, 1, "skip_connect")}
    assert bars(reduction) == {(0, 1, 4, "sep_conv_3x3"), (1, 1, 4, "sep_conv_3x3"), (4, 1, 4, "sep_conv_3x3")} | {
        (2, 1, 3, "sep_conv_3x3"),
        (3, 4, 1, "sep_conv_3x3"),
    }
    assert (normal.get_ylabel(), reduction.get_ylabel()) == ("normal cell", "reduction cell")
    assert [label.get_text() for label in normal.get_yticklabels()][3:] == ["$c_{k-1}$ → 3", "2 → 3"] and normal.get_ylim() == (4.5, -0.5)


def bars(axes: Axes) -> set[tuple[int, int, int, str]]:
    """Row, first epoch, number of epochs and operation of each bar."""
    names = {to_hex(pen.colour): name for name, pen in charts.PENS.items() if name in DARTS.operations}
    found = set()
    for collection in axes.collections:
        corners = collection.get_paths()[0].vertices
        (x, y), width = corners.min(0), corners[:, 0].max() - corners[:, 0].min()
        found.add((round(y + 0.41), round(x + 0.5), round(width), names[to_hex(collection.get_facecolor()[0])]))
    return found


def test_the_cells_that_are_drawn_are_the_last_the_first_and_a_middle_one(album: Album) -> None:
    """Of the epochs 1 to 4 the third has its place in the middle."""
    assert album.cells == {
        "cell": "cell found skip_connect",
        "epoch-1": "cell epoch 1 max_pool_3x3",
        "epoch-3": "cell epoch 3 skip_connect",
    }
