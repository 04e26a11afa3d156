"""NATS-Bench lookup: accuracy of a cell of its topology space, in a table that the user has. Knows no search."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nasarch.cells.genotype import Genotype

COLUMNS = ("arch", "c10", "c100", "in16")


class Known(NamedTuple):
    """Mean test accuracies, %, of a cell after 200 epochs: CIFAR-10, CIFAR-100, ImageNet16-120."""

    arch: str
    c10: float
    c100: float
    in16: float

    def line(self) -> str:
        """For people to read."""
        return (
            f"{self.arch} in the table: {self.c10:.2f} % on CIFAR-10, {self.c100:.2f} % on CIFAR-100, {self.in16:.2f} % on ImageNet16-120"
        )


def lookup(cells: Genotype, table: Path) -> Known:
    """The row of `table` (CSV with the columns arch, c10, c100, in16) for a cell of the NATS-Bench space.

    Raises:
        ValueError: the table can't be read, misses a column, or has no such cell.
    """
    arch = cells.to_nats()
    for row in _rows(table):
        if "".join(row["arch"].split()) == arch:
            try:
                return Known(arch, *(_accuracy(row[column]) for column in COLUMNS[1:]))
            except ValueError as error:
                raise ValueError(f"--nats-table {table}, cell {arch}: {error}; mend that row") from error
    raise ValueError(f"--nats-table {table} has no cell {arch}: it is not the table of the whole topology space")


def _accuracy(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise ValueError(f"{text} is no accuracy in %")
    return value


def check_table(table: Path) -> None:
    """Raise ValueError if `table` can't be read or misses a column, before a search rather than after it."""
    next(_rows(table), None)


def _rows(table: Path) -> Iterator[dict[str, str]]:
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                if missing := [column for column in COLUMNS if row.get(column) is None]:
                    raise ValueError(f"--nats-table {table} has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "no CSV"
        raise ValueError(f"can't read --nats-table {table}: {reason}; give the path of a CSV with {', '.join(COLUMNS)}") from error
