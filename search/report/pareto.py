"""Pareto front of searches, `nasarch pareto`: the best score for every number of multi-adds or parameters, as table, genotypes and chart.

| file | holds |
|---|---|
| front.csv | a line a cell: run, score, score below the optimum, multi-adds, parameters, skip connections, file |
| front.png | score below the optimum over the cost, a line a run |
| RUN-N.json | the cells, by cost |
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from nasarch.atomic import new_folder, write_text
from nasarch.console import print_rich, print_text
from nasarch.drawing.draw import INK
from nasarch.drawing.png import save_png
from nasarch.search.derive.budget import SCALES, UNITS, Derived
from nasarch.search.derive.costs import Figures
from nasarch.search.runs.derive import Searched

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
COLUMNS = ("run", "score", "below the optimum", *Figures._fields, "file")


def write_fronts(runs: Sequence[Path], out: Path, *, cost: str, network: str | None) -> None:
    """Write the fronts of the runs into the new folder `out` and print them; arguments and errors are those of `nasarch pareto`."""
    labels = [str(run) for run in runs]
    if len(set(labels)) < len(labels):
        raise ValueError("a run is named twice: name each once")
    searches = [Searched.load(run) for run in runs]
    fronts = [searched.derivation(network).front(cost) for searched in searches]
    with new_folder(out) as folder:
        rows = list[list[Any]]()
        for r, (label, searched, front) in enumerate(zip(labels, searches, fronts, strict=True), 1):
            best = front[-1].score
            for n, one in enumerate(front, 1):
                how = {"by": "nasarch pareto", "below the optimum": round(best - one.score, 6), **one.figures._asdict()}
                searched.genotype(one, how).save(folder / f"run-{r}-{n}.json")
                rows.append([label, round(one.score, 6), round(best - one.score, 6), *one.figures, f"run-{r}-{n}.json"])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
        write_text(folder / "front.csv", text.getvalue())
        save_png(folder / "front.png", _chart, dict(zip(labels, fronts, strict=True)), cost)
    print_rich(_table(rows))
    print_text(f"wrote {out}: front.csv, front.png, and {len(rows)} cells")


def _table(rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(title="Pareto front: the best cell for every budget", title_justify="left")
    for heading in ("run", "multi-adds, M", "parameters, M", "skips", "score below the optimum", "file"):
        table.add_column(heading, justify="left" if heading in ("run", "file") else "right")
    for run, _, below, macs, params, skips, file in rows:
        table.add_row(run, f"{macs / 1e6:.1f}", f"{params / 1e6:.2f}", str(skips), f"{below:.6f}", file)
    return table


def _chart(fronts: Mapping[str, Sequence[Derived]], cost: str):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    column = Figures._fields.index(cost)
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for i, (label, front) in enumerate(fronts.items()):
        x = [one.figures[column] / SCALES[column] for one in front]
        y = [one.score - front[-1].score for one in front]
        axes.step(x, y, where="post", color=COLOURS[i % len(COLOURS)], linewidth=1.1, label=label)
        axes.plot(x, y, "o", color=COLOURS[i % len(COLOURS)], markersize=3)
    axes.set_xlabel(UNITS[column], fontsize=8, color=INK)
    axes.set_ylabel("log score, relative to the optimum", fontsize=8, color=INK)
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.tick_params(labelsize=7.5)
    axes.legend(fontsize=7.5, frameon=False)
    return figure
