"""Charts of rankings: accuracy map of all topologies (eDARTS, Fig. 3), accuracy over importance of pairs of edges (DOTS, Fig. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasarch.drawing.draw import INK, WIRE
from nasarch.drawing.png import save_png

COLOUR_MAP = "viridis"
POINT_COLOUR = "#0072b2"


def accuracy_map(accuracies: Mapping[str, float], path: Path) -> None:
    """Write the map of the accuracies in percent by path: what the last node reads to the right, what the others read downwards.

    Frames mark the best and the worst path.

    Raises:
        ValueError: the file can't be written.
    """
    save_png(path, _accuracy_map, accuracies)


def _accuracy_map(accuracies: Mapping[str, float]):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    split = {name: name.rpartition("-") for name in accuracies}
    rows = sorted({head for head, _, _ in split.values()})
    columns = sorted({tail for _, _, tail in split.values()})
    values = {(rows.index(head), columns.index(tail)): accuracies[name] for name, (head, _, tail) in split.items()}
    low, high = min(values.values()), max(values.values())

    figure = Figure(figsize=(1.9 + 0.55 * len(columns), 1.3 + 0.27 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    table = [[values[row, column] for column in range(len(columns))] for row in range(len(rows))]
    image = axes.imshow(table, cmap=COLOUR_MAP, aspect="auto", vmin=low, vmax=high)
    for (row, column), value in values.items():
        dark = value < low + 0.6 * (high - low)
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6.5, color="white" if dark else "black")
    for extreme, ink, style in ((high, "black", "solid"), (low, "white", (0, (2, 1)))):
        row, column = next(position for position, value in values.items() if value == extreme)
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=ink, linewidth=2.2, linestyle=style))
    axes.set_xticks(range(len(columns)), columns, fontsize=7, color=INK)
    axes.set_yticks(range(len(rows)), rows, fontsize=7, color=INK, family="monospace")
    axes.set_xlabel("what the last node reads", fontsize=8, color=INK)
    axes.set_ylabel("what the nodes before it read", fontsize=8, color=INK)
    title = f"accuracy of {len(accuracies)} topologies with one seed, %: best framed, worst dashed"
    axes.set_title(title, fontsize=8.5, color=INK, loc="left")
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02).ax.tick_params(labelsize=7)
    return figure


def scatter(result: Mapping[str, Any], path: Path) -> None:
    """Write the picture of what pairs.json holds.

    Raises:
        ValueError: the file can't be written.
    """
    save_png(path, _scatter, result)


def _scatter(result: Mapping[str, Any]):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    rows = result["pairs"]
    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axes = figure.add_subplot()
    x, y = [row["importance"] for row in rows], [row["mean"] for row in rows]
    axes.errorbar(x, y, yerr=[row["std"] or 0.0 for row in rows], fmt="o", color=POINT_COLOUR, ecolor=WIRE, elinewidth=0.9, markersize=5)
    for row in rows:
        point = (row["importance"], row["mean"])
        axes.annotate(row["pair"], point, xytext=(5, 4), textcoords="offset points", fontsize=7.5, color=INK)
    axes.margins(x=0.08)
    axes.set_xlabel(f"importance: {result['measure']}", fontsize=8, color=INK)
    axes.set_ylabel("accuracy, %", fontsize=8, color=INK)
    axes.tick_params(labelsize=7.5)
    title = f"{result['method']}, {result['cell']} cell"
    title += "" if result["tau"] is None else f": Kendall's tau {result['tau']:.2f} (p = {result['p']:.2g})"
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    return figure
