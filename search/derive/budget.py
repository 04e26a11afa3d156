"""Derivation of cells within a budget: limits, the optimum within them, and what they cost against the optimum without."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from nasarch.cells.genotype import Cell, Genotype
from nasarch.cells.space import Space
from nasarch.latency.table import LatencyTable
from nasarch.models.zoo import Model
from nasarch.ranges import Positive, at_least, check_ranges
from nasarch.search.engine.scores import Scores

from .costs import MICROSECONDS, CostModel, Figures
from .front import front
from .groups import Group, cells_of, groups
from .program import solve

MILLION = 1e6
FLAGS = ("--max-macs", "--max-params", "--max-skips", "--max-latency-ms")
UNITS = ("M multi-adds", "M parameters", "skip connections in the normal cell", "ms predicted latency")
SCALES = (MILLION, MILLION, 1, MICROSECONDS)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits of a network: millions of multi-adds and of parameters, skip connections of its normal cell, milliseconds; None for none.

    Raises:
        ValueError: a limit out of its range.
    """

    max_macs: Positive | None = None
    max_params: Positive | None = None
    max_skips: Annotated[int, at_least(0)] | None = None
    max_latency_ms: Positive | None = None  # predicted

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)

    @property
    def limits(self) -> list[float]:
        """The limits in the units of `Figures`, infinite where there is none."""
        return [
            math.inf if limit is None else float(round(limit * scale)) for limit, scale in zip(vars(self).values(), SCALES, strict=True)
        ]


class Derived(NamedTuple):
    """Cells of a derivation, their score (`nasarch.search.engine.scores`), the network's figures and, if measured, latency."""

    cells: Mapping[str, Cell]
    score: float
    figures: Figures
    measured_ms: float | None = None


@dataclass(frozen=True)
class Derivation:
    """All cells that a search's weights can give, with their scores and the figures of one network."""

    space: Space
    model: Model
    groups: Sequence[Group]
    fixed: Figures

    @classmethod
    def of(cls, space: Space, scores: Scores, model: Model, own: Genotype | None = None, table: LatencyTable | None = None) -> Derivation:
        """Of the scores of a method, with latencies of `table`; the search's `own` cell wins among equal ones."""
        costs = CostModel.of(space, model, table)
        return cls(space, model, groups(space, scores, costs, own), costs.fixed)

    def within(self, budget: Budget, best: int = 1) -> list[Derived]:
        """The cells of the greatest scores within the budget, `best` of them unless there are fewer.

        Raises:
            ValueError: no cell is within the budget: names the smallest figure that is.
        """
        limits = [limit - fixed for limit, fixed in zip(budget.limits, self.fixed, strict=True)]
        bounded = [c for c, limit in enumerate(limits) if limit < math.inf]
        self._check_feasible(budget, limits, bounded)
        if len(bounded) < 2:
            cost = bounded[0] if bounded else None
            cells = [one for one in front(self.groups, cost, best) if cost is None or one.cost <= limits[cost]]
            return [self._derived(one.chosen) for one in sorted(cells, key=lambda one: -one.score)[:best]]
        free = self.within(Budget())
        if best == 1 and all(figure <= limit for figure, limit in zip(free[0].figures, budget.limits, strict=True)):
            return free
        return [self._derived(chosen) for chosen in solve(self.groups, limits, best=best)]

    def front(self, cost: str = "multi_adds") -> list[Derived]:
        """The Pareto front of score and one of the figures: the best cells for every budget, by cost."""
        return [self._derived(one.chosen) for one in front(self.groups, Figures._fields.index(cost))]

    def _derived(self, chosen: Sequence[int]) -> Derived:
        pairs = [*zip(self.groups, chosen, strict=True)]
        figures = Figures(*(fixed + sum(int(group.costs[i, c]) for group, i in pairs) for c, fixed in enumerate(self.fixed)))
        return Derived(cells_of(self.space, pairs), float(sum(group.scores[i] for group, i in pairs)), figures)

    def _check_feasible(self, budget: Budget, limits: Sequence[float], bounded: Sequence[int]) -> None:
        least = [fixed + sum(int(group.costs[:, c].min()) for group in self.groups) for c, fixed in enumerate(self.fixed)]
        for c in bounded:
            if least[c] > budget.limits[c]:
                raise ValueError(self._too_small(budget, c, least[c], ""))
        if len(bounded) > 1 and not solve(self.groups, limits):
            c, *others = bounded
            alone = [math.inf if i == c else limit for i, limit in enumerate(limits)]
            (chosen,) = solve(self.groups, alone, minimize=c) or [()]
            if not chosen:
                raise ValueError(f"no cell keeps {' and '.join(FLAGS[i] for i in others)} together: raise one of them")
            with_others = " with " + " and ".join(f"{FLAGS[i]} {[*vars(budget).values()][i]:g}" for i in others)
            raise ValueError(self._too_small(budget, c, self._derived(chosen).figures[c], with_others))

    def _too_small(self, budget: Budget, c: int, least: int, condition: str) -> str:
        limit, shown = [*vars(budget).values()][c], f"{math.ceil(100 * least / SCALES[c]) / 100:g}"
        smaller = "" if c == 2 else ", or give a smaller --network"
        return (
            f"{FLAGS[c]} {limit:g}: the smallest {self.model.name} of this search{condition} has {shown} {UNITS[c]}; allow as many{smaller}"
        )
