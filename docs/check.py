"""Checks the built site: links and anchors between its pages exist, and nothing is loaded from the network.

python docs/check.py site
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

LOADS = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src", "audio": "src", "embed": "src", "object": "data"}
REMOTE = re.compile(r"(?:@import\s+(?:url\()?|url\()\s*['\"]?((?:https?:)?//[^'\")\s]+)")


@dataclass
class Page(HTMLParser):
    """What a page defines, links to and loads."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("href", "#") != "#":
            self.loads.append(values["href"])
        if LOADS.get(tag, "") in values:
            self.loads.append(values[LOADS[tag]])
        self.loads += REMOTE.findall(values.get("style", ""))

    def handle_data(self, data: str) -> None:
        self.loads += REMOTE.findall(data) if self.rawdata and self.cdata_elem == "style" else []


def faults(site: Path) -> Iterator[str]:
    """A line for each fault of the site. A fragment with = is a value for a script of the page, no anchor."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site)
        for url in page.loads:
            parsed = urlparse(url)
            if parsed.scheme in ("http", "https") or parsed.netloc:
                yield f"{where}: loads {url} from the network"
            elif not parsed.scheme and not (path.parent / unquote(parsed.path)).is_file():
                yield f"{where}: loads {url}, which does not exist"
        for url in page.links:
            address, fragment = urldefrag(url)
            if urlparse(address).scheme or address.startswith("//"):
                continue
            target = (path.parent / unquote(address)).resolve() if address else path.resolve()
            if not target.exists():
                yield f"{where}: links to {url}, which does not exist"
            elif fragment and "=" not in fragment and target in pages and unquote(fragment) not in pages[target].ids:
                yield f"{where}: links to {url}, which has no such anchor"
    for path in sorted(site.rglob("*.css")):
        for url in REMOTE.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: loads {url} from the network"


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def main(site: str) -> int:
    found = list(faults(Path(site).resolve()))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
