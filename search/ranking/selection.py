"""Evaluation of the paths that the first seed selected, by the other seeds. Knows numbers, no networks.

All paths are trained with the first seed. Its best are good and lucky, its worst poor and unlucky, so with that seed they lie further
apart than they are (regression to the mean). So the first seed selects, and the others evaluate: best minus worst, means, standard
deviations and the verdict are of the other seeds alone. The winner is the best of all paths of stage two, however few of them the
other seeds evaluate: it counts as clear as the best of so many (standings.py).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .significance import Verdict, verdict
from .standings import Standing


def by_other_seeds(ranked: Sequence[Standing], first: int) -> list[Standing]:
    """Standings by all seeds but the first, the best first; candidates without another seed are left out."""
    others = [one._replace(accuracies={s: a for s, a in one.accuracies.items() if s != first}) for one in ranked]
    return sorted((one for one in others if one.accuracies), key=lambda one: -one.mean)


def best_and_worst(ranked: Sequence[Standing], first: int, count: int) -> dict[str, Any]:
    """`count` of the best and of the worst by the first seed, and the difference of their means: by that seed, and by the others.

    Args:
        ranked: in the order of their accuracies by the first seed; the ends with all seeds.
    """
    best, worst = ranked[:count], ranked[-count:]
    seeds = sorted(set.intersection(*(set(one.accuracies) for one in (*best, *worst))))
    gaps = {seed: statistics.fmean(a.accuracies[seed] - b.accuracies[seed] for a, b in zip(best, worst, strict=True)) for seed in seeds}
    others = [gap for seed, gap in gaps.items() if seed != first]
    return {
        "best": [one.name for one in best],
        "worst": [one.name for one in worst],
        "by_seed": {str(seed): round(gap, 4) for seed, gap in gaps.items()},
        "selected_by": [first],
        "evaluated_by": [seed for seed in seeds if seed != first],
        "mean": round(statistics.fmean(others), 4) if others else None,
        "std": round(statistics.stdev(others), 4) if len(others) > 1 else None,
    }


@dataclass(frozen=True, kw_only=True)
class SelectionVerdict:
    """Verdict by the seeds that did not select.

    Args:
        verdict: Result of the test; `clear` is None without one: no other seed, or no other candidate that has one.
        selected_by: Seed that selected.
        evaluated_by: Other seeds of the winner.
        of: Number of candidates that were selected from.
    """

    verdict: Verdict
    selected_by: int
    evaluated_by: tuple[int, ...]
    of: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self.verdict.to_dict() | {"selected_by": [self.selected_by], "evaluated_by": list(self.evaluated_by), "of": self.of}

    def __str__(self) -> str:
        others = seeds_in_words(self.evaluated_by)
        if self.verdict.clear is not None:
            return f"the best of {self.of}, seed {self.selected_by} selected and {others} evaluated: {self.verdict}"
        start = f"{self.verdict.winner} is the best of {self.of} by seed {self.selected_by}"
        if not self.evaluated_by:
            return f"{start}, which selected it; no other seed evaluated, so there is no verdict: take --seeds 3 or more"
        return f"{start}; no other one was trained with {others}, so there is no verdict: take --ends 2 or more"


def selection_verdict(ranked: Sequence[Standing], first: int, images: int) -> SelectionVerdict:
    """Verdict by all seeds but the first.

    Args:
        ranked: All candidates of which the winner is the best, in the order of their accuracies by the first seed.
        first: Seed that selected.
        images: Number of validation images.
    """
    others = by_other_seeds(ranked, first)
    seeds = tuple(sorted(others[0].accuracies)) if others else ()
    if len(others) > 1:
        tested = verdict(others, images, of=len(ranked))
    else:
        tested = Verdict(winner=(others or ranked)[0].name, seeds=len(seeds), clear=None)
    return SelectionVerdict(verdict=tested, selected_by=first, evaluated_by=seeds, of=len(ranked))


def gap_in_words(result: Mapping[str, Any]) -> str:
    """Best minus worst, for people."""
    (first,), count = result["selected_by"], len(result["best"])
    ends = "best minus worst" if count == 1 else f"best {count} minus worst {count}"
    selected = f"{ends}: {result['by_seed'][str(first)]:.2f} points by seed {first}, which selected them"
    if result["mean"] is None:
        return f"{selected}; no other seed evaluated, so luck is in it: take --seeds 3 or more"
    spread = "" if result["std"] is None else f" +- {result['std']:.2f}"
    return f"{selected}; {result['mean']:.2f}{spread} by {seeds_in_words(result['evaluated_by'])}, which did not"


def seeds_in_words(seeds: Sequence[int]) -> str:
    """ "seed 1", "seeds 1, 2"."""
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def markdown(stages: Mapping[str, Sequence[Standing]], first: int, count: int) -> str:
    """The table for documents: of each stage the paths trained with other seeds, or, without any, `count` of the best and of the worst."""
    rows = [f"| stage | path | by seed {first}, which selected, % | by the others, which evaluated, % |", "|---|---|---:|---:|"]
    for stage, ranked in stages.items():
        others = {one.name: one for one in by_other_seeds(ranked, first)}
        shown = [one for one in ranked if one.name in others] or [*ranked[:count], *ranked[max(count, len(ranked) - count) :]]
        texts = [others[one.name].text() if one.name in others else "-" for one in shown]
        rows += [f"| {stage} | {one.name} | {one.accuracies[first]:.2f} | {text} |" for one, text in zip(shown, texts, strict=True)]
    return "\n".join(rows) + "\n"
