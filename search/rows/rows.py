"""The rows of all papers, by name."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase

from . import darts, dots, edarts, ftso, pc_darts
from .row import Row

ROWS: dict[str, Row] = {row.name: row for paper in (darts, pc_darts, ftso, dots, edarts) for row in paper.ROWS}


def find(name: str) -> Row:
    """The row of this name.

    Raises:
        ValueError: there is none; names the closest.
    """
    if name not in ROWS:
        close = difflib.get_close_matches(name, ROWS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else "`nasarch reproduce` lists them"
        raise ValueError(f"unknown row {name!r}; {hint}")
    return ROWS[name]


def matching(pattern: str) -> list[Row]:
    """The rows whose names match a pattern with * and ?, or lie below it: "pc-darts" and "pc-darts/table1" name several.

    Raises:
        ValueError: none does.
    """
    rows = [row for name, row in ROWS.items() if fnmatchcase(name, pattern) or name.startswith(pattern.rstrip("/") + "/")]
    return rows or [find(pattern)]
