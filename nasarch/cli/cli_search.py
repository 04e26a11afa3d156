"""The commands around `nasarch search`: what can be searched and what it costs, what to do with data and runs, and training.

What they do lies in nasarch.search, which is imported when one of them is run. Those whose arguments are told there, too, are named here
with a summary, and return the command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import tyro

from nasarch.console import print_json, print_rich

Command = Callable[..., None]
Method = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")]


def presets(method: Method = "*", *, json: bool = False) -> None:
    """List the presets of searches: the rows of the papers' tables, and what the papers report for them.

    Args:
        method: only methods that match, with * and ?; quote it.
        json: print JSON with all settings.
    """
    from nasarch.search.recipes.command import NOTE, entries, table

    found = entries(method)
    if json:
        print_json([entry.to_dict() for entry in found])
    else:
        print_rich(table(found))
        print("", NOTE, sep="\n")


def cost(*, kernel: int = 5, channels: int = 512, nodes: int = 7, operations: int = 8, size: int = 32, json: bool = False) -> None:
    """Count operations, parameters and FLOPs of DARTS and FTSO by the formulas of FTSO's Theorems 1 and 2.

    Args:
        kernel: of every operation, which the theorems take for a plain convolution with bias.
        channels: of every map; the papers' searches have 16 to 64.
        nodes: of a cell, the two inputs and the output among them.
        operations: candidates on each edge.
        size: height and width of every map; the ratios are the same for all.
        json: print JSON with the exact figures.
    """
    from nasarch.search.recipes.cost_theorems import costs, table

    found = costs(kernel=kernel, channels=channels, nodes=nodes, operations=operations, size=size)
    if json:
        print_json(found.to_dict())
    else:
        print_rich(table(found))
        print("", "one cell, by FTSO's Theorems 1 and 2, for which every operation of DARTS is a plain convolution; not measured", sep="\n")


def split(arguments: Sequence[str] = ()) -> Command:
    """Split training images by class at random into parts of given fractions, and write lists of their names."""
    from .split import split

    return split


def report(arguments: Sequence[str] = ()) -> Command:
    """Write a page on searches: settings, curves, weights over time, cells, margins, stability, cost."""
    from nasarch.search.report.report import report

    return report


def gather(arguments: Sequence[str] = ()) -> Command:
    """Bring together runs of the same search with other seeds: stability, and the cell of the mean weights."""
    from nasarch.search.runs.gather import gather

    return gather


def train(arguments: Sequence[str] = ()) -> Command:
    """Train a model or the network of a genotype by a paper's recipe, and test it."""
    from nasarch.search.training.command import command

    return command(arguments)
