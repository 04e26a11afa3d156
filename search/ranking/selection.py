"""What other seeds say of the paths that the first seed picked. Knows numbers, no networks.

All paths are trained with the first seed. Its best are good and lucky, its worst poor and unlucky, so with that seed they lie further
apart than they are (regression to the mean). So the first seed picks, and the others judge: best minus worst, means, spreads and the
verdict are of the other seeds alone. The winner is the best of all paths of stage two, by however few of them the last word is:
it counts as clear as the best of so many (tournament_table).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .standings import Standing, in_words, verdict


def judged(ranked: Sequence[Standing], first: int) -> list[Standing]:
    """By all seeds but the first, the best first; who has no other is left out."""
    others = [one._replace(accuracies={s: a for s, a in one.accuracies.items() if s != first}) for one in ranked]
    return sorted((one for one in others if one.accuracies), key=lambda one: -one.mean)


def best_and_worst(ranked: Sequence[Standing], first: int, count: int) -> dict[str, Any]:
    """So many of the best and of the worst by the first seed, and the difference of their means: by that seed, and by the others.

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
        "picked_by": [first],
        "judged_by": [seed for seed in seeds if seed != first],
        "mean": round(statistics.fmean(others), 4) if others else None,
        "std": round(statistics.stdev(others), 4) if len(others) > 1 else None,
    }


def verdict_on(ranked: Sequence[Standing], first: int, images: int) -> dict[str, Any]:
    """The verdict by the other seeds; `clear` is None where there is none: no other seed, or nobody beside the winner that has one.

    Args:
        ranked: all of which the winner is the best, in the order of their accuracies by the first seed.
        images: that judged.
    """
    others = judged(ranked, first)
    seeds = {"picked_by": [first], "judged_by": sorted(others[0].accuracies) if others else [], "of": len(ranked)}
    if len(others) < 2:
        return {"winner": (others or ranked)[0].name, "clear": None, "rival": None} | seeds
    return verdict(others, images, of=len(ranked)) | seeds


def gap_in_words(found: Mapping[str, Any]) -> str:
    """Best minus worst, for people."""
    (first,), count = found["picked_by"], len(found["best"])
    ends = "best minus worst" if count == 1 else f"best {count} minus worst {count}"
    picked = f"{ends}: {found['by_seed'][str(first)]:.2f} points by seed {first}, which picked them"
    if found["mean"] is None:
        return f"{picked}; no other seed judged, so luck is in it: take --seeds 3 or more"
    spread = "" if found["std"] is None else f" +- {found['std']:.2f}"
    return f"{picked}; {found['mean']:.2f}{spread} by {seeds_in_words(found['judged_by'])}, which did not"


def verdict_in_words(said: Mapping[str, Any]) -> str:
    """The verdict, for people."""
    (first,), others = said["picked_by"], said["judged_by"]
    if said["clear"] is not None:
        return f"the best of {said['of']}, seed {first} picked and {seeds_in_words(others)} judged: {in_words(said, len(others))}"
    start = f"{said['winner']} is the best of {said['of']} by seed {first}"
    if not others:
        return f"{start}, which picked it; no other seed judged, so there is no verdict: take --seeds 3 or more"
    return f"{start}; no other one was trained with {seeds_in_words(others)}, so there is no verdict: take --ends 2 or more"


def seeds_in_words(seeds: Sequence[int]) -> str:
    """ "seed 1", "seeds 1, 2"."""
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def markdown(stages: Mapping[str, Sequence[Standing]], first: int, count: int) -> str:
    """The table for documents: of each stage those that were trained with other seeds, or, if none was, so many of the best and worst."""
    rows = [f"| stage | path | by seed {first}, which picked, % | by the others, which judged, % |", "|---|---|---:|---:|"]
    for stage, ranked in stages.items():
        others = {one.name: one for one in judged(ranked, first)}
        shown = [one for one in ranked if one.name in others] or [*ranked[:count], *ranked[max(count, len(ranked) - count) :]]
        texts = [others[one.name].text() if one.name in others else "-" for one in shown]
        rows += [f"| {stage} | {one.name} | {one.accuracies[first]:.2f} | {text} |" for one, text in zip(shown, texts, strict=True)]
    return "\n".join(rows) + "\n"
