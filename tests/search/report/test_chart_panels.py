"""The panels of a chart stand apart, in the order that a reader expects, each with its scale, its stages and its rules."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest

from nasarch.cells.space import DARTS, NATS, Space
from nasarch.search.report import charts
from nasarch.search.report.charts import Chart, Metric
from nasarch.search.report.html import STYLE
from nasarch.search.report.panels import PENS, Scale, tick_label
from nasarch.search.runs.history import Span, Timeline, spans
from tests.helpers.chart_file import drawn, numbers
from tests.helpers.stages import epochs

STAGES = epochs("a", "a", "b", "b", warmup=(1,))
TIMELINE = Timeline.of(STAGES)
SPACES = [DARTS, NATS, DARTS.with_nodes(1), DARTS.with_nodes(5)]


def operations(space: Space, timeline: Timeline = TIMELINE) -> Chart:
    tables = [[[0.1 * o + 0.01 * t for o in range(len(space.operations))] for _ in space.edges] for t in range(4)]
    return charts.operation_weights(space, "cell", tables, timeline)


def edges(space: Space) -> Chart:
    return charts.edge_weights(space, "cell", [[0.5] * len(space.edges)] * 4, {}, TIMELINE)


def changes(space: Space, kinds: int = 2) -> Chart:
    history = {edge: [Span(name, 1, 4)] for edge, name in zip(space.edges, itertools.cycle(space.operations), strict=False)}
    return charts.changes(space, dict.fromkeys(("normal", "reduction")[:kinds], history), TIMELINE)


def curves(count: int) -> Chart:
    return charts.curves([Metric(str(i), {"": [1.0, 2.0, 3.0, 4.0]}) for i in range(count)], TIMELINE)


CHARTS: dict[str, Any] = {
    **{f"{count} curves": (lambda count=count: curves(count)) for count in (1, 2, 3, 5)},
    **{f"operations {i}": (lambda space=space: operations(space)) for i, space in enumerate(SPACES)},
    **{f"edges {i}": (lambda space=space: edges(space)) for i, space in enumerate(SPACES)},
    **{f"changes {kinds}": (lambda kinds=kinds: changes(DARTS, kinds)) for kinds in (1, 2)},
}


@pytest.mark.parametrize("name", CHARTS)
def test_panels_stand_apart_inside_the_picture_and_show_the_whole_time(name: str) -> None:
    chart = drawn(CHARTS[name]())
    boxes = [(x, y, x + width, y + height) for x, y, width, height in chart.places]
    assert all(0 <= x0 < x1 <= chart.size[0] and 0 <= y0 < y1 <= chart.size[1] for x0, y0, x1, y1 in boxes)
    for a, b in itertools.combinations(boxes, 2):
        assert max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3]) >= 0
    for panel in chart.panels:
        assert (panel.first, panel.count) == (1, 4)
        assert panel.epoch(panel.box[2] - 10) == pytest.approx(4.5, abs=0.01)
        assert panel.warmups == [(0.5, 1.0)] and panel.rules == [2.5]


def test_curves_are_read_line_by_line() -> None:
    first, second, third, fourth, fifth = ((x, y) for x, y, _, _ in drawn(curves(5)).places)
    assert first[0] == third[0] == fifth[0] < second[0] == fourth[0]
    assert first[1] == second[1] < third[1] == fourth[1] < fifth[1]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_an_edge_has_the_row_of_its_target_and_the_column_of_its_source(space: Space) -> None:
    chart = operations(space)
    assert [(panel.row, panel.column) for panel in chart.panels] == [(e.target - space.inputs + 1, e.source + 1) for e in space.edges]
    places = dict(zip(space.edges, drawn(chart).places, strict=True))
    for (edge, (x, y, *_)), (other, (x2, y2, *_)) in itertools.combinations(places.items(), 2):
        assert (x < x2) == (edge.source < other.source) and (x == x2) == (edge.source == other.source)
        assert (y < y2) == (edge.target < other.target) and (y == y2) == (edge.target == other.target)


def test_nodes_stand_in_order() -> None:
    panels = edges(DARTS.with_nodes(5)).panels
    assert [re.findall("<title>(.*?)</title>", panel.svg) for panel in panels] == [[f"into {j}"] for j in range(2, 7)]
    assert {panel.row for panel in panels} == {None}  # as many side by side as there is room for


def test_rows_of_the_changes_are_parted_by_node() -> None:
    """Edges 0 and 1 lead into node 2, 2 to 4 into node 3, 5 to 8 into node 4, 9 to 13 into node 5."""
    chart = drawn(changes(DARTS))
    for panel in chart.panels:
        rows = [float(group.attrib["data-row"]) for group in panel.groups.values()]
        rules = [numbers(element.attrib["d"])[1] for element in panel.elements("gridline")]
        assert [sum(row < rule for row in rows) for rule in rules] == [2, 5, 9]
    chart = drawn(changes(DARTS, 1))
    assert chart.heading == "edges of the present cell, by epoch"
    assert chart.legend == {name: (PENS[name].colour, PENS[name].dashes) for name in DARTS.operations}


def test_names_in_bars_fit() -> None:
    """A long name in a short bar is left out."""
    (panel,) = drawn(changes(DARTS, 1)).panels
    assert set(DARTS.operations) <= {*panel.texts("middle")}
    short = {"normal": {edge: [Span("skip_connect", 1, 1), Span("none", 2, 40)] for edge in DARTS.edges}}
    (panel,) = drawn(charts.changes(DARTS, short, Timeline.of(epochs(*["a"] * 40)))).panels
    names = [(text.text, panel.epoch(float(text.attrib["x"]))) for group in panel.groups.values() for text in group.iter("text")]
    assert names == [("none", pytest.approx(21.0, abs=0.05))] * 14


# ---- colours


def colours(dark: bool) -> dict[str, str]:
    """The variables of the page."""
    light = re.sub(r"@media[^{]*\{\s*:root\s*\{[^}]*\}\s*\}", "", STYLE)
    found = dict(re.findall(r"--([\w-]+):\s*(#\w{6})", light))
    for block in re.findall(r"@media \(prefers-color-scheme:\s*dark\)\s*\{\s*:root\s*\{([^}]*)\}", STYLE) * dark:
        found |= dict(re.findall(r"--([\w-]+):\s*(#\w{6})", block))
    return found


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mixed(colour: str, behind: str, share: float) -> str:
    parts = [(int(colour[i : i + 2], 16), int(behind[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in parts)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_have_the_contrast_that_wcag_asks_for(dark: bool) -> None:
    """3 for lines (1.4.11), also on the grey of a warm-up; 4.5 for text (1.4.3), also on bars."""
    found = colours(dark)
    pens = (
        {pen.colour for pen in PENS.values()} | {"wine", "black", *charts.cycle_pen(0)[:1]} | {charts.cycle_pen(i).colour for i in range(7)}
    )
    for name in sorted(pens):
        assert contrast(found[name], found["page"]) >= 3, name
        assert contrast(found[name], found["shade"]) >= 2.6, name
        assert contrast(found["ink"], mixed(found[name], found["page"], 0.22)) >= 4.5, name
    assert contrast(found["stage"], found["page"]) >= 3
    for text in ("ink", "soft", "link"):
        assert contrast(found[text], found["page"]) >= 4.5, text
    for name in ("sep", "dil", "nor", "conv", "max", "avg", "skip", "none", "own"):
        assert contrast(found[f"{name}-line"], found[f"{name}-fill"]) >= 4.5, name
    assert set(colours(True)) == set(colours(False)) and all(colours(True)[name] != colours(False)[name] for name in found)


def test_lines_of_equal_colour_differ_in_dashes() -> None:
    styles = [(pen.colour, pen.dashes) for name, pen in PENS.items() if not name.startswith("nor_")]
    assert len({*styles}) == len(styles)
    for small, large in (("sep_conv_3x3", "sep_conv_5x5"), ("dil_conv_3x3", "dil_conv_5x5"), ("max_pool_3x3", "avg_pool_3x3")):
        assert PENS[small].dashes != PENS[large].dashes and PENS[small].marker != PENS[large].marker


# ---- scales


@pytest.mark.parametrize(("values", "limits"), [([0.7, 2.0], (-0.12, 2.12)), ([0.9, 2.0], (0.834, 2.066)), ([0.3, 0.3], (0.25, 0.35))])
def test_a_scale_has_a_margin(values: list[float], limits: tuple[float, float]) -> None:
    """From zero if the least value is below 0.4 of the largest; 6 % more at both ends, or a twentieth where all are equal."""
    assert charts.weight_limits(values) == pytest.approx(limits)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.5, 1]),
        (-0.4, 8.6, [0, 2, 4, 6, 8]),
        (0.93, 2.05, [1, 1.5, 2]),
        (1e-5, 9e-5, [2e-5, 4e-5, 6e-5, 8e-5]),
        (481.0, 530.0, [490, 500, 510, 520, 530]),
        (0.46, 0.55, [0.46, 0.48, 0.5, 0.52, 0.54]),
        (0.1234, 0.1267, [0.124, 0.125, 0.126]),
    ],
)
def test_ticks_are_round_numbers_within_the_scale(low: float, high: float, ticks: list[float]) -> None:
    assert Scale(low, high, 0, 100).ticks(3) == pytest.approx(ticks)


def test_ticks_of_epochs_are_whole_numbers() -> None:
    assert Scale(0.5, 2.5, 0, 100).ticks(4, whole=True) == [1, 2] and Scale(0.5, 50.5, 0, 100).ticks(4, whole=True) == [10, 20, 30, 40, 50]


def test_ticks_of_a_logarithmic_scale_are_of_the_series_1_2_5() -> None:
    scale = Scale(0.02, 10.0, 100, 0, log=True)
    assert scale(0.02) == 100 and scale(10.0) == 0 and scale(math.sqrt(0.2)) == pytest.approx(50)
    assert all(f"{tick:.0e}"[0] in "125" for tick in scale.ticks(4)) and 2 <= len(scale.ticks(4)) <= 6
    assert [tick_label(value, 0.1) for value in (0.2, 0.30000000000000004)] == ["0.2", "0.3"] and tick_label(2e-5, 2e-5) == "2e-05"


@pytest.mark.parametrize("line", [[math.nan] * 4, [None] * 4, [1.0, math.inf, math.nan, 2.0], [5.0, None, 5.0, 5.0]])
def test_values_that_are_not_finite_break_the_line(line: list[float | None]) -> None:
    panel = drawn(charts.curves([Metric("x", {"": line})], Timeline.of(epochs("a", "a", "a", "a")))).panels[0]
    finite = [value is not None and math.isfinite(value) for value in line]
    assert sum(map(len, panel.strokes("") if any(finite) else [])) == sum(finite)
    told = panel.groups[""].attrib["data-values"].split(" ")
    assert told == ["-" if value is None else f"{value:.5g}" for value in line]
    assert ("no values" in (panel.description or "")) == (not any(finite))


def test_a_single_epoch_is_a_point() -> None:
    panel = drawn(charts.curves([Metric("x", {"": [0.5]})], Timeline.of(epochs("a")))).panels[0]
    assert panel.strokes("") == [[(pytest.approx(199, abs=0.1), pytest.approx(99, abs=0.1))]]
    assert panel.part("", "marks")[0].attrib["d"].startswith("M199 ")


def test_an_edge_without_candidates_says_so() -> None:
    tables = [[[0.0 if e == 1 else 0.5] * len(NATS.operations) for e in range(len(NATS.edges))]] * 4
    panels = drawn(charts.operation_weights(NATS, "cell", tables, TIMELINE)).panels
    assert [panel.texts("soft") for panel in panels] == [["no candidates"] if e == 1 else [] for e in range(len(NATS.edges))]


def test_a_hostile_name_is_text() -> None:
    evil = "<script>&\"'\x00"
    shown = evil.replace("\x00", "\ufffd")
    chart = charts.curves([Metric(evil, {evil: [1.0, 2.0], "b": [2.0, 1.0]})], Timeline.of(epochs(evil, "b")))
    found = drawn(chart)
    assert list(found.legend) == [shown, "b"] and "<script" not in found.text
    (panel,) = found.panels
    assert panel.title == shown and list(panel.lines) == [shown, "b"] and panel.texts("middle")[0] == shown


def test_spans_are_stretches_of_equal_values() -> None:
    assert spans(["a", "a", None, "b", "a"]) == [Span("a", 1, 2), Span("b", 4, 4), Span("a", 5, 5)]
    timeline = Timeline.of(epochs("operations", "operations", "topology", "topology", warmup=(1, 3)))
    assert timeline == Timeline((Span("operations", 1, 2), Span("topology", 3, 4)), (Span("operations", 1, 1), Span("topology", 3, 3)))
    assert timeline.epochs == 4
    assert timeline.of_stage(timeline.stages[1]) == Timeline((Span("topology", 3, 4),), (Span("topology", 3, 3),))
