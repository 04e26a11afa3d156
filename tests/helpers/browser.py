"""Headless Chromium by playwright, in which a page may ask only for what it is allowed to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Seen:
    """What a page asked for, and what it wrote to the console or raised."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []


@contextmanager
def browser_page(*, width: int = 1280, height: int = 900, dark: bool = False, **context: Any) -> Iterator[tuple[Any, Seen]]:
    """A page of Chromium, and what it does; skips the test where Chromium or playwright is missing."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            found = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **context
            ).new_page()
            seen = Seen()
            found.on("request", lambda request: seen.requests.append(request.url))
            found.on("console", lambda message: seen.errors.append(message.text) if message.type in ("error", "warning") else None)
            found.on("pageerror", lambda error: seen.errors.append(str(error)))
            yield found, seen
        finally:
            browser.close()
