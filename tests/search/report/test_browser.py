"""Reports in a real browser: values under the pointer and by keys, cells by epoch, dark pages, narrow pages, pages that are renewed."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.space import DARTS
from nasarch.search.report.report import write_report
from nasarch.search.report.watch import LiveReport, Server
from tests.helpers.browser import browser_page
from tests.helpers.reported import FIGURES, write
from tests.helpers.written_run import write_run

pytestmark = pytest.mark.slow
LOSS = "#curves .panel >> nth=0"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the file of a report."""
    folder = tmp_path_factory.mktemp("browser")
    return write_report([write(folder / "run")]).as_uri()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> str:
    """That of whole cells of DARTS and several runs."""
    folder = tmp_path_factory.mktemp("several")
    return write_report([write_run(folder / f"seed-{seed}", space=DARTS, seed=seed) for seed in (0, 1)]).as_uri()


def values(page: Any) -> str:
    """The box of values, if it is shown."""
    box = page.locator("#values")
    return box.inner_text().replace("\n", " ") if box.is_visible() else ""


def hover(page: Any, panel: str, epoch: int) -> None:
    """Move the pointer to an epoch of a panel."""
    page.locator(panel).scroll_into_view_if_needed()
    box = page.locator(panel).bounding_box()
    first, x, step, _ = map(float, page.locator(panel).get_attribute("data-x").split())
    width = float(page.locator(panel).get_attribute("viewBox").split()[2])
    page.mouse.move(box["x"] + (x + step * (epoch - first)) * box["width"] / width + 3, box["y"] + box["height"] / 2)


def test_the_pointer_shows_the_values_of_an_epoch(report: str) -> None:
    with browser_page() as (page, seen):
        page.goto(report)
        assert values(page) == ""
        for epoch in (1, 3, 4):
            hover(page, LOSS, epoch)
            assert values(page) == f"epoch {epoch} {FIGURES['loss'][epoch - 1]:.5g}"
            assert page.locator(f"{LOSS} >> .cursor").count() == 1
        hover(page, "#skips .panel", 2)
        assert values(page) == "epoch 2 normal 2 reduction 4"
        hover(page, "#changes .panel >> nth=0", 2)
        assert values(page).startswith("epoch 2 c_{k-2} → 2 skip_connect")
        page.mouse.move(2, 2)
        assert values(page) == "" and page.locator(".cursor").count() == 0
        assert seen.errors == [] and seen.requests == [report]


def test_arrow_keys_go_along_the_epochs_and_to_the_other_panels(report: str) -> None:
    with browser_page() as (page, seen):
        page.goto(report)
        page.locator("#cell").scroll_into_view_if_needed()
        page.locator("#curves").evaluate("one => { one.tabIndex = -1; one.focus(); }")
        page.keyboard.press("Tab")
        assert values(page) == "epoch 4 0.98765"
        page.keyboard.press("ArrowLeft")
        assert values(page) == "epoch 3 1.25"
        panel = page.locator(LOSS)
        assert panel.get_attribute("role") == "slider" and panel.get_attribute("aria-label") == "loss"
        assert (panel.get_attribute("aria-valuenow"), panel.get_attribute("aria-valuetext")) == ("3", "epoch 3; 1.25")
        page.keyboard.press("ArrowDown")
        assert values(page) == "epoch 3 0.3"
        page.keyboard.press("Home")
        assert values(page) == "epoch 1 0.1"
        page.keyboard.press("ArrowLeft")
        assert values(page) == "epoch 1 0.1"
        page.keyboard.press("End")
        assert values(page) == "epoch 4 0.45674"
        page.keyboard.press("ArrowUp")
        assert values(page) == "epoch 3 1.25"
        page.keyboard.press("Escape")
        assert values(page) == ""
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('figure').id") != "curves"
        assert seen.errors == []


