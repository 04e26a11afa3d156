"""Correlation of two columns: Kendall's tau of their rankings (DOTS Fig. 1), Pearson's r of their values (FTSO Fig. 5b to 5d)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def kendall(first: Sequence[float], second: Sequence[float]) -> tuple[float | None, float | None]:
    """Kendall's tau (b, for ties) and its two-sided p-value; None where all values of `second` are the same."""
    from scipy.stats import kendalltau

    if len(set(second)) < 2:
        return None, None
    test = kendalltau(first, second)
    return float(test.statistic), float(test.pvalue)


def pearson(first: Sequence[float | None], second: Sequence[float | None]) -> tuple[float | None, int]:
    """Pearson's correlation coefficient over the rows that have both values, and the number of these rows.

    The coefficient is None of fewer than two rows, and where all values of a column are the same.
    """
    rows = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    columns = [[a for a, _ in rows], [b for _, b in rows]]
    if any(len(set(column)) < 2 for column in columns):
        return None, len(rows)
    return statistics.correlation(*columns), len(rows)
