"""Mixed-integer linear program of a cell under several budgets: one binary variable for each alternative (scipy's HiGHS).

maximize score @ x   subject to   sum of x over each group = 1,   costs @ x <= limits,   x binary
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from .groups import Group


def solve(groups: Sequence[Group], limits: Sequence[float], *, best: int = 1, minimize: int | None = None) -> list[tuple[int, ...]]:
    """The alternatives of each group with the greatest score within the limits of all costs, and the next best; fewer if there are no more.

    Args:
        groups: The alternatives.
        limits: Limit of each cost, infinite where there is none.
        best: Number of solutions; one after the other is excluded and the program solved again.
        minimize: The cost that is minimized in place of the score.
    """
    columns = [_undominated(group, best) for group in groups]
    scores = np.concatenate([group.scores[kept] for group, kept in zip(groups, columns, strict=True)])
    costs = np.concatenate([group.costs[kept] for group, kept in zip(groups, columns, strict=True)]).T.astype(float)
    starts = np.cumsum([0, *map(len, columns)])
    member = np.repeat(np.arange(len(groups)), [*map(len, columns)])
    one_each = csr_array((np.ones(len(member)), (member, np.arange(len(member)))))
    constraints = [LinearConstraint(one_each, 1, 1)]
    scale = np.maximum(costs.max(1, initial=1), 1)  # the solver's tolerance is absolute
    bounded = [c for c, limit in enumerate(limits) if np.isfinite(limit)]
    if bounded:
        constraints.append(LinearConstraint(costs[bounded] / scale[bounded, None], -np.inf, np.array(limits)[bounded] / scale[bounded]))
    objective = -scores if minimize is None else costs[minimize] / scale[minimize]
    solutions: list[tuple[int, ...]] = []
    while len(solutions) < best:
        result = milp(objective, integrality=1, bounds=Bounds(0, 1), constraints=constraints, options={"mip_rel_gap": 0})
        if result.x is None:
            break
        chosen = np.flatnonzero(result.x > 0.5)
        solutions.append(tuple(int(columns[g][i - starts[g]]) for g, i in enumerate(chosen)))
        excluded = csr_array((np.ones(len(chosen)), (np.zeros(len(chosen), dtype=int), chosen)), shape=(1, len(member)))
        constraints.append(LinearConstraint(excluded, -np.inf, len(groups) - 1))
    return solutions


def _undominated(group: Group, best: int) -> NDArray[np.intp]:
    """Alternatives that fewer than `best` others of the group, in all costs and the score at least as good, dominate."""
    values = np.column_stack([group.scores, -group.costs])
    no_worse = (values[:, None] >= values).all(2)  # [i, j]: i dominates j, or equals it
    equal_before = no_worse & no_worse.T & ~np.tri(len(values), dtype=bool).T
    dominates = (no_worse & ~no_worse.T) | equal_before.T
    return np.flatnonzero(dominates.sum(0) < best)
