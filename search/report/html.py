"""A page of HTML from plain values: text, tables, charts and cells in one file. Knows no search.

Everything that is given is escaped. The page asks no network for anything; the one script that may run in it is report.js, which shows
the values of charts, plays the cells of the epochs, and renews a page that `nasarch report --watch` serves.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NewType

from nasarch.atomic import write_text
from nasarch.drawing.svg import CSS as CELL_CSS
from nasarch.drawing.svg import element, escape, number

from .charts import Chart
from .panels import LETTER, SHAPES, Pen

Html = NewType("Html", str)
HERE = Path(__file__).parent
SCRIPT = (HERE / "report.js").read_text(encoding="utf-8")
CHART_CSS = (HERE / "chart.css").read_text(encoding="utf-8") + CELL_CSS
STYLE = CHART_CSS + (HERE / "page.css").read_text(encoding="utf-8")
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    f"script-src 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
)


def page(title: str, parts: Iterable[Html], *, state: str | None = None) -> str:
    """The whole file; `state` names the content of a page that a server renews."""
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
    head += f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts])
    main = element("main", f"\n{body}\n", data_state=state)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}\n<style>{STYLE}</style></head>\n'
        f"<body>\n{main}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def heading(words: str, *, level: int = 3, anchor: str | None = None) -> Html:
    identifier = f' id="{escape(anchor)}"' if anchor else ""
    return Html(f"<h{level}{identifier}>{escape(words)}</h{level}>")


def anchor(name: str) -> Html:
    """The target of a link of `contents`."""
    return Html(f'<span id="{escape(name)}"></span>')


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
    for row_number, row in enumerate(rows):
        cells = [f"<td{_number(i in right)}>{escape(words)}</td>" for i, words in enumerate(row)]
        if row_number < len(links):
            cells[0] = f'<td><a href="#{escape(links[row_number])}">{escape(row[0])}</a></td>'
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return Html(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>')


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def folded(words: str, *parts: Html) -> Html:
    """Parts that are shown when the reader asks for them."""
    return Html(f"<details><summary>{escape(words)}</summary>{''.join(parts)}</details>")


class Album:
    """The pictures of a page: each is HTML, and also a file in `folder` (where there is one) for use elsewhere."""

    def __init__(self, folder: Path | None, prefix: str = "") -> None:
        self.folder, self.prefix = folder, prefix

    def chart(self, name: str, chart: Chart, words: str) -> Html:
        """A chart, also as the file `name`.svg, with `words` below it. Its panels are one stop of the tab key."""
        self._write(name, chart_file(chart))
        keys = "".join(f"<li>{_key(pen, chart.bars)}{escape(label)}</li>" for label, pen in chart.legend)
        keys += '<li><i class="swatch"></i>warm-up: the weights alone are trained</li>' if chart.warmup else ""
        parts = [element("p", escape(chart.heading), class_="heading")] if chart.heading else []
        parts += [f'<ul class="legend">{keys}</ul>'] if keys else []
        panels = []
        for index, panel in enumerate(chart.panels):
            position = f' style="--row:{panel.row};--column:{panel.column}"' if panel.row else ""
            panels.append(panel.svg.replace("<svg", f'<svg tabindex="{-1 if index else 0}"{position}', 1))
        least = f"--min:{number(max(panel.size.width for panel in chart.panels))}px"
        grid = f'<div class="panels{" grid" if chart.columns else ""}" style="{least};--columns:{chart.columns}">'
        return self._figure(name, f"{''.join(parts)}{grid}{''.join(panels)}</div>", words)

    def cells(self, name: str, cells: Mapping[str, str], words: str) -> Html:
        """Cells as <svg> elements under their headings, also as the file `name`.svg, with `words` below them."""
        self._write(name, _stack([(title, svg, *_size(svg)) for title, svg in cells.items()]))
        return self._figure(name, _cells(cells), words)

    def animation(self, name: str, cells: Mapping[str, str], captions: Sequence[str], words: str) -> Html:
        """Cells with a state for each of the `captions`, under a slider and a button; the last state is shown first."""
        last = len(captions) - 1
        player = (
            f'<div class="player" hidden data-captions="{escape(json.dumps(captions))}"><button type="button">Play</button>'
            f'<input type="range" min="0" max="{last}" value="{last}" step="1" aria-label="Epoch" aria-valuetext="{escape(captions[-1])}">'
            f"<output>{escape(captions[-1])}</output></div>"
        )
        return self._figure(name, player + _cells(cells), words)

    def _figure(self, name: str, content: str, words: str) -> Html:
        return Html(f'<figure id="{escape(self.prefix + name)}">{content}<figcaption>{escape(words)}</figcaption></figure>')

    def _write(self, name: str, svg: str) -> None:
        if self.folder is not None:
            write_text(self.folder / f"{self.prefix}{name}.svg", svg)


def _key(pen: Pen, bar: bool) -> str:
    """The sample of a line or a bar in a legend."""
    line = f'<path class="line {pen.dashes}" stroke-width="{pen.width}" d="M1 6H27"/><path class="marks" d="M14 6{SHAPES[pen.marker]}"/>'
    sample = f'<rect class="bar {pen.dashes}" x="1" y="1" width="26" height="10" rx="2"/>' if bar else line
    return f'<svg class="key {pen.colour}" viewBox="0 0 28 12" width="28" height="12" aria-hidden="true">{sample}</svg>'


def _cells(cells: Mapping[str, str]) -> str:
    each = "".join(f'<div><p class="heading">{escape(title)}</p><div class="wide">{svg}</div></div>' for title, svg in cells.items())
    return f'<div class="cells">{each}</div>'


# --- files -------------------------------------------------------------------------------------------------------------------


def chart_file(chart: Chart) -> str:
    """A chart as an SVG file, light, with its heading and its legend above the grid of its panels."""
    columns = chart.columns or min(2, len(chart.panels))
    width, height = (max(getattr(panel.size, side) for panel in chart.panels) for side in ("width", "height"))
    total, y, parts = columns * width, 8.0, list[str]()
    if chart.heading:
        parts.append(f'<text x="6" y="16" class="title">{escape(chart.heading)}</text>')
        y = 26.0
    x = 6.0
    for label, pen in chart.legend:
        room = 44 + LETTER * len(label)
        x, y = (6.0, y + 16) if x > 6 and x + room > total else (x, y)
        parts.append(
            f'<g transform="translate({number(x)} {number(y)})">{_key(pen, chart.bars)}<text x="34" y="10">{escape(label)}</text></g>'
        )
        x += room
    y += 22 if chart.legend else 0
    for index, panel in enumerate(chart.panels):
        row, column = (panel.row - 1, (panel.column or 1) - 1) if panel.row else divmod(index, columns)
        position = f'x="{number(column * width)}" y="{number(y + row * height)}"'
        size = f'{position} width="{number(panel.size.width)}" height="{number(panel.size.height)}"'
        parts.append(panel.svg.replace("<svg", f"<svg {size}", 1))
    rows = max((panel.row for panel in chart.panels if panel.row), default=-(-len(chart.panels) // columns))
    return _file(f'<g class="panel">{"".join(parts)}</g>', total, y + rows * height)


def _stack(pictures: Sequence[tuple[str, str, float, float]]) -> str:
    """Pictures one below the other, each under its title; given with their widths and heights."""
    y, parts = 0.0, []
    for title, svg, _, height in pictures:
        parts.append(
            f'<text x="4" y="{number(y + 18)}" class="title">{escape(title)}</text>' + svg.replace("<svg", f'<svg y="{number(y + 26)}"', 1)
        )
        y += height + 36
    width = max(max(width, LETTER * 1.3 * len(title)) for title, _, width, _ in pictures)
    return _file(f'<g class="panel">{"".join(parts)}</g>', width, y)


def _size(svg: str) -> tuple[float, float]:
    width, height = re.search(r' width="(\d+)" height="(\d+)"', svg).groups()  # type: ignore[union-attr]
    return float(width), float(height)


def _file(content: str, width: float, height: float) -> str:
    """An SVG file on a white background, with its colours written out, as programs other than browsers need them."""
    light = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", CHART_CSS)
    colours = dict(re.findall(r"--([\w-]+):\s*([^;}]+)", light))
    style = re.sub(r":root\s*\{[^}]*\}\s*", "", light)
    style = re.sub(r"var\(--([\w-]+)\)", lambda match: colours[match[1]], style)
    size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
    background = f'<rect width="{number(width)}" height="{number(height)}" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{background}{content}</svg>\n'
