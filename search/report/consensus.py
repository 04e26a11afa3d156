"""Consensus section of a report: its cell, and how the agreement of two disjoint halves of the runs grows with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nasarch.cells.genotype import Genotype
from nasarch.drawing.draw import INK, WIRE
from nasarch.drawing.png import render_png
from nasarch.runtime.json_files import read_json, reading, typed_keys
from nasarch.search.runs.consensus import Agreement

from .html import Album, Html, heading, paragraph, table
from .panels import FONT, SINGLE, SMALL, Sheet, cycle_pen
from .sections import picture

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
        yield album.picture(name, picture(cell), f"{cell.name}, the consensus of the runs")
        if len(rows) > 1:
            yield album.picture(f"{name}-agreement", render_png(agreement, rows), WORDS)
        headings = ("runs in a half", "edges", "edges with operations", "edges by chance")
        yield table(headings, [(str(n), *(f"{share:.1%}" for share in shares)) for n, *shares in rows], numbers=range(4))


def agreement(rows: Sequence[Agreement]) -> Figure:
    """Shares of edges, and of edges with their operations, by the number of runs in a half; and the share of edges by chance."""
    sheet, runs = Sheet(1, 1, width=SINGLE, height=1.75, top=0.5), [row.runs for row in rows]
    axes, names = sheet.axes(0, 0), ("edges", "edges with operations", "edges by chance")
    for rank, shares in enumerate(zip(*(row[1:] for row in rows), strict=True)):
        pen = cycle_pen(rank)._replace(width=3.2) if rank == 0 else cycle_pen(rank)  # shows below another of the same values
        axes.plot(runs, shares, color=pen.colour, linestyle=pen.dashes, linewidth=pen.width, marker="o", markersize=2.5)
    axes.set_xscale("log", base=2)
    axes.set_xticks(runs, [str(n) for n in runs])
    axes.minorticks_off()
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("shared", fontsize=FONT, color=INK)
    axes.set_xlabel("runs in a half", fontsize=SMALL, color=WIRE, labelpad=1)
    sheet.legend([(name, cycle_pen(rank)) for rank, name in enumerate(names)], columns=3, top=0.04)
    return sheet.figure
