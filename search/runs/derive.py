"""Cells of a finished search within a budget: `nasarch derive` (exact, search/derive/), also at the end of a search with `--max-macs`.

| file | holds |
|---|---|
| genotype.json, cell.png | the cell of the greatest score within the budget, with its provenance |
| cell-1.json, cell-2.json, ... | with `--best K`: the K best cells, for `nasarch select` |
| derivation.json | network, budget, score and figures of the cells and of the optimum without a budget; measured latencies |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasarch.atomic import new_folder, write_text
from nasarch.cells.genotype import Genotype
from nasarch.cells.space import Space
from nasarch.console import command_line
from nasarch.drawing.draw import draw
from nasarch.latency.table import LatencyTable
from nasarch.models.zoo import network_of
from nasarch.runtime.json_files import CONFIG, check_types, reading
from nasarch.runtime.run_folder import as_json
from nasarch.search.derive.budget import UNITS, Budget, Derivation, Derived
from nasarch.search.derive.costs import MICROSECONDS
from nasarch.search.derive.measured import MeasureCells, within_measured
from nasarch.search.engine.result import ArchitectureWeights
from nasarch.search.recipes.methods import Method, titled
from nasarch.search.settings.fields import from_dict

from .consensus import mean
from .reader import GIVE, find_runs

DIGITS = 6  # of a score in a file: weights have seven


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A finished search, from whose weights cells are derived.

    `cells` is its own cell, None of several seeds; name and provenance of what is derived are those of `like`.
    """

    method: Method
    settings: Any
    space: Space
    weights: ArchitectureWeights
    like: Genotype
    cells: Genotype | None = None

    @classmethod
    def load(cls, folder: Path) -> Searched:
        """The search in `folder`; of several seeds the mean of their weights.

        Raises:
            ValueError: there is no finished search there: says what to give.
        """
        runs = find_runs([folder])
        for run in runs:
            if run.genotype is None or run.architecture_weights is None:
                raise ValueError(f"{run.folder} holds no finished search with weights.json: finish it with --resume, or {GIVE}")
        first = runs[0]
        with reading(first.folder / CONFIG, GIVE):
            method = titled(first.config["method"])
            settings: Any = check_types(from_dict(method.settings, first.config["settings"]))
        tables = [run.architecture_weights for run in runs if run.architecture_weights is not None]
        assert first.genotype is not None
        if len(runs) == 1:
            return cls(method=method, settings=settings, space=first.space, weights=tables[0], like=first.genotype, cells=first.genotype)
        return cls(method=method, settings=settings, space=first.space, weights=mean(tables), like=first.genotype)

    def derivation(self, network: str | None = None, table: LatencyTable | None = None) -> Derivation:
        """All cells that the weights can give, with the figures of a network (`network_of`), and latencies of `table`."""
        scores = self.method.scores(self.space, self.settings, self.weights)
        return Derivation.of(self.space, scores, network_of(self.space, network), self.cells, table)

    def genotype(self, derived: Derived, how: dict[str, Any]) -> Genotype:
        """The cells of a derivation, with the search's provenance and `how` they were derived."""
        about = self.like.to_dict()["provenance"]
        return Genotype(self.like.name, self.space.name, derived.cells, about | {"source": about.get("source", {}) | {"derivation": how}})


def derive(
    searched: Searched,
    budget: Budget,
    out: Path,
    *,
    network: str | None = None,
    best: int = 1,
    replace: bool = False,
    table: LatencyTable | None = None,
    measure: MeasureCells | None = None,
) -> list[Derived]:
    """Write the best cells within the budget to the folder `out`, a new one unless `replace`; returns the optimum without one and them.

    Args:
        table: latencies, which `budget.max_latency_ms` needs.
        measure: measures networks as a whole (`within_measured`); without it the limit is one of the predicted latency alone.

    Raises:
        ValueError: no cell is within the budget (names the smallest figure), the table is of another network, or the folder can't be
            written.
    """
    derivation = searched.derivation(network, table)
    if budget.max_latency_ms is not None and measure is not None:
        free, *cells = within_measured(derivation, budget, best, measure)
    else:
        cells, (free,) = derivation.within(budget, best), derivation.within(Budget())
    shared = {
        "by": "nasarch derive",
        "network": derivation.model.name,
        "budget": {name: limit for name, limit in asdict(budget).items() if name != "max_latency_ms" or limit is not None},
        **({} if table is None else {"latency": table.conditions}),
        "optimum without budget": _facts(free, free),
    }
    with new_folder(out, replace=replace) as folder:
        for i, one in enumerate(cells):
            genotype = searched.genotype(one, shared | _facts(one, free))
            for name in ["genotype.json"] * (i == 0) + [f"cell-{i + 1}.json"] * (best > 1):
                genotype.save(folder / name)
            if i == 0:
                draw(genotype, folder / "cell.png")
        write_text(folder / "derivation.json", as_json(shared | {"cells": [_facts(one, free) for one in cells]}))
    return [free, *cells]


def _facts(one: Derived, free: Derived) -> dict[str, Any]:
    return {"score": round(one.score, DIGITS), "below the optimum": round(free.score - one.score, DIGITS)} | figure_facts(one)


def figure_facts(one: Derived) -> dict[str, Any]:
    """The figures by name, for a file, with the measured latency if there is one."""
    return one.figures.facts() | ({} if one.measured_ms is None else {"measured_latency_ms": round(one.measured_ms, 4)})


def figures(one: Derived) -> str:
    """Multi-adds, parameters, skip connections and latency in words."""
    macs, params, skips, latency = one.figures
    words = f"{macs / 1e6:.1f} {UNITS[0]}, {params / 1e6:.2f} {UNITS[1]}, {skips} {UNITS[2]}"
    words += f", {latency / MICROSECONDS:.3g} {UNITS[3]}" if latency else ""
    return words if one.measured_ms is None else f"{words}, {one.measured_ms:.3g} ms measured"


def summary(derived: list[Derived], out: Path) -> Iterator[str]:
    """Lines on what `derive` wrote."""
    free, *cells = derived
    yield f"optimum without budget: {figures(free)}; score {free.score:.6f}"
    for i, one in enumerate(cells):
        path = out / (f"cell-{i + 1}.json" if len(cells) > 1 else "genotype.json")
        yield f"{path}: {figures(one)}; score {one.score:.6f}, {free.score - one.score:.6f} below the optimum"
    if len(cells) > 1:
        yield f"choose: {command_line('select', *(out / f'cell-{i + 1}.json' for i in range(len(cells))))}"
