"""Summary of a run in text and figures: each is a function from the run to text, empty where it says nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nasarch.cells.genotype import Genotype
from nasarch.models.catalogue import cost_of, models_of
from nasarch.runtime.progress import duration
from nasarch.search.runs.reader import Run


def summary(run: Run) -> dict[str, str]:
    """Method, data, result and cost of a run."""
    config, cell = run.config, run.last_cell
    return {
        "method": str(config["method"]),
        "state": run.state,
        "seed": str(config["seed"]),
        "data": _data(config.get("data") or {}),
        "space": f"{run.space.name}, {run.space.nodes} inner nodes",
        "last epoch": f"loss {last(run, 'loss')}, accuracy {last(run, 'accuracy')}" if run.epochs else "",
        "skip connections": skips_now(run),
        **(_cell_costs(cell) if cell else {}),
        "time": duration(run.seconds),
        "peak memory": memory(run),
        "device": str(config.get("device", "")),
        **{f"paper, {row}": reported for row, reported in paper_row(run).items()},
    }


def paper_row(run: Run) -> dict[str, str]:
    """Results that the paper reports for the settings of this run, by its row there; empty for settings of one's own."""
    preset = run.config.get("preset")
    if not isinstance(preset, Mapping):
        return {}
    return {f"{preset.get('row', '')} (preset {preset.get('name', 'unnamed')})": str(preset.get("reported", ""))}


def _data(data: Mapping[str, Any]) -> str:
    size = data.get("size") or ()
    parts = [str(data.get("name", "")), f"{data['images']:,} training images" if isinstance(data.get("images"), int) else ""]
    parts += [f"{' x '.join(map(str, size))} pixels" if size else "", str(data.get("source", ""))]
    return ", ".join(part for part in parts if part)


def _cell_costs(genotype: Genotype) -> dict[str, str]:
    """Parameters and multi-adds of the papers' networks of this cell, by the model's name."""
    costs = {}
    for model in models_of(genotype):
        cost, network = cost_of(model), model.network
        size = f"{network.cells} cells, {network.channels} channels, {network.size} x {network.size} pixels"
        costs[f"as {model.name}"] = f"{cost.parameters / 1e6:.2f} M parameters, {cost.multi_adds / 1e6:.0f} M multi-adds ({size})"
    return costs


def last(run: Run, key: str) -> str:
    """A figure of the last epoch."""
    return figure(run.column(key)[-1]) if run.epochs else ""


def skips_now(run: Run) -> str:
    """Skip connections of the last cell, for each cell kind."""
    counts = {kind: line[-1] for kind, line in run.skips().items() if line and line[-1] is not None}
    return ", ".join(f"{kind} {figure(count)}" for kind, count in counts.items())


def memory(run: Run) -> str:
    """The peak over all epochs."""
    values = [value for value in run.column("memory") if value is not None]
    return f"{max(values):,.0f} MB" if values else ""


def figure(value: object) -> str:
    """A number in four digits, other things as they are."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)


def setting(value: object) -> str:
    """A setting as a person writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(setting, value)) if isinstance(value, (list, tuple)) else str(value)
