"""Pareto front of searches, `nasarch pareto`: the best score for every budget of a cost, as table, genotypes and chart.

| file | holds |
|---|---|
| front.csv | a line a cell: run, score, score below the optimum, multi-adds, parameters, skip connections, predicted latency in ms, file |
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
from nasarch.latency.table import LatencyTable
from nasarch.search.derive.budget import SCALES, UNITS, Derived
from nasarch.search.derive.costs import Figures
from nasarch.search.runs.derive import Searched

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def write_fronts(runs: Sequence[Path], out: Path, *, cost: str, network: str | None, table: LatencyTable | None = None) -> None:
    """Write the fronts of the runs into the new folder `out` and print them; arguments and errors are those of `nasarch pareto`."""
    labels = [str(run) for run in runs]
    if len(set(labels)) < len(labels):
        raise ValueError("a run is named twice: name each once")
    searches = [Searched.load(run) for run in runs]
    fronts = [searched.derivation(network, table).front(cost) for searched in searches]
    with new_folder(out) as folder:
        rows = list[dict[str, Any]]()
        for r, (label, searched, front) in enumerate(zip(labels, searches, fronts, strict=True), 1):
            best = front[-1].score
            for n, one in enumerate(front, 1):
                facts = {"below the optimum": round(best - one.score, 6), **one.figures.facts()}
                searched.genotype(one, {"by": "nasarch pareto"} | facts).save(folder / f"run-{r}-{n}.json")
                rows.append({"run": label, "score": round(one.score, 6), **facts, "file": f"run-{r}-{n}.json"})
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([[*rows[0]], *(row.values() for row in rows)])
        write_text(folder / "front.csv", text.getvalue())
        save_png(folder / "front.png", _chart, dict(zip(labels, fronts, strict=True)), cost)
    print_rich(_table(rows))
    print_text(f"wrote {out}: front.csv, front.png, and {len(rows)} cells")


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Pareto front: the best cell for every budget", title_justify="left")
    latency = ["predicted ms"] if "predicted_latency_ms" in rows[0] else []
    for heading in ("run", "multi-adds, M", "parameters, M", "skips", *latency, "score below the optimum", "file"):
        table.add_column(heading, justify="left" if heading in ("run", "file") else "right")
    for row in rows:
        costs = f"{row['multi_adds'] / 1e6:.1f}", f"{row['parameters'] / 1e6:.2f}", str(row["skips"])
        milliseconds = [f"{row['predicted_latency_ms']:.3f}"] if latency else []
        table.add_row(row["run"], *costs, *milliseconds, f"{row['below the optimum']:.6f}", row["file"])
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
