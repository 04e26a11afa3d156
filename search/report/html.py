"""A page of HTML from plain values: text, tables and pictures in one file. Knows no search.

Everything that is given is escaped, pictures are embedded as data URIs: the page has no scripts and asks no network for anything.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NewType

from nasarch.atomic import atomic_path

Html = NewType("Html", str)

CSS = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #5b6874; --rule: #d5dbe1; --ground: #ffffff; --link: #1f5fa8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --soft: #a3afba; --rule: #3a444d; --ground: #14181c; --link: #8ab8f0; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; color: var(--ink); background: var(--ground);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 0.5rem; padding-top: 0.6rem; border-top: 2px solid var(--rule); overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.4rem; }
p, figcaption { max-width: 46rem; margin: 0.4rem 0; }
figcaption, .soft { color: var(--soft); font-size: 0.9rem; }
a { color: var(--link); }
nav a { display: inline-block; margin: 0.15rem 0.9rem 0.15rem 0; }
figure { margin: 0.8rem 0; }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; }
.wide img { display: block; width: auto; max-width: none; background: #ffffff; border-radius: 6px; }
@media (min-width: 46rem) { .wide img { max-width: 100%; height: auto; } }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.28rem 0.8rem 0.28rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 5rem; }
td.number, th.number { min-width: 0; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
summary { cursor: pointer; color: var(--link); margin: 0.5rem 0; }
"""


def page(title: str, parts: Iterable[Html]) -> str:
    """The whole file."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts])
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}\n<style>{CSS}</style></head>\n<body>\n{body}\n</body>\n</html>\n'


def heading(words: str, *, level: int = 3, anchor: str | None = None) -> Html:
    identifier = f' id="{escape(anchor)}"' if anchor else ""
    return Html(f"<h{level}{identifier}>{escape(words)}</h{level}>")


def paragraph(words: str, *, soft: bool = False) -> Html:
    kind = ' class="soft"' if soft else ""
    return Html(f"<p{kind}>{escape(words)}</p>")


def contents(links: Mapping[str, str]) -> Html:
    """Links to anchors of the page."""
    items = "".join(f'<a href="#{escape(anchor)}">{escape(words)}</a>' for anchor, words in links.items())
    return Html(f"<nav>{items}</nav>")


def facts(rows: Mapping[str, str]) -> Html:
    """A table of two columns without a heading; rows without a value are left out."""
    lines = "".join(f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>' for key, value in rows.items() if value)
    return Html(f'<div class="wide"><table><tbody>{lines}</tbody></table></div>')


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), links: Sequence[str] = ()) -> Html:
    """A table; the columns `numbers` are set to the right, `links` are the anchors that the first cells lead to, row by row."""
    right = set(numbers)
    head = "".join(f'<th scope="col"{_number(i in right)}>{escape(words)}</th>' for i, words in enumerate(headings))
    lines = []
    for number, row in enumerate(rows):
        cells = [f"<td{_number(i in right)}>{escape(words)}</td>" for i, words in enumerate(row)]
        if number < len(links):
            cells[0] = f'<td><a href="#{escape(links[number])}">{escape(row[0])}</a></td>'
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return Html(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>')


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def folded(words: str, *parts: Html) -> Html:
    """Parts that are shown when the reader asks for them."""
    return Html(f"<details><summary>{escape(words)}</summary>{''.join(parts)}</details>")


class Album:
    """The pictures of a page: each is written as a file into `folder` and comes back as HTML with the same bytes in it."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self.folder, self.prefix = folder, prefix

    def picture(self, name: str, png: bytes, words: str) -> Html:
        """The PNG `name`.png with `words` below it, which are also read out instead of it."""
        with atomic_path(self.folder / f"{self.prefix}{name}.png") as temporary:
            temporary.write_bytes(png)
        data = base64.b64encode(png).decode("ascii")
        image = f'<img alt="{escape(words)}" src="data:image/png;base64,{data}">'
        return Html(f'<figure><div class="wide">{image}</div><figcaption>{escape(words)}</figcaption></figure>')
