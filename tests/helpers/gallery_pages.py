"""A gallery as a test reads it: tags and text of its pages, and the data of its scripts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HOSTILE = "<script><img src=x onerror=alert(1)>\"'&{{7*7}}"  # a name in a genotype's file
SLUG = "script-img-src-x-onerror-alert-1-7-7"  # the name of its pages
EMPTY = ("meta", "img", "link", "input", "wbr")


class Page(HTMLParser):
    """Tags of a page with their attributes, and its text; checks that all are closed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def rows(self) -> dict[str, dict[str, str | None]]:
        """Attributes of the rows of index.html by model and genotype."""
        return {row["data-name"] or "": row for tag, row in self.tags if tag == "tr" and "data-name" in row}


def script_data(path: Path) -> dict[str, Any]:
    """The JSON in data.js or pictures.js."""
    text = path.read_text(encoding="utf-8")
    return dict(json.loads(text[text.index("{") : text.rindex("}") + 1]))
