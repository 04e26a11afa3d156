"""The accuracy of all topologies as a map (eDARTS, Fig. 3): from values to a picture. Knows no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nasarch.atomic import atomic_path
from nasarch.drawing.draw import INK
from nasarch.search.report.charts import png

COLOURS = "viridis"


def accuracy_map(accuracies: Mapping[str, float], path: Path) -> None:
    """Write the map of the accuracies in percent by path: what the last node reads to the right, what the others read downwards.

    Frames mark the best and the worst path.

    Raises:
        ValueError: the file can't be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(_figure, accuracies))


def _figure(accuracies: Mapping[str, float]):  # type: ignore[no-untyped-def]
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
    image = axes.imshow(table, cmap=COLOURS, aspect="auto", vmin=low, vmax=high)
    for (row, column), value in values.items():
        dark = value < low + 0.6 * (high - low)
        axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=6.5, color="white" if dark else "black")
    for wanted, ink, style in ((high, "black", "solid"), (low, "white", (0, (2, 1)))):
        row, column = next(place for place, value in values.items() if value == wanted)
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=ink, linewidth=2.2, linestyle=style))
    axes.set_xticks(range(len(columns)), columns, fontsize=7, color=INK)
    axes.set_yticks(range(len(rows)), rows, fontsize=7, color=INK, family="monospace")
    axes.set_xlabel("what the last node reads", fontsize=8, color=INK)
    axes.set_ylabel("what the nodes before it read", fontsize=8, color=INK)
    title = f"accuracy of {len(accuracies)} topologies with one seed, %: best framed, worst dashed"
    axes.set_title(title, fontsize=8.5, color=INK, loc="left")
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02).ax.tick_params(labelsize=7)
    return figure
