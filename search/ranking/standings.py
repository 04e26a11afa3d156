"""Standings of candidates: accuracies by seed, mean and standard deviation. The significance test is in significance.py."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .tournament import Line


class Standing(NamedTuple):
    """A candidate: its accuracies in percent by seed, their mean, and the standard deviation (n - 1; None for one seed)."""

    name: str
    accuracies: Mapping[int, float]
    parameters: int

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies.values())

    @property
    def std(self) -> float | None:
        return statistics.stdev(self.accuracies.values()) if len(self.accuracies) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        std = None if self.std is None else round(self.std, 4)
        by_seed = {str(seed): value for seed, value in sorted(self.accuracies.items())}
        return {"name": self.name, "mean": round(self.mean, 4), "std": std, "accuracies": by_seed, "parameters": self.parameters}

    def text(self) -> str:
        """Mean +- standard deviation."""
        return f"{self.mean:.2f}" + ("" if self.std is None else f" +- {self.std:.2f}")


def standings(lines: Sequence[Line]) -> list[Standing]:
    """Standings of the candidates of these lines, the best mean first; equal ones in the order of the lines."""
    table: dict[str, Standing] = {}
    for line in lines:
        known = table.get(line["name"]) or Standing(line["name"], {}, line["parameters"])
        table[line["name"]] = known._replace(accuracies={**known.accuracies, line["seed"]: line["accuracy"]})
    return sorted(table.values(), key=lambda standing: -standing.mean)


def markdown(ranked: Sequence[Standing], heading: str) -> str:
    """The table for documents."""
    rows = [f"| {heading} | accuracy, % | seeds | parameters |", "|---|---:|---:|---:|"]
    rows += [f"| {one.name} | {one.text()} | {len(one.accuracies)} | {one.parameters:,} |" for one in ranked]
    return "\n".join(rows) + "\n"
