"""Accuracy over importance of the pairs of edges (DOTS, Fig. 1): from values to a picture. Knows no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasarch.atomic import atomic_path
from nasarch.drawing.draw import INK, WIRE
from nasarch.search.report.charts import png

COLOUR = "#0072b2"


def scatter(found: Mapping[str, Any], path: Path) -> None:
    """Write the picture of what pairs.json holds.

    Raises:
        ValueError: the file can't be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(_figure, found))


def _figure(found: Mapping[str, Any]):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    rows = found["pairs"]
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.add_subplot()
    x, y = [row["importance"] for row in rows], [row["mean"] for row in rows]
    axes.errorbar(x, y, yerr=[row["std"] or 0.0 for row in rows], fmt="o", color=COLOUR, ecolor=WIRE, elinewidth=0.9, markersize=5)
    for row in rows:
        place = (row["importance"], row["mean"])
        axes.annotate(row["pair"], place, xytext=(5, 4), textcoords="offset points", fontsize=7.5, color=INK)
    axes.margins(x=0.08)
    axes.set_xlabel(f"importance: {found['measure']}", fontsize=8, color=INK)
    axes.set_ylabel("accuracy, %", fontsize=8, color=INK)
    axes.tick_params(labelsize=7.5)
    title = f"{found['method']}, {found['cell']} cell"
    title += "" if found["tau"] is None else f": Kendall's tau {found['tau']:.2f} (p = {found['p']:.2g})"
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    return figure
