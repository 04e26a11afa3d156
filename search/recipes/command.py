"""The commands `nasarch presets` and `nasarch cost`. Neither needs PyTorch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import tyro

from nasarch.console import print_json, print_rich
from nasarch.search.settings.preset import Preset
from nasarch.search.settings.presets import PRESETS

from .cost_theorems import costs
from .cost_theorems import table as cost_table

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("method", "preset", "data", "paper's row", "reported there")
NOTE = "reported there: the papers' own figures, of their networks and training; not measured here"
Pattern = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")]


def presets(method: Pattern = "*", *, json: bool = False) -> None:
    """List the presets of the searches: rows of the papers' tables, and the results that the papers report for them.

    Args:
        method: Pattern of methods, with * and ? (in quotes).
        json: Print JSON, with all settings.
    """
    matching = entries(method)
    if json:
        print_json([entry.to_dict() for entry in matching])
    else:
        print_rich(table(matching))
        print("", NOTE, sep="\n")


def cost(*, kernel: int = 5, channels: int = 512, nodes: int = 7, operations: int = 8, size: int = 32, json: bool = False) -> None:
    """Compute operations, parameters and FLOPs of DARTS and FTSO by the formulas of FTSO's Theorems 1 and 2.

    Args:
        kernel: Kernel size of every operation; the theorems take each for a plain convolution with bias.
        channels: Number of channels of every feature map (searches have 16 to 64).
        nodes: Number of nodes of a cell, including its two inputs and its output.
        operations: Number of candidate operations on each edge.
        size: Height and width of every feature map; the ratios don't depend on it.
        json: Print JSON, with exact numbers.
    """
    result = costs(kernel=kernel, channels=channels, nodes=nodes, operations=operations, size=size)
    if json:
        print_json(result.to_dict())
    else:
        print_rich(cost_table(result))
        print("", "one cell, by FTSO's Theorems 1 and 2, for which every operation of DARTS is a plain convolution; not measured", sep="\n")


class Entry(NamedTuple):
    """A preset under the names by which `nasarch search METHOD --preset NAME` takes it."""

    method: str
    name: str
    preset: Preset

    def to_dict(self) -> dict[str, Any]:
        """With its settings."""
        known = self.preset
        about = {"data": known.data, "space": known.space, "row": known.row, "reported": known.reported}
        return {"method": self.method, "preset": self.name, **about, "settings": asdict(known.settings())}


def entries(pattern: str) -> list[Entry]:
    """The presets of the methods that match.

    Raises:
        ValueError: no method does.
    """
    methods = [method for method in PRESETS if fnmatchcase(method, pattern)]
    if not methods:
        close = difflib.get_close_matches(pattern, PRESETS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(PRESETS)}"
        raise ValueError(f"no method matches {pattern!r}; {hint}")
    return [Entry(method, name, preset) for method in methods for name, preset in PRESETS[method].items()]


def table(entries: Iterable[Entry]) -> Table:
    """A row a preset; what a paper reports is folded in a narrow terminal, names are not."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0))
    for column in COLUMNS:
        table.add_column(column, no_wrap=column in COLUMNS[:3])
    for method, name, preset in entries:
        data = preset.data if preset.space == "darts" else f"{preset.data}, {preset.space}"
        table.add_row(method, name, data, preset.row, preset.reported)
    return table
