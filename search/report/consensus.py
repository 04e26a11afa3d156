"""Consensus section of a report: its cell, and how the agreement of two disjoint halves of the runs grows with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nasarch.cells.genotype import Genotype
from nasarch.runtime.json_files import read_json, reading, typed_keys
from nasarch.search.runs.consensus import Agreement
from nasarch.search.runs.history import Span, Timeline

from .charts import WIDE, Chart
from .html import Album, Html, heading, paragraph, table
from .panels import Axes, cycle_pen
from .sections import cell_pictures

WORDS = "What the cells of two disjoint halves of the runs share, where a node has a choice, by the number of runs in a half."


GATHER = "`nasarch gather` on the runs writes it again"


def consensus_section(folders: Sequence[Path], album: Album) -> Iterator[Html]:
    """Section on every folder that holds a consensus.

    Raises:
        ValueError: its files are damaged.
    """
    results = [folder / "consensus" for folder in folders if (folder / "consensus" / "genotype.json").is_file()]
    for number, result in enumerate(results, 1):
        name = "consensus" if len(results) == 1 else f"consensus-{number}"
        cell, path = Genotype.load(result / "genotype.json"), result / "agreement.json"
        lines = read_json(path, GATHER)
        with reading(path, GATHER):
            rows = [Agreement(**typed_keys(line, runs=int, edges=float, operations=float, chance=float)) for line in lines]
        yield heading("Consensus", level=2)
        yield paragraph(f"The cell that the mean weights of the runs give ({result}).")
        yield album.cells(name, cell_pictures(cell), f"{cell.name}, the consensus of the runs")
        if len(rows) > 1:
            yield album.chart(f"{name}-agreement", agreement(rows), WORDS)
        headings = ("runs in a half", "edges", "edges with operations", "edges by chance")
        yield table(headings, [(str(n), *(f"{share:.1%}" for share in shares)) for n, *shares in rows], numbers=range(4))


def agreement(rows: Sequence[Agreement]) -> Chart:
    """Shares of edges, and of edges with their operations, by the number of runs in a half; and the share of edges by chance."""
    names, runs = ("edges", "edges with operations", "edges by chance"), [str(row.runs) for row in rows]
    axes = Axes(WIDE, Timeline((Span("", 1, len(rows)),), ()), (0.0, 1.02), unit="runs in a half:", labels=runs)
    axes.time(names=False)
    axes.values()
    lines = list(zip(names, zip(*(row[1:] for row in rows), strict=True), strict=True))
    for rank, (name, line) in enumerate(lines):
        axes.line(
            name, line, cycle_pen(rank)._replace(width=4.0) if rank == 0 else cycle_pen(rank)
        )  # is seen below another of the same values
    panel = axes.panel("shared, by runs in a half", "; ".join(f"{name} from {line[0]:.1%} to {line[-1]:.1%}" for name, line in lines))
    return Chart("", (panel,), tuple((name, cycle_pen(rank)) for rank, name in enumerate(names)))