def wait(page: Any, expression: str) -> None:
    """Until the expression is true; playwright's own way evaluates text in the page, which the page's policy forbids."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(expression)


def edges(page: Any) -> list[str]:
    """The operations that the first cell of the animation shows."""
    texts = "all => all.filter((one) => getComputedStyle(one).visibility === 'visible').map((one) => one.textContent)"
    return page.locator("#cells-by-epoch svg").first.locator(".edge text").evaluate_all(texts)


def test_a_slider_and_a_button_show_the_cell_of_every_epoch(report: str) -> None:
    with browser_page() as (page, seen):
        page.goto(report)
        slider, button = page.locator("#cells-by-epoch input"), page.locator("#cells-by-epoch button")
        assert edges(page) == ["skip_connect"] * 4 and slider.input_value() == "3" and button.inner_text() == "Play"
        positions = page.locator("#cells-by-epoch rect").evaluate_all("all => all.map((one) => one.getBoundingClientRect().x)")
        slider.focus()
        page.keyboard.press("Home")
        assert edges(page) == ["max_pool_3x3"] * 4 and slider.get_attribute("aria-valuetext").startswith("epoch 1 of 4")
        assert page.locator("#cells-by-epoch output").inner_text().startswith("epoch 1 of 4, stage 'operations', warm-up: loss 2")
        assert page.locator("#cells-by-epoch .new").count() == 0
        page.keyboard.press("ArrowRight")
        assert edges(page) == ["skip_connect"] * 4 and page.locator("#cells-by-epoch .new").count() == 4
        assert positions == page.locator("#cells-by-epoch rect").evaluate_all("all => all.map((one) => one.getBoundingClientRect().x)")
        page.keyboard.press("End")
        button.focus()
        page.keyboard.press("Enter")
        assert button.inner_text() == "Pause" and slider.input_value() == "0"
        wait(page, "document.querySelector('#cells-by-epoch input').value === '3'")
        wait(page, "document.querySelector('#cells-by-epoch button').textContent === 'Play'")
        button.click()
        button.click()
        assert button.inner_text() == "Play"
        assert seen.errors == []


def test_less_motion_is_slower_and_without_transitions(report: str) -> None:
    with browser_page(reduced_motion="reduce") as (page, _):
        page.goto(report)
        assert page.locator("#cells-by-epoch .edge").first.evaluate("one => getComputedStyle(one).transitionDuration") == "0s"
        page.locator("#cells-by-epoch button").click()
        page.wait_for_timeout(900)
        assert page.locator("#cells-by-epoch input").input_value() == "0"


def test_a_page_follows_dark_mode(report: str) -> None:
    colours = []
    for dark in (False, True):
        with browser_page(dark=dark) as (page, seen):
            page.goto(report)
            names = [("body", "backgroundColor"), ("body", "color"), (f"{LOSS} >> .line", "stroke"), (f"{LOSS} >> .title", "fill")]
            colours.append([page.locator(what).first.evaluate(f"(one) => getComputedStyle(one).{name}") for what, name in names])
            colours[-1].append(page.locator("#cell .edge rect").first.evaluate("(one) => getComputedStyle(one).fill"))
            assert seen.errors == []
    light, dark_colours = colours
    assert light[:3] == ["rgb(255, 255, 255)", "rgb(31, 41, 51)", "rgb(0, 114, 178)"]
    assert dark_colours[:3] == ["rgb(20, 24, 28)", "rgb(228, 232, 236)", "rgb(75, 163, 220)"]
    assert all(one != other for one, other in zip(light, dark_colours, strict=True))


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_is_as_wide_as_the_window(width: int, several: str) -> None:
    """What is wider scrolls within its box, and a hint says so; letters of charts have 8 pixels at least."""
    with browser_page(width=width) as (page, seen):
        page.goto(several)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        boxes = page.locator(".wide").evaluate_all(
            "all => all.filter((one) => one.offsetWidth).map((one) => [one.scrollWidth > one.clientWidth + 1, one.tabIndex === 0,"
            " one.nextElementSibling?.matches('.hint') ?? false])"
        )
        assert all(over == focusable == hint for over, focusable, hint in boxes)
        assert any(over for over, _, _ in boxes) == (width == 390)
        heights = page.locator(".panel text").evaluate_all(
            "all => all.map((one) => parseFloat(getComputedStyle(one).fontSize) * one.ownerSVGElement.getScreenCTM().a)"
        )
        assert min(heights) > 8
        lefts = page.locator("#run-1-operations-normal-1 .panel").evaluate_all("all => all.map((one) => one.getBoundingClientRect().left)")
        assert len({round(left) for left in lefts}) == (2 if width == 390 else 5)
        assert seen.errors == []


def grow(folder: Path, whole: Path, epochs: int) -> None:
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    for name in ("metrics", "weights"):
        lines = (whole / f"{name}.jsonl").read_text().splitlines(keepends=True)
        (folder / f"{name}.jsonl").write_text("".join(lines[:epochs]))


def test_a_page_that_is_served_renews_itself_and_keeps_what_the_reader_set(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", finished=False)
    with Server(LiveReport([tmp_path / "run"]), 0) as server, browser_page() as (page, seen):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(server.url)
        assert "Waiting" in page.locator("main").inner_text()
        grow(tmp_path / "run", whole, 2)
        page.wait_for_selector("#curves")
        assert page.locator("#cells-by-epoch output").inner_text().startswith("epoch 2 of 2") and page.title() == "DOTS, seed 0: found"
        page.locator("#cells-by-epoch input").focus()
        page.keyboard.press("Home")
        page.locator("summary").first.click()
        page.locator("#cells-by-epoch input").focus()
        place = page.evaluate("scrollY")
        assert place > 0
        grow(tmp_path / "run", whole, 3)
        wait(page, "document.querySelector('#cells-by-epoch input').max === '2'")
        assert page.locator("#cells-by-epoch input").input_value() == "0"
        assert page.locator("#cells-by-epoch output").inner_text().startswith("epoch 1 of 3")
        assert page.evaluate("scrollY") == place and page.evaluate("document.activeElement.type") == "range"
        assert page.locator("details").first.get_attribute("open") is not None
        page.keyboard.press("End")
        hover(page, LOSS, 3)
        last = json.loads((whole / "metrics.jsonl").read_text().splitlines()[2])["loss"]
        assert values(page) == f"epoch 3 {last:.5g}"
        grow(tmp_path / "run", whole, 4)
        wait(page, "document.querySelector('#cells-by-epoch input').value === '3'")
        assert seen.errors == [] and {url.removeprefix(server.url) for url in seen.requests} <= {"", "state"}
        server.shutdown()
        server.server_close()
        page.wait_for_selector("#offline", timeout=10_000)
