"""The gallery in headless Chromium, from the disk: sorting, filters, charts, comparison; no errors, no request to another machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.difference import difference
from nasarch.cells.genotype import resolve
from tests.helpers.browser import browser_page
from tests.helpers.gallery_pages import HOSTILE, SLUG, script_data

pytestmark = pytest.mark.slow


@pytest.fixture(params=[1280, 390])
def tab(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of that width; afterwards there were no errors, dialogs or requests other than for files, and nothing was wider than it."""
    with browser_page(width=request.param, dark=request.param == 390) as (tab, seen):
        tab.on("dialog", lambda dialog: seen.errors.append(dialog.message))
        tab.on("requestfailed", lambda one: seen.errors.append(f"failed: {one.url}"))
        yield tab
        assert tab.evaluate("document.documentElement.scrollWidth") <= request.param
    assert not seen.errors and all(url.startswith(("file:", "data:")) for url in seen.requests) and len(seen.requests) > 2


def wait(tab: Any, condition: str) -> None:
    """Until a condition in JavaScript holds; playwright's own way is eval, which the pages' policy forbids."""
    for _ in range(250):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(20)
    raise AssertionError(condition)


def shown(tab: Any, attribute: str) -> list[str]:
    """The attribute of the visible rows, in their order."""
    return tab.eval_on_selector_all(
        "#models tbody tr", f"rows => rows.filter(row => !row.hidden).map(row => row.getAttribute('data-{attribute}'))"
    )


def sort_by(tab: Any, key: str, direction: str) -> None:
    """By a press of Enter on the heading; where headings are hidden, by the list."""
    if tab.viewport_size["width"] > 1000:
        heading = tab.locator(f"th[data-key={key}]")
        heading.locator("button").focus()
        for _ in range(2):
            if heading.get_attribute("aria-sort") != direction:
                tab.keyboard.press("Enter")
        assert tab.locator("[aria-sort=ascending], [aria-sort=descending]").count() == 1
        assert heading.get_attribute("aria-sort") == direction
    else:
        tab.select_option("#sort", f"{key} {direction}")


@pytest.mark.parametrize("key", ["parameters", "adds", "error", "measured", "latency"])
@pytest.mark.parametrize("direction", ["ascending", "descending"])
def test_rows_are_sorted_by_numbers_with_unknown_ones_last(key: str, direction: str, gallery: Path, tab: Any) -> None:
    tab.goto((gallery / "index.html").as_uri())
    sort_by(tab, key, direction)
    found = shown(tab, key)
    known = [float(value) for value in found if value]
    assert known == sorted(known, reverse=direction == "descending") and len(known) > 1
    assert "" not in found[: len(known)]


def test_rows_are_sorted_by_text(gallery: Path, tab: Any) -> None:
    tab.goto((gallery / "index.html").as_uri())
    assert shown(tab, "name")[:2] == ["amoebanet_a_cifar amoebanet_a_cifar", "amoebanet_a_cifar_224 amoebanet_a_cifar"]
    sort_by(tab, "method", "descending")
    assert shown(tab, "method")[0] == "XNAS"


def test_filters_leave_the_rows_that_match_all_of_them(gallery: Path, tab: Any) -> None:
    tab.goto((gallery / "index.html").as_uri())
    models = script_data(gallery / "data.js")["models"]
    assert tab.inner_text("#count") == f"{len(models)} of {len(models)} networks"
    tab.select_option("#method", "DOTS")
    assert {*shown(tab, "method")} == {"DOTS"}
    tab.select_option("#group", "ImageNet, 14 cells")
    assert sorted(name.split()[0] for name in shown(tab, "name")) == ["dots_cifar100_224", "dots_cifar_224", "dots_imagenet"]
    assert tab.locator("#chart-parameters a").count() == sum(
        model["group"] == "ImageNet, 14 cells" and model["name"].startswith("dots") and model["error"] is not None for model in models
    )
    tab.fill("#text", "cifar100 dots")
    assert [name.split()[0] for name in shown(tab, "name")] == ["dots_cifar100_224"]
    assert tab.inner_text("#count") == f"1 of {len(models)} networks"
    tab.click("button[type=reset]")
    wait(tab, f"document.getElementById('count').textContent.startsWith('{len(models)} ')")
    tab.fill("#text", "no such cell")
    assert shown(tab, "name") == [] and tab.locator("#chart-parameters a").count() == 0


