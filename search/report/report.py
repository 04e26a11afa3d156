"""`nasarch report RUN [RUN ...]`: one self-contained page on one or several searches, and its pictures as SVG files beside it.

A run has its sections (sections.py); several are compared first: figures, curves, how often each edge was kept, what the papers report.
The folder of `nasarch reproduce` has a page on the whole row (reproduction.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import tyro

from nasarch.atomic import write_text
from nasarch.cells.genotype import Genotype
from nasarch.drawing.svg import SharedLayout
from nasarch.runtime.progress import duration
from nasarch.search.runs.history import Span, Timeline, kept_counts, node_name
from nasarch.search.runs.means import means as mean_rows
from nasarch.search.runs.reader import Run, find_runs

from . import charts
from .charts import Metric
from .consensus import consensus_section
from .html import Album, Html, contents, heading, page, paragraph, table
from .reproduction import is_reproduction, page_of_row
from .sections import brief, kind_title, sections
from .summary import last, memory, paper_row, skips_now

MANY = 5  # runs whose sections make a page of 3 MB
NAMES = tyro.conf.arg(metavar="RUN [RUN ...]")


def write_report(runs: Sequence[Path], out: Path | None = None) -> Path:
    """Write index.html, with all pictures in it, and the same pictures as SVG files into `out` (by default the first run's report/).

    Raises:
        ValueError: a folder holds no search, a file in it is damaged, or `out` can't be written.
    """
    folder = out if out is not None else runs[0] / "report" if runs else Path()
    write_text(folder / "index.html", page(*parts_of_report(runs, folder)))
    return folder / "index.html"


def parts_of_report(runs: Sequence[Path], out: Path | None) -> tuple[str, list[Html]]:
    """Title and parts of the page on the runs; its pictures are also written into the folder `out`, if there is one.

    Raises:
        ValueError: a folder holds no search, a file in it is damaged, or `out` can't be written.
    """
    if len(runs) == 1 and is_reproduction(runs[0]):
        return page_of_row(runs[0], out)
    searches = find_runs(runs)
    one, *others = searches
    if others:
        parts = [*_several(searches, runs, out)]
    else:
        parts = [heading(f"Seed {one.config['seed']}, {one.state}", level=2), *sections(one, Album(out))]
    return _title(searches), parts


def _title(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return f"{runs[0].label}: {runs[0].config.get('name') or runs[0].folder.name}"
    methods = dict.fromkeys(str(run.config["method"]) for run in runs)
    return f"{len(runs)} searches: {', '.join(methods)}"


def _several(runs: Sequence[Run], folders: Sequence[Path], folder: Path | None) -> Iterator[Html]:
    """The comparison, the consensus that is in one of the folders, then every run."""
    plain = [run.label for run in runs]  # with the folder where method and seed don't tell runs apart
    labels = [label if plain.count(label) == 1 else f"{label} ({run.folder})" for run, label in zip(runs, plain, strict=True)]
    anchors = [f"run-{number}" for number in range(1, len(runs) + 1)]
    yield contents(dict(zip(anchors, labels, strict=True)))
    yield from _table(runs, labels, anchors)
    yield from _curves(runs, labels, Album(folder))
    yield from _cells(runs, labels, Album(folder))
    yield from _stability(runs)
    yield from consensus_section(folders, Album(folder))
    if len(runs) > MANY:
        yield paragraph(f"Of more than {MANY} runs each has a short section; `nasarch report` with the folder of one shows all of it.")
    for run, label, anchor in zip(runs, labels, anchors, strict=True):
        yield heading(label, level=2, anchor=anchor)
        yield from (sections if len(runs) <= MANY else brief)(run, Album(folder, f"{anchor}-"))


def _table(runs: Sequence[Run], labels: Sequence[str], anchors: Sequence[str]) -> Iterator[Html]:
    """A row a run, the mean numbers of skip connections, and what the papers report."""
    yield heading("Runs", level=2)
    headings = ("run", "state", "loss", "accuracy", "skip connections", "time", "peak memory")
    rows = [
        (label, run.state, last(run, "loss"), last(run, "accuracy"), skips_now(run), duration(run.seconds), memory(run))
        for run, label in zip(runs, labels, strict=True)
    ]
    yield table(headings, rows, numbers=(2, 3, 5, 6), links=anchors)
    for group in _groups(runs):
        yield paragraph(_mean_skips(group))
    reported = [(label, row, value) for run, label in zip(runs, labels, strict=True) for row, value in paper_row(run).items()]
    if reported:
        yield heading("What the papers report")
        yield table(("run", "row", "reported"), reported)


def _groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Finished runs of the same search with different seeds, two at least."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.genotype is not None and run.epochs:
            data = (run.config.get("data") or {}).get("sha256")
            key: list[Any] = [run.config["method"], run.config["settings"], run.space.name, run.space.nodes, data]
            groups.setdefault(json.dumps(key, sort_keys=True), []).append(run)
    return [group for group in groups.values() if len(group) > 1]


def _mean_skips(runs: Sequence[Run]) -> str:
    """Over runs of the same search, as in eDARTS' Table II."""
    means = {kind: mean(run.skips()[kind][-1] or 0 for run in runs) for kind in runs[0].space.kinds}
    each = ", ".join(f"{kind} {value:.2f}" for kind, value in means.items())
    words = f"{runs[0].config['method']}: skip connections, mean of {len(runs)} runs: {each}, together {sum(means.values()):.2f}"
    parameters = mean_rows([run.genotype for run in runs if run.genotype is not None])["parameters"]
    return f"{words}; parameters of the network for CIFAR-10 {parameters.mean:.2f} ± {parameters.std:.2f} M"


def _curves(runs: Sequence[Run], labels: Sequence[str], album: Album) -> Iterator[Html]:
    """Loss and accuracy of all runs in one chart, and the figures of their cells, where they are known."""
    epochs = max(run.epochs for run in runs)
    if epochs == 0:
        return
    named = list(zip(labels, runs, strict=True))
    metrics = [Metric(key, {label: run.column(key) for label, run in named}) for key in ("loss", "accuracy")]
    metrics.append(Metric("multi-adds as nas_224, millions", {label: run.column("multi_adds") for label, run in named}))
    for kind in dict.fromkeys(kind for run in runs for kind in run.space.kinds):
        lines = {label: run.skips().get(kind, []) for label, run in named}
        metrics.append(Metric(f"skip connections, {kind} cell", lines, counts=True))
    shown = [metric for metric in metrics if any(value is not None for line in metric.lines.values() for value in line)]
    chart = charts.curves(shown, Timeline((Span("", 1, epochs),), ()))
    yield album.chart("runs", chart, "Metrics of every run, by epoch over all its stages.")


def _cells(runs: Sequence[Run], labels: Sequence[str], album: Album) -> Iterator[Html]:
    """The last cell of each run, kind by kind; runs of one space share a layout, and what all of them have is marked."""
    groups: dict[tuple[str, int], list[tuple[str, Genotype]]] = {}
    for run, label in zip(runs, labels, strict=True):
        if run.last_cell is not None:
            groups.setdefault((run.space.name, run.space.nodes), []).append((label, run.last_cell))
    groups = {space: cells for space, cells in groups.items() if len(cells) > 1}
    if groups:
        yield heading("Cells side by side", level=2)
    for (name, nodes), cells in groups.items():
        for kind in cells[0][1].cells:
            layout = SharedLayout([cell.cells[kind] for _, cell in cells])
            common = set.intersection(*({*frame.items()} for frame in layout.frames))
            pictures = {label: layout.svg(i, f"{label}: {kind} cell", bold=common) for i, (label, _) in enumerate(cells)}
            share = f"{len(common)} of {len(layout.slots)} edges that occur are in all {len(cells)} cells with the same operation"
            yield album.cells(f"cells-{name}-{nodes}-{kind}", pictures, f"{kind_title(kind)}: {share}; they have thick outlines.")


def _stability(runs: Sequence[Run]) -> Iterator[Html]:
    """Number of runs that kept each edge, for every search that has several finished runs."""
    for group in _groups(runs):
        margins = [run.margins for run in group if run.margins]
        if len(margins) < 2:
            continue
        rows = kept_counts(margins)
        most = max(row["node"] for row in rows)
        names = [node_name(group[0].space, i) for i in range(most)]
        yield heading("Stability", level=2)
        yield paragraph(f"{group[0].config['method']}: how often each edge was kept in {len(margins)} runs.")
        cells = [(row["kind"], str(row["node"]), *map(str, row["kept"]), *[""] * (most - row["node"])) for row in rows]
        yield table(("cell", "node", *(f"from {name}" for name in names)), cells, numbers=range(1, most + 2))
