"""Who came out first, and how sure that is. Knows numbers, no networks.

Networks of one seed share first weights' seed, images, their order and crops, so two contestants are compared by the differences of
their accuracies seed by seed. The error of the mean of n differences has two parts, of which the squares add up:

| of | error | with more seeds |
|---|---|---|
| training | s / sqrt(n), s being the spread of the differences | shrinks |
| the m judging images, drawn by chance | sqrt(p (1 - p) / m + q (1 - q) / m) at most | stays: all seeds are judged by the same images |

The probability that the other one is at least as good is that of Student's t with n - 1 degrees of freedom; for one seed, which says
nothing about how seeds differ, it is that of the normal distribution, and nothing is clear. The winner is the best of k, not one named
before: it counts as clear if no other is as good with a probability above 0.05 / (k - 1) (Bonferroni).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .tournament import Line

LEVEL = 0.05


class Standing(NamedTuple):
    """A contestant: its accuracies in percent by seed, their mean, and the standard deviation (n - 1; None for one seed)."""

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


class Baseline(NamedTuple):
    """Another contestant beside the winner: how far it is behind, the standard error of that, the probability that it is as good."""

    name: str
    behind: float
    error: float
    as_good: float


def standings(lines: Sequence[Line]) -> list[Standing]:
    """The contestants of these lines, the best first; equal ones in the order of the lines."""
    found: dict[str, Standing] = {}
    for line in lines:
        known = found.get(line["name"]) or Standing(line["name"], {}, line["parameters"])
        found[line["name"]] = known._replace(accuracies={**known.accuracies, line["seed"]: line["accuracy"]})
    return sorted(found.values(), key=lambda standing: -standing.mean)


def rivals(ranked: Sequence[Standing], images: int) -> list[Baseline]:
    """All but the first, beside the first; judged on so many images."""
    return [_rival(ranked[0], other, images) for other in ranked[1:]]


def _rival(best: Standing, other: Standing, images: int) -> Baseline:
    seeds = sorted(best.accuracies.keys() & other.accuracies.keys())
    differences = [best.accuracies[seed] - other.accuracies[seed] for seed in seeds]
    spread = statistics.stdev(differences) if len(differences) > 1 else 0.0
    error = math.hypot(spread / math.sqrt(len(seeds)), by_chance(best.mean, images, other.mean))
    behind = statistics.fmean(differences)
    return Baseline(other.name, behind, error, _beyond(behind / error, len(seeds) - 1))


def by_chance(first: float, images: int, second: float) -> float:
    """The standard deviation, in percent, of the difference of two accuracies on so many images; that of one image at least."""
    variance = sum(p * (100 - p) / images for p in (first, second))
    return max(math.sqrt(variance), 100 / images)


def _beyond(t: float, freedom: int) -> float:
    """The probability of a value of at least t."""
    from scipy.stats import norm
    from scipy.stats import t as student

    return float(student.sf(t, freedom)) if freedom > 0 else float(norm.sf(t))


def verdict(ranked: Sequence[Standing], images: int, of: int = 0) -> dict[str, Any]:
    """How sure the first place is, for JSON: the runner-up by probability, and whether the winner is clear, as the best of `of`.

    Args:
        images: that judged.
        of: from how many these were chosen, if they are not all.
    """
    others = rivals(ranked, images)
    if not others:
        return {"winner": ranked[0].name, "clear": True, "rival": None}
    closest = max(others, key=lambda rival: rival.as_good)
    limit = LEVEL / (max(of, len(ranked)) - 1)
    return {
        "winner": ranked[0].name,
        "clear": len(ranked[0].accuracies) > 1 and closest.as_good < limit,
        "limit": round(limit, 6),
        "rival": {key: value if isinstance(value, str) else round(value, 6) for key, value in closest._asdict().items()},
    }


def in_words(said: Mapping[str, Any], seeds: int) -> str:
    """The verdict for people."""
    rival = said["rival"]
    if rival is None:
        return f"{said['winner']} is the only one"
    lead = f"leads {rival['name']} by {rival['behind']:.2f} +- {rival['error']:.2f} points over {seeds} seed{'' if seeds == 1 else 's'}"
    chance = f"which is as good with probability {rival['as_good']:.2g}"
    how = "clear" if said["clear"] else f"not sure: below {said['limit']:.2g} it would be"
    if seeds == 1:
        how = "one seed doesn't say how seeds differ: no verdict"
    return f"{said['winner']} {lead}, {chance}; {how}"


def markdown(ranked: Sequence[Standing], heading: str) -> str:
    """The table for documents."""
    rows = [f"| {heading} | accuracy, % | seeds | parameters |", "|---|---:|---:|---:|"]
    rows += [f"| {one.name} | {one.text()} | {len(one.accuracies)} | {one.parameters:,} |" for one in ranked]
    return "\n".join(rows) + "\n"