def test_points_of_the_charts_show_their_cell_on_hover_and_focus(gallery: Path, tab: Any) -> None:
    tab.goto((gallery / "index.html").as_uri())
    models = [model for model in script_data(gallery / "data.js")["models"] if model["group"] == "CIFAR-10, 20 cells" and model["error"]]
    for chart, key in (("parameters", "parameters"), ("multi-adds", "multi_adds")):
        points = tab.locator(f"#chart-{chart} a")
        assert points.count() == len(models)
        places = [(point["x"], point["y"]) for point in (points.nth(i).bounding_box() for i in range(len(models)))]
        by_cost = sorted(models, key=lambda model: model[key])
        assert [x for x, _ in places] == sorted(x for x, _ in places)
        ranked = sorted(range(len(models)), key=lambda i: places[i][1])
        assert [by_cost[i]["error"] for i in ranked] == sorted((model["error"] for model in models), reverse=True)
        assert by_cost[0]["model"] in (points.first.get_attribute("aria-label") or "")
    tip, first = tab.locator("#tip"), by_cost[0]
    assert not tip.is_visible()
    points.first.hover()
    assert tip.is_visible() and tip.inner_text().startswith(f"{first['model']}: {first['error']:.2f} % error")
    wait(tab, "document.querySelector('#tip img').naturalWidth > 0")
    assert (tip.locator("img").get_attribute("src") or "") == f"pictures/{first['cell']}.svg"
    box, width = tip.bounding_box(), tab.viewport_size["width"]
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    tab.mouse.move(0, 0)
    assert not tip.is_visible()
    points.nth(1).focus()
    assert tip.inner_text().startswith(by_cost[1]["model"])
    tab.keyboard.press("Escape")
    assert not tip.is_visible()
    tab.keyboard.press("Tab")
    assert tip.inner_text().startswith(by_cost[2]["model"])
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/cells/{by_cost[2]['cell']}.html")
    assert tab.inner_text("h1") == by_cost[2]["name"]
    wait(tab, "[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_a_comparison_marks_the_edges_that_differ(gallery: Path, tab: Any) -> None:
    tab.goto((gallery / "compare.html").as_uri() + "#a=darts_v2_cifar&b=snas_mild_cifar")
    assert tab.inner_text("#distance") == "Distance 5: edges only in A 1, only in B 1, with another operation 3."
    found = difference(resolve("darts_v2_cifar"), resolve("snas_mild_cifar"))
    changed = sum(pair.status == "changed" for cell in found.cells.values() for pair in cell.pairs)
    assert tab.locator("#kinds li.changed").count() == 2 * changed and tab.locator("#kinds li.only").count() == 2
    assert tab.locator("#kinds li.only").all_inner_texts() == ["- 2 → 5: dil_conv_3x3", "+ c_{k-1} → 4: skip_connect"]
    assert tab.locator(".changed rect").count() == 2 * changed and tab.locator(".only rect").count() == 2
    style = "element => [getComputedStyle(element).strokeDasharray, getComputedStyle(element).stroke]"
    only, other, equal = (tab.locator(f".{name} rect").first.evaluate(style) for name in ("only", "changed", "equal"))
    assert len({only[0], other[0], equal[0]}) == len({only[1], other[1], equal[1]}) == 3  # marked by line style and by colour
    tab.click("#swap")
    assert tab.url.endswith("#a=snas_mild_cifar&b=darts_v2_cifar")
    assert tab.locator("#kinds li.only").all_inner_texts() == ["- c_{k-1} → 4: skip_connect", "+ 2 → 5: dil_conv_3x3"]
    assert "3,349,342" in tab.inner_text("#costs tbody tr:first-child td:nth-child(3)")
    tab.select_option("#a", "darts_v2_cifar")
    assert tab.inner_text("#distance") == "The same cell twice." and tab.locator("#kinds li.changed").count() == 0
    tab.select_option("#b", "ftso_nats_cifar")
    assert tab.inner_text("#distance") == "Cells of two spaces have no distance."
    assert "It has no reduction cell." in tab.inner_text("#kinds")


def test_a_hostile_name_is_text_in_every_page(gallery: Path, tab: Any) -> None:
    tab.goto((gallery / "compare.html").as_uri() + f"#a={SLUG}&b=changed")
    assert HOSTILE in tab.inner_text("#kinds") and tab.inner_text("#distance").startswith("Distance 1:")
    tab.goto((gallery / "cells" / f"{SLUG}.html").as_uri())
    assert tab.inner_text("h1") == HOSTILE
    tab.goto((gallery / "index.html").as_uri())
    tab.fill("#text", "onerror=alert")
    assert len(shown(tab, "name")) == 2
    assert not tab.evaluate("[...document.images].some(image => image.getAttribute('src') === 'x')")
