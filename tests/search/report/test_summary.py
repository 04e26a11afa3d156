"""A run in words: numbers, times and settings on both sides of where their form changes, and what makes up a page of HTML."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.genotype import resolve
from nasarch.cells.space import DARTS, NATS
from nasarch.runtime.progress import duration, to_all
from nasarch.search.engine.result import Margin
from nasarch.search.report.charts import Metric, curves
from nasarch.search.report.html import Album, contents, facts, folded, heading, page, paragraph, table
from nasarch.search.report.summary import figure, setting
from nasarch.search.runs.history import Span, Timeline, kept_counts, node_name, operation_count
from tests.helpers.stages import epochs


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (60.0, "1 min"),
        (89.9, "1 min"),
        (90.1, "2 min"),
        (3569.0, "59 min"),
        (3571.0, "1 h 00 min"),
        (3 * 3600 + 5 * 60, "3 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_a_duration_is_said_in_seconds_minutes_or_hours(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ""),
        (0.123456, "0.1235"),
        (1234.56, "1235"),
        (2.0, "2"),
        (12345, "12345"),
        (math.inf, "inf"),
        ("words", "words"),
        (1e-7, "1e-07"),
    ],
)
def test_a_figure_has_four_digits(value: Any, words: str) -> None:
    assert figure(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "none"), (True, "yes"), (False, "no"), (0, "0"), ([1, True, None], "1, yes, none"), (("a", "b"), "a, b"), ("cosine", "cosine")],
)
def test_a_setting_is_written_as_a_person_writes_it(value: Any, words: str) -> None:
    assert setting(value) == words


# ---- history


def test_a_stage_of_a_timeline_keeps_its_warm_up_alone() -> None:
    timeline = Timeline.of(epochs("a", "a", "a", "b", "b", warmup=(1, 2, 5)))
    assert timeline.stages == (Span("a", 1, 3), Span("b", 4, 5)) and timeline.warmups == (Span("a", 1, 2), Span("b", 5, 5))
    assert (timeline.first, timeline.last, timeline.epochs) == (1, 5, 5)
    second = timeline.of_stage(timeline.stages[1])
    assert second == Timeline((Span("b", 4, 5),), (Span("b", 5, 5),)) and (second.first, second.epochs) == (4, 2)


def test_edges_that_were_kept_are_counted_by_source() -> None:
    runs = [
        [Margin("normal", 2, (0.5, 0.5), (1, 0), None, None), Margin("normal", 3, (0.2, 0.3, 0.5), (2, 1), 0, 0.1)],
        [Margin("normal", 2, (0.5, 0.5), (0, 1), None, None), Margin("normal", 3, (0.4, 0.1, 0.5), (2, 0), 1, 0.3)],
        [Margin("normal", 2, (0.5, 0.5), (0, 1), None, None), Margin("normal", 3, (0.4, 0.5, 0.1), (1, 0), 2, 0.3)],
    ]
    assert kept_counts(runs) == [
        {"kind": "normal", "node": 2, "kept": [3, 3], "runs": 3},
        {"kind": "normal", "node": 3, "kept": [2, 2, 2], "runs": 3},
    ]


def test_operations_are_counted_by_cell() -> None:
    """DARTS' second-order cells have two and three skip connections, five of max pooling."""
    cells = resolve("darts_v2_cifar")
    assert operation_count(cells, "skip_connect") == {"normal": 2, "reduction": 3}
    assert operation_count(cells, "max_pool_3x3") == {"normal": 0, "reduction": 5}


def test_nodes_are_named_from_the_inputs_on() -> None:
    assert [node_name(DARTS, i) for i in range(4)] == ["c_{k-2}", "c_{k-1}", "2", "3"]
    assert [node_name(NATS, i) for i in range(3)] == ["c_{k-1}", "1", "2"]


def test_a_report_is_handed_to_all() -> None:
    seen: list[tuple[str, int]] = []
    to_all([lambda place: seen.append(("a", place)), lambda place: seen.append(("b", place))])(3)
    assert seen == [("a", 3), ("b", 3)]


# ---- page


def test_the_parts_of_a_page_are_escaped_html() -> None:
    assert heading("a < b") == "<h3>a &lt; b</h3>" and heading("x", level=2, anchor='"y"') == '<h2 id="&quot;y&quot;">x</h2>'
    assert paragraph("a & b") == "<p>a &amp; b</p>" and paragraph("a", soft=True) == '<p class="soft">a</p>'
    assert contents({"run-1": "<one>", "run-2": "two"}) == '<nav><a href="#run-1">&lt;one&gt;</a><a href="#run-2">two</a></nav>'
    assert facts({"a": "1 < 2", "nothing": "", "<b>": "x"}) == (
        '<div class="wide"><table><tbody><tr><th scope="row">a</th><td>1 &lt; 2</td></tr>'
        '<tr><th scope="row">&lt;b&gt;</th><td>x</td></tr></tbody></table></div>'
    )
    assert folded("more", paragraph("a"), paragraph("b")) == "<details><summary>more</summary><p>a</p><p>b</p></details>"
    assert page("<t>", [paragraph("a")]).count("<title>&lt;t&gt;</title>") == page("<t>", []).count("<h1>&lt;t&gt;</h1>") == 1


def test_a_table_has_numbers_at_the_right_and_links_in_its_first_column() -> None:
    assert table(("a", "b"), [("1", "<2>"), ("3", "4")], numbers=(1,), links=("x",)) == (
        '<div class="wide"><table><thead><tr><th scope="col">a</th><th scope="col" class="number">b</th></tr></thead><tbody>'
        '<tr><td><a href="#x">1</a></td><td class="number">&lt;2&gt;</td></tr><tr>'
        '<td>3</td><td class="number">4</td></tr></tbody></table></div>'
    )


def test_a_picture_is_a_file_and_in_the_page(tmp_path: Path) -> None:
    svg = '<svg width="10" height="4"><path d="M0 0"/></svg>'
    shown = Album(tmp_path / "new", "run-1-").cells("cell", {"<a>": svg}, 'a "cell"')
    assert svg.removeprefix("<svg") in (tmp_path / "new" / "run-1-cell.svg").read_text()
    assert shown == (
        f'<figure id="run-1-cell"><div class="cells"><div><p class="heading">&lt;a&gt;</p><div class="wide">{svg}</div></div></div>'
        "<figcaption>a &quot;cell&quot;</figcaption></figure>"
    )
    assert Album(None, "run-1-").cells("cell", {"<a>": svg}, 'a "cell"') == shown


def test_a_chart_is_one_stop_of_the_tab_key() -> None:
    chart = curves([Metric(name, {"a": [1.0], "<b>": [2.0]}) for name in "xyz"], Timeline.of(epochs("one")))
    shown = Album(None).chart("loss", chart, "words")
    assert re.findall('tabindex="(.*?)"', shown) == ["0", "-1", "-1"]
    assert re.findall("</svg>(.*?)</li>", shown) == ["a", "&lt;b&gt;"]
