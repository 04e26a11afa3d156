"""Pages of the gallery: static files that open from a disk, without a server and without any request to another machine.

| file | holds |
|---|---|
| index.html | all models: pictures, figures, filters, two charts of the reported error |
| compare.html | two cells beside each other, their differences marked |
| cells/NAME.html, cells/NAME.json | a cell with its provenance, and its genotype |
| pictures/NAME.svg | its cells |
| data.js, pictures.js | what the scripts read: a page from a disk may load scripts, but no JSON |
| gallery.css, gallery.js | style and script, without libraries |

A Content-Security-Policy in every page allows files beside it alone. Whatever a genotype says is escaped; links lead to http(s) addresses.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from nasarch.atomic import new_folder
from nasarch.cells.difference import CellDifference, Difference, graph_edges
from nasarch.drawing.pictures import drawings, picture
from nasarch.drawing.svg import CSS
from nasarch.drawing.text import INPUTS, OUTPUT, text
from nasarch.strict_json import plain

from .entries import GalleryCell, cells_of, differences, latencies, nearest

HERE = Path(__file__).parent
MARKS = {"equal": "=", "changed": "~", "only_a": "-", "only_b": "+"}


@dataclass(frozen=True, kw_only=True)
class GalleryReport:
    """What was written."""

    path: Path
    cells: int
    models: int
    size_bytes: int

    def __str__(self) -> str:
        written = f"{self.cells} cells, {self.models} models, {self.size_bytes / 1e6:.1f} MB"
        return f"wrote {self.path}: {written}\nopen {self.path / 'index.html'}"


def write_gallery(out: str | os.PathLike[str], sources: Sequence[str] = ()) -> GalleryReport:
    """Write the gallery of the zoo and of the cells of `sources` (NAME, FILE or RUN) to the folder `out`, which must be new or empty.

    Raises:
        ValueError: a source has no cells, or the folder is not empty or can't be written.
    """
    with new_folder(Path(out)) as folder:
        cells = cells_of(sources)
        distances = differences(cells)
        environment = _environment()
        for name in ("cells", "pictures"):
            (folder / name).mkdir()
        elements = {}
        for index, cell in enumerate(cells):
            drawn, name = drawings(cell.genotype), cell.genotype.name
            elements[cell.slug] = {kind: one.svg(f"{kind} cell of {name}") for kind, one in drawn.items()}
            cell.genotype.save(folder / "cells" / f"{cell.slug}.json")
            _write(folder / "pictures" / f"{cell.slug}.svg", picture(name, drawn))
            neighbours = [[(cells[other], distance) for other, distance in pairs] for pairs in nearest(index, len(cells), distances)]
            page = environment.get_template("cell.html").render(cell=cell, neighbours=neighbours, **_about(cell), root="../")
            _write(folder / "cells" / f"{cell.slug}.html", page)
        models = [(cell, model) for cell in cells for model in cell.models]
        for name in ("index.html", "compare.html"):
            _write(folder / name, environment.get_template(name).render(cells=cells, models=models, root=""))
        _write(folder / "data.js", f"const GALLERY = {_script(_data(cells, distances))};\n")
        _write(folder / "pictures.js", f"const PICTURES = {_script(elements)};\n")
        _write(folder / "gallery.css", (HERE / "gallery.css").read_text(encoding="utf-8") + CSS)
        shutil.copyfile(HERE / "gallery.js", folder / "gallery.js")
        size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return GalleryReport(path=Path(out), cells=len(cells), models=len(models), size_bytes=size_bytes)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["latency"] = latencies()
    environment.filters |= {"link": _link, "breakable": _breakable}
    return environment


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def _link(value: object) -> str | None:
    """An address that a page may link to; None for anything else, such as a script."""
    return value if isinstance(value, str) and re.fullmatch(r"https?://[!-~]+", value) else None


def _breakable(name: str) -> Markup:
    """A name that may be broken after each underscore."""
    return Markup("_<wbr>").join(name.split("_"))


def _script(value: object) -> str:
    """JSON as a script may hold it, wherever it stands."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _about(cell: GalleryCell) -> dict[str, Any]:
    """What the page of a cell shows of its provenance."""
    about = cell.genotype.provenance
    paper, source = about.get("paper", {}), about.get("source", {})
    short = {key: value for key, value in source.items() if not isinstance(value, (Mapping, list, tuple))}
    return {
        "about": about,
        "paper": paper,
        "arxiv": _link(f"https://arxiv.org/abs/{paper['arxiv']}") if "arxiv" in paper else None,
        "source": short,
        "details": {key: json.dumps(plain(source[key]), indent=1, ensure_ascii=False) for key in source if key not in short},
        "text": text(cell.genotype),
        "counts": {kind: [len(one.edges_of(node)) for node in one.inner_nodes] for kind, one in cell.genotype.cells.items()},
    }


def _data(cells: Sequence[GalleryCell], pairs: Mapping[tuple[int, int], Difference]) -> dict[str, Any]:
    """What the scripts read. `pairs` has the difference of cells i < j at "i,j", see `_pair`."""
    return {
        "models": [
            {
                "model": model.entry.name,
                "cell": cell.slug,
                "name": cell.genotype.name,
                "own": not cell.in_zoo,
                "group": model.group,
                "parameters": model.entry.parameters,
                "multi_adds": model.entry.multi_adds,
                "error": model.reported_error,
            }
            for cell in cells
            for model in cell.models
        ],
        "cells": [
            {
                "slug": cell.slug,
                "name": cell.genotype.name,
                "method": cell.method,
                "costs": {name: list(cost) for name, cost in cell.costs.items()},
                "edges": {kind: [*_edges(cell, kind)] for kind in cell.genotype.cells},
            }
            for cell in cells
        ],
        "pairs": {f"{i},{j}": _pair(cells[i], cells[j], one) for (i, j), one in pairs.items()},
    }


def _edges(cell: GalleryCell, kind: str) -> Iterator[list[str]]:
    """[operation, source, target] with the nodes' names."""
    one = cell.genotype.cells[kind]
    for edge in graph_edges(one):
        source = INPUTS[one.inputs][edge.source] if edge.source < one.inputs else str(edge.source)
        yield [edge.operation, source, str(edge.target) if edge.operation else OUTPUT]


def _pair(a: GalleryCell, b: GalleryCell, compared: Difference) -> list[Any]:
    """[distance, is_exact, {kind: [marks of A's edges, marks of B's edges, [[node of A, node of B], ...]]}].

    Marks are = ~ - + in the order of the edges; nodes that have the same number are left out.
    """
    kinds = {
        kind: [
            _marks(graph_edges(a.genotype.cells[kind]), [(pair.a, pair.status) for pair in one.pairs]),
            _marks(graph_edges(b.genotype.cells[kind]), [(pair.b, pair.status) for pair in one.pairs]),
            _renumbered(one),
        ]
        for kind, one in compared.cells.items()
    }
    return [compared.distance, compared.is_exact, kinds]


def _marks(edges: Sequence[Any], statuses: Sequence[tuple[Any, str]]) -> str:
    """A mark for each edge; equal edges of one cell take their marks in turn."""
    remaining = [pair for pair in statuses if pair[0] is not None]
    marks = ""
    for edge in edges:
        match = next(pair for pair in remaining if pair[0] == edge)
        remaining.remove(match)
        marks += MARKS[match[1]]
    return marks


def _renumbered(compared: CellDifference) -> list[list[int]]:
    return [[a, b] for a, b in compared.nodes.items() if a != b]
