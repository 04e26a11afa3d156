"""A report as Markdown that a person reads. Knows no stage: results that share their figures become the rows of one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .driver import Report

HIDDEN = ("traceback", "genotype", "longest", "by_operation", "digest")  # for those who read the JSON
LONGEST = 160  # characters of a cell


def markdown(about: Mapping[str, Any], report: Report) -> str:
    """The machine, a line a stage, and each stage's results."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    told = [f"{key} {value}" for key, value in about.items() if key not in ("versions", "card", "date")]
    lines = [f"# {about['card']}, {about['date']}", "", f"{', '.join(told)}; {versions}", ""]
    lines += _rows(["stage", "status", "seconds", "of", "results", "with an error", "remark"], [_summary(*item) for item in report.items()])
    for name, row in report.items():
        if row["found"]:
            lines += ["", f"## {name}", "", *_results(row["found"])]
        if "log" in row and row["status"] != "ok":
            lines += ["", f"what `{name}` printed at last:", "", "```", *row["log"].splitlines()[-12:], "```"]
    return "\n".join(lines) + "\n"


def _summary(name: str, row: Mapping[str, Any]) -> list[Any]:
    found = row["found"].values()
    wrong = sum(isinstance(figures, Mapping) and "error" in figures for figures in found)
    remark = row.get("reason") or row.get("error") or row.get("ended") or ""
    return [name, row["status"], row["seconds"], row["limit"], len(found), wrong, remark]


def _results(found: Mapping[str, Any]) -> list[str]:
    """A table for each kind of results, which are those with the same figures; errors and remarks last."""
    kinds: dict[tuple[str, ...], list[list[Any]]] = {}
    for name, figures in found.items():
        shown = {key: value for key, value in figures.items() if key not in HIDDEN} if isinstance(figures, Mapping) else {"": figures}
        kinds.setdefault(tuple(shown), []).append([name, *shown.values()])
    lines: list[str] = []
    for heads, rows in sorted(kinds.items(), key=lambda item: "error" in item[0]):
        lines += ([""] if lines else []) + _rows(["", *heads], rows)
    return lines


def _rows(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [_row(heads), _row(["---"] * len(heads)), *map(_row, rows)]


def _row(values: Sequence[Any]) -> str:
    return f"| {' | '.join(map(_cell, values))} |"


def _cell(value: Any) -> str:
    text = _text(value).replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return f"{value:,.5g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)
