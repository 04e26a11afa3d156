"""The presets for people: which there are, as rows, as a table and as JSON."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from .methods import PRESETS
from .preset import Preset

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("method", "preset", "data", "paper's row", "reported there")
NOTE = "reported there: the papers' own figures, of their networks and training; not measured here"


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
