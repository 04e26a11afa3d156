"""Paired significance test between the best candidate and the others.

Networks of one seed share initial weights' seed, images, their order and crops, so two candidates are compared by the differences of
their accuracies seed by seed. The error of the mean of n differences has two parts, of which the squares add up:

| of | error | with more seeds |
|---|---|---|
| training | s / sqrt(n), s being the standard deviation of the differences | shrinks |
| the m validation images, a random sample | sqrt(p (1 - p) / m + q (1 - q) / m) at most | stays: all seeds share the images |

The probability that the other one is at least as good is that of Student's t with n - 1 degrees of freedom; for one seed, which says
nothing about how seeds differ, it is that of the normal distribution, and nothing is clear. The winner is the best of k, not one named
before: it counts as clear if no other is as good with a probability above 0.05 / (k - 1) (Bonferroni).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .standings import Standing

LEVEL = 0.05


class Baseline(NamedTuple):
    """A candidate compared with the best one: points behind, their standard error, and the probability of being at least as good."""

    name: str
    behind: float
    error: float
    as_good: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Result of the significance test of the best candidate against the others.

    Args:
        winner: Name of the best candidate.
        seeds: Number of its trainings.
        rival: Baseline with the highest probability of being as good; None for a single candidate.
        limit: Probability below which the winner is clear (Bonferroni); None for a single candidate.
        clear: Whether the winner is significantly better than all others; None without a test.
    """

    winner: str
    seeds: int
    rival: Baseline | None = None
    limit: float | None = None
    clear: bool | None = True

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        limit = {} if self.limit is None else {"limit": self.limit}
        return {"winner": self.winner, "clear": self.clear, **limit, "rival": None if self.rival is None else self.rival._asdict()}

    def __str__(self) -> str:
        if self.rival is None:
            return f"{self.winner} is the only one"
        name, behind, error, as_good = self.rival
        how = "clear" if self.clear else f"not sure: below {self.limit:.2g} it would be"
        if self.seeds == 1:
            how = "one seed doesn't say how seeds differ: no verdict"
        lead = f"leads {name} by {behind:.2f} +- {error:.2f} points over {self.seeds} seed{'' if self.seeds == 1 else 's'}"
        return f"{self.winner} {lead}, which is as good with probability {as_good:.2g}; {how}"


def rivals(ranked: Sequence[Standing], images: int) -> list[Baseline]:
    """All candidates but the best, compared with it; accuracies are measured on `images` validation images."""
    return [_rival(ranked[0], other, images) for other in ranked[1:]]


def _rival(best: Standing, other: Standing, images: int) -> Baseline:
    seeds = sorted(best.accuracies.keys() & other.accuracies.keys())
    differences = [best.accuracies[seed] - other.accuracies[seed] for seed in seeds]
    spread = statistics.stdev(differences) if len(differences) > 1 else 0.0
    error = math.hypot(spread / math.sqrt(len(seeds)), by_chance(best.mean, images, other.mean))
    behind = statistics.fmean(differences)
    return Baseline(other.name, behind, error, _p_value(behind / error, len(seeds) - 1))


def by_chance(first: float, images: int, second: float) -> float:
    """The standard deviation, in percent, of the difference of two accuracies on so many images; that of one image at least."""
    variance = sum(p * (100 - p) / images for p in (first, second))
    return max(math.sqrt(variance), 100 / images)


def _p_value(t: float, degrees_of_freedom: int) -> float:
    """One-sided p-value: probability of Student's t of at least `t` (of the normal distribution without degrees of freedom)."""
    from scipy.stats import norm
    from scipy.stats import t as student

    return float(student.sf(t, degrees_of_freedom)) if degrees_of_freedom > 0 else float(norm.sf(t))


def verdict(ranked: Sequence[Standing], images: int, of: int = 0) -> Verdict:
    """Paired significance test of the best candidate against the likeliest rival.

    Args:
        ranked: Standings, the best first.
        images: Number of validation images.
        of: Number of candidates that these were selected from, if they are not all.
    """
    best, others = ranked[0], rivals(ranked, images)
    seeds = len(best.accuracies)
    if not others:
        return Verdict(winner=best.name, seeds=seeds)
    closest = max(others, key=lambda rival: rival.as_good)
    limit = LEVEL / (max(of, len(ranked)) - 1)
    rival = Baseline(closest.name, *(round(value, 6) for value in closest[1:]))
    return Verdict(winner=best.name, seeds=seeds, rival=rival, limit=round(limit, 6), clear=seeds > 1 and closest.as_good < limit)
