"""Kendall's rank correlation of two columns (DOTS Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence


def kendall(first: Sequence[float], second: Sequence[float]) -> tuple[float | None, float | None]:
    """Kendall's tau (b, for ties) and its two-sided p-value; None where all values of `second` are the same."""
    from scipy.stats import kendalltau

    if len(set(second)) < 2:
        return None, None
    test = kendalltau(first, second)
    return float(test.statistic), float(test.pvalue)
