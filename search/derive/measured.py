"""Cells within a latency that whole networks keep: measured, with a budget of predicted latency that is tightened until they do.

Predictions are additive, and latency is not. The cells of the greatest score within the limit by prediction are measured; as long as one
is slower, the limit of the prediction is lowered by the greatest ratio of measured to predicted latency, below that cell's own prediction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from nasarch.cells.genotype import Genotype

from .budget import Budget, Derivation, Derived
from .costs import MICROSECONDS

ATTEMPTS = 5  # of a derivation with its measurement
MARGIN = 0.98  # of the limit, once more for each attempt after the second, since measurements scatter
MeasureCells = Callable[[Sequence[Genotype]], Sequence[float]]  # milliseconds of the networks with these cells


def within_measured(derivation: Derivation, budget: Budget, best: int, measure: MeasureCells) -> list[Derived]:
    """The optimum without a budget, and up to `best` cells within it whose measured latency keeps it, too, by score.

    Raises:
        ValueError: no cell is within the budget, or none that was measured keeps it: names the smallest figure.
    """
    assert budget.max_latency_ms is not None
    limit, tightened = budget.max_latency_ms, budget
    (free,) = derivation.within(Budget())
    candidates, timed = [free, *derivation.within(budget, best)], dict[tuple[object, ...], Derived]()
    for attempt in range(ATTEMPTS):
        new = [*{_key(one): one for one in candidates if _key(one) not in timed}.values()]
        cells = [Genotype("derived", derivation.space.name, one.cells) for one in new]
        measured = [one._replace(measured_ms=ms) for one, ms in zip(new, measure(cells), strict=True)]
        timed |= {_key(one): one for one in measured}
        candidates = [timed[_key(one)] for one in candidates[attempt == 0 :]]
        slow = [one for one in candidates if _ms(one) > limit]
        if not slow:
            break
        ratio = max(MICROSECONDS * _ms(one) / one.figures.latency for one in timed.values())
        lower = min(MARGIN**attempt * limit / ratio, min(one.figures.latency for one in slow) / MICROSECONDS - 1 / MICROSECONDS)
        tightened = replace(tightened, max_latency_ms=max(lower, 1 / MICROSECONDS))
        try:
            candidates = derivation.within(tightened, best)
        except ValueError:  # no cell is predicted to be as quick
            break
    others = replace(budget, max_latency_ms=None).limits
    within = [one for one in timed.values() if _ms(one) <= limit and all(x <= y for x, y in zip(one.figures, others, strict=True))]
    if not within:
        least = math.ceil(100 * min(map(_ms, timed.values()))) / 100
        raise ValueError(
            f"--max-latency-ms {limit:g}: the fastest of {len(timed)} networks that were measured takes {least:g} ms; "
            "allow more, or measure the latency table again"
        )
    return [timed[_key(free)], *sorted(within, key=lambda one: -one.score)[:best]]


def _key(one: Derived) -> tuple[object, ...]:
    return tuple(one.cells.values())


def _ms(one: Derived) -> float:
    assert one.measured_ms is not None
    return one.measured_ms
