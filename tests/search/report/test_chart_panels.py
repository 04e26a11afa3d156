"""The panels of a chart stand apart, in the order that a reader expects, each with its scale, its stages and its rules."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from nasarch.cells.space import DARTS, NATS, Space
from nasarch.search.report import charts
from nasarch.search.report.charts import Panel
from nasarch.search.report.panels import PENS
from nasarch.search.runs.history import Span, Timeline, spans
from tests.helpers.stages import epochs

STAGES = epochs("a", "a", "b", "b", warmup=(1,))
TIMELINE = Timeline.of(STAGES)
SPACES = [DARTS, NATS, DARTS.with_nodes(1), DARTS.with_nodes(5)]


def operations(space: Space, timeline: Timeline = TIMELINE) -> Figure:
    tables = [[[0.1 * o + 0.01 * t for o in range(len(space.operations))] for _ in space.edges] for t in range(4)]
    return charts.operation_weights(space, "cell", tables, timeline)


def edges(space: Space) -> Figure:
    return charts.edge_weights(space, "cell", [[0.5] * len(space.edges)] * 4, {}, TIMELINE)


def changes(space: Space, kinds: int = 2) -> Figure:
    history = {edge: [Span(name, 1, 4)] for edge, name in zip(space.edges, itertools.cycle(space.operations), strict=False)}
    return charts.changes(space, dict.fromkeys(("normal", "reduction")[:kinds], history), TIMELINE)


def curves(count: int) -> Figure:
    return charts.curves([Panel(str(i), {"": [1.0, 2.0, 3.0, 4.0]}) for i in range(count)], TIMELINE)


FIGURES: dict[str, Any] = {
    **{f"{count} curves": (lambda count=count: curves(count)) for count in (1, 2, 3, 5)},
    **{f"operations {i}": (lambda space=space: operations(space)) for i, space in enumerate(SPACES)},
    **{f"edges {i}": (lambda space=space: edges(space)) for i, space in enumerate(SPACES)},
    **{f"changes {kinds}": (lambda kinds=kinds: changes(DARTS, kinds)) for kinds in (1, 2)},
}


@pytest.mark.parametrize("name", FIGURES)
def test_panels_stand_apart_inside_the_picture_and_show_the_whole_time(name: str) -> None:
    figure = FIGURES[name]()
    places = [axes.get_position() for axes in figure.axes]
    assert all(0 < place.x0 < place.x1 < 1 and 0 < place.y0 < place.y1 < 1 for place in places)
    for a, b in itertools.combinations(places, 2):
        assert max(a.x0 - b.x1, b.x0 - a.x1, a.y0 - b.y1, b.y0 - a.y1) > 0
    for axes in figure.axes:
        assert axes.get_xlim() == (0.5, 4.5)
        assert [(patch.get_x(), patch.get_width()) for patch in axes.patches] == [(0.5, 1.0)]  # the warm-up
        assert {2.5} in [set(line.get_xdata()) for line in axes.lines if to_hex(line.get_color()) == charts.RULE]


def corner(axes: Axes) -> tuple[float, float]:
    """Left, and downwards the top, in rows that are equal if the panels stand side by side."""
    return round(axes.get_position().x0, 6), round(1 - axes.get_position().y1, 6)


def test_curves_are_read_line_by_line() -> None:
    first, second, third, fourth, fifth = map(corner, curves(5).axes)
    assert first[0] == third[0] == fifth[0] < second[0] == fourth[0]
    assert first[1] == second[1] < third[1] == fourth[1] < fifth[1]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_an_edge_has_the_row_of_its_target_and_the_column_of_its_source(space: Space) -> None:
    panels = dict(zip(space.edges, operations(space).axes, strict=True))
    for (edge, axes), (other, beside) in itertools.combinations(panels.items(), 2):
        (x, y), (x2, y2) = corner(axes), corner(beside)
        assert (x < x2) == (edge.source < other.source) and (x == x2) == (edge.source == other.source)
        assert (y < y2) == (edge.target < other.target) and (y == y2) == (edge.target == other.target)
    for edge, axes in panels.items():
        assert axes.yaxis.get_tick_params()["labelleft"] == (edge.source == 0)
        assert axes.xaxis.get_tick_params()["labelbottom"] == (edge.target == space.inner_nodes[-1])


def test_nodes_stand_side_by_side_four_in_a_row() -> None:
    axes = edges(DARTS.with_nodes(5)).axes
    assert [one.get_title() for one in axes] == ["into 2", "into 3", "into 4", "into 5", "into 6"]
    places = list(map(corner, axes))
    assert (
        places[:4] == sorted(places[:4])
        and len({y for _, y in places[:4]}) == 1
        and places[4][0] == places[0][0]
        and places[4][1] > places[0][1]
    )


def test_rows_of_the_changes_are_parted_by_node() -> None:
    """Edges 0 and 1 lead into node 2, 2 to 4 into node 3, 5 to 8 into node 4, 9 to 13 into node 5."""
    for axes in changes(DARTS).axes:
        rules = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]
        assert rules == [1.5, 4.5, 8.5]
    figure = changes(DARTS, 1)
    assert "edges of the present cell, by epoch" in {text.get_text() for text in figure.texts}
    named = {
        text.get_text(): to_hex(patch.get_facecolor())
        for text, patch in zip(figure.legends[0].get_texts(), figure.legends[0].get_patches(), strict=True)
    }
    assert named == {name: PENS[name].colour for name in DARTS.operations}


def test_names_in_bars_are_white_on_dark_colours_and_fit() -> None:
    """By the light of the colour, 140 of 255; a long name in a short bar is left out."""
    (axes,) = changes(DARTS, 1).axes
    for text in axes.texts:
        if text.get_text() in PENS:
            red, green, blue = (255 * part for part in to_rgb(PENS[text.get_text()].colour))
            assert (to_hex(text.get_color()) == "#ffffff") == (0.299 * red + 0.587 * green + 0.114 * blue < 140)
    written = {text.get_text() for text in axes.texts}
    assert set(DARTS.operations) <= written
    short = {"normal": {edge: [Span("skip_connect", 1, 1), Span("none", 2, 40)] for edge in DARTS.edges}}
    (axes,) = charts.changes(DARTS, short, Timeline.of(epochs(*["a"] * 40))).axes
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [("none", (21.0, row)) for row in range(14)]


@pytest.mark.parametrize(("values", "limits"), [([0.7, 2.0], (-0.12, 2.12)), ([0.9, 2.0], (0.834, 2.066)), ([0.3, 0.3], (0.25, 0.35))])
def test_a_scale_has_a_rim(values: list[float], limits: tuple[float, float]) -> None:
    """From zero if the least value is below 0.4 of the largest; 6 % more at both ends, or a twentieth where all are equal."""
    assert charts._limits(values) == pytest.approx(limits)


def test_spans_are_stretches_of_equal_values() -> None:
    assert spans(["a", "a", None, "b", "a"]) == [Span("a", 1, 2), Span("b", 4, 4), Span("a", 5, 5)]
    timeline = Timeline.of(epochs("operations", "operations", "topology", "topology", warmup=(1, 3)))
    assert timeline == Timeline((Span("operations", 1, 2), Span("topology", 3, 4)), (Span("operations", 1, 1), Span("topology", 3, 3)))
    assert timeline.epochs == 4
    assert timeline.of_stage(timeline.stages[1]) == Timeline((Span("topology", 3, 4),), (Span("topology", 3, 3),))
