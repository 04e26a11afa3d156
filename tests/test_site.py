"""The documentation site in headless Chromium, from the disk: nothing wider than the window, no errors, no request to another machine."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.browser import browser_page

ROOT = Path(__file__).parents[1]
PAGES = (
    "index",
    "get_started",
    "models",
    "searches",
    "training",
    "reproduce",
    "reproduction",
    "derive",
    "detection",
    "export/index",
    "guides/reading_a_search",
    "papers/pc_darts",
    "papers/dots",
    "reference/search",
    "reference/settings",
    "commands",
    "changelog",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("sphinx") is None:
        pytest.skip("sphinx is not installed")
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-d", str(out / "doctrees"), str(ROOT / "docs"), str(out / "html")]
    done = subprocess.run(build, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_the_window_and_ask_for_files_alone(width: int, dark: bool, site: Path) -> None:
    assert all((site / f"{page}.html").is_file() for page in PAGES)
    with browser_page(width=width, dark=dark) as (tab, seen):
        colours = set()
        for page in PAGES:
            tab.goto((site / f"{page}.html").as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, page
            assert tab.locator("h1").first.is_visible(), page
            colours.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        (background,) = colours
    assert (sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) < 3 * 64) == dark, background
    assert not seen.errors and len(seen.requests) > len(PAGES) and all(url.startswith(("file:", "data:")) for url in seen.requests)


def test_the_search_finds_a_page_from_the_disk(site: Path) -> None:
    with browser_page() as (tab, seen):
        tab.goto(f"{(site / 'search.html').as_uri()}?q=edge+normalisation")
        for _ in range(100):
            if (found := tab.locator("#search-results li a")).count():
                break
            tab.wait_for_timeout(100)
        targets = [link.get_attribute("href") for link in found.all()]
    assert any("pc_darts" in (target or "") for target in targets), targets
    assert all((site / (target or "").partition("?")[0].partition("#")[0]).is_file() for target in targets)
    assert not seen.errors and all(url.startswith(("file:", "data:")) for url in seen.requests)


def test_equations_are_drawn(site: Path) -> None:
    with browser_page() as (tab, _):
        tab.goto((site / "papers" / "pc_darts.html").as_uri())
        sizes = tab.eval_on_selector_all("math[display=block]", "all => all.map(one => one.getBoundingClientRect().height)")
    assert len(sizes) >= 3 and all(15 < size < 300 for size in sizes), sizes
