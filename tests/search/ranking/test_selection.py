"""The first seed picks paths and the others judge them: what luck of the first seed must not leak into."""

from __future__ import annotations

import math
import random

import pytest

from nasarch.search.ranking.selection import best_and_worst, by_other_seeds, gap_in_words, markdown, selection_verdict
from nasarch.search.ranking.standings import Standing


def picked(firsts: list[float], others: dict[int, list[float]]) -> list[Standing]:
    """Paths in the order of their accuracies by seed 0; `others` are the accuracies by seeds 1, 2, ... of some."""
    accuracies = [{0: value} | dict(enumerate(others.get(i, []), 1)) for i, value in enumerate(firsts)]
    return [Standing(f"path {i}", by_seed, 1000) for i, by_seed in enumerate(accuracies)]


def test_paths_that_differ_by_luck_alone_are_not_far_apart() -> None:
    draw = random.Random(0)
    firsts = sorted((draw.gauss(50, 1) for _ in range(180)), reverse=True)
    ends = (0, 1, 178, 179)
    found = best_and_worst(picked(firsts, {i: [draw.gauss(50, 1) for _ in range(40)] for i in ends}), 0, 2)
    assert found["by_seed"]["0"] > 4 and abs(found["mean"]) < 0.7  # with seed 0 they are chosen to be far apart
    assert (found["best"], found["worst"]) == (["path 0", "path 1"], ["path 178", "path 179"])
    assert found["selected_by"] == [0] and found["evaluated_by"] == list(range(1, 41))


def test_best_minus_worst_is_that_of_the_means_by_seed() -> None:
    found = best_and_worst(picked([60, 58, 50, 48], {0: [55, 57], 1: [53, 55], 2: [54, 53], 3: [52, 51]}), 0, 2)
    assert found["by_seed"] == {"0": 10, "1": 1, "2": 4} and found["mean"] == 2.5 and found["std"] == pytest.approx(4.5**0.5, abs=1e-4)
    said = gap_in_words(found)
    assert said == "best 2 minus worst 2: 10.00 points by seed 0, which selected them; 2.50 +- 2.12 by seeds 1, 2, which did not"
    alone = best_and_worst(picked([60, 50], {}), 0, 1)
    assert alone["mean"] is None and alone["std"] is None and "no other seed evaluated" in gap_in_words(alone)


def test_the_seed_that_picked_does_not_judge() -> None:
    ranked = picked([70, 55, 54, 40], {0: [50.0, 50.0], 1: [51.0, 52.0], 2: [51.0, 50.5]})
    assert [(one.name, one.mean) for one in by_other_seeds(ranked, 0)] == [("path 1", 51.5), ("path 2", 50.75), ("path 0", 50.0)]
    said = selection_verdict(ranked, 0, 10**6)
    assert said.verdict.winner == "path 1" and said.evaluated_by == (1, 2)
    assert said.verdict.rival.behind < 2  # type: ignore[union-attr]  # path 0 leads over all three seeds


def test_the_winner_is_the_best_of_all_that_were_picked_from() -> None:
    ends = {0: [60.0, 60.1], 1: [55.0, 55.2]}
    few, many = picked([60, 55], ends), picked([60, 55, *[54] * 18], ends)
    assert selection_verdict(few, 0, 10**7).verdict.limit == 0.05
    said = selection_verdict(many, 0, 10**7)
    assert said.verdict.limit == pytest.approx(0.05 / 19, abs=1e-6) and said.of == 20
    assert selection_verdict(few, 0, 10**7).verdict.clear and not said.verdict.clear
    assert "the best of 20, seed 0 selected and seeds 1, 2 evaluated: path 0 leads path 1" in str(said)


def test_one_seed_gives_no_verdict() -> None:
    said = selection_verdict(picked([60, 50, 40], {}), 0, 10**9)
    assert said.verdict.winner == "path 0" and said.verdict.clear is None and said.evaluated_by == ()
    assert "no other seed evaluated, so there is no verdict" in str(said)
    said = selection_verdict(picked([60, 50, 40], {0: [61]}), 0, 10**9)
    assert said.verdict.clear is None and "no other one was trained with seed 1" in str(said)
    said = selection_verdict(picked([60, 50, 40], {0: [61], 1: [31]}), 0, 10**9)
    assert said.verdict.clear is False and "one seed doesn't say how seeds differ" in str(said)


def test_the_table_tells_picking_from_judging() -> None:
    text = markdown({"one": picked([60, 50, 40], {0: [55, 57], 2: [54, 53]}), "two": picked([61, 51], {})}, 0, 1)
    assert "| one | path 0 | 60.00 | 56.00 +- 1.41 |" in text and "| one | path 2 | 40.00 | 53.50 +- 0.71 |" in text
    assert "path 1 | 50.00" not in text and "| two | path 0 | 61.00 | - |" in text and "by seed 0, which selected" in text


def standing(name: str, **by_seed: float) -> Standing:
    return Standing(name, {int(seed.removeprefix("s")): value for seed, value in by_seed.items()}, 1000)


def test_the_seed_that_picks_is_the_one_that_is_named() -> None:
    """With seed 5 as the first one; 4 and 6 judge."""
    ranked = [standing("a", s5=70, s6=50, s4=52), standing("b", s5=60, s6=55, s4=55), standing("c", s5=50, s6=40, s4=46)]
    assert [(one.name, one.mean, sorted(one.accuracies)) for one in by_other_seeds(ranked, 5)] == [
        ("b", 55, [4, 6]),
        ("a", 51, [4, 6]),
        ("c", 43, [4, 6]),
    ]
    found = best_and_worst(ranked, 5, 1)
    assert found == {
        "best": ["a"],
        "worst": ["c"],
        "by_seed": {"4": 6, "5": 20, "6": 10},
        "selected_by": [5],
        "evaluated_by": [4, 6],
        "mean": 8,
        "std": pytest.approx(8**0.5, abs=1e-4),
    }
    assert gap_in_words(found) == "best minus worst: 20.00 points by seed 5, which selected them; 8.00 +- 2.83 by seeds 4, 6, which did not"
    said = selection_verdict(ranked, 5, 10**18)
    assert (said.verdict.winner, said.verdict.rival.name, said.verdict.rival.behind) == ("b", "a", 4)
    assert (said.selected_by, said.evaluated_by, said.of, said.verdict.limit) == (5, (4, 6), 3, 0.025)
    assert said.verdict.clear is False  # 5 and 3 ahead: t = 4 with one degree of freedom, 0.078
    assert said.verdict.rival.as_good == pytest.approx(0.5 - math.atan(4) / math.pi, abs=1e-6)
    assert str(said).startswith("the best of 3, seed 5 selected and seeds 4, 6 evaluated: b leads a by 4.00 +- 1.00 points over 2")


def test_the_ends_are_compared_by_the_seeds_that_all_of_them_have() -> None:
    """The best with the worst, the second with the last but one, and so on; one seed judges."""
    ranked = [
        standing("a", s0=9, s1=8, s2=1),
        standing("b", s0=8, s1=7),
        standing("c", s0=5),
        standing("d", s0=3, s1=1, s2=7),
        standing("e", s0=2, s1=4),
    ]
    found = best_and_worst(ranked, 0, 2)
    assert (found["best"], found["worst"], found["by_seed"]) == (["a", "b"], ["d", "e"], {"0": 6.0, "1": 5.0})
    assert (found["evaluated_by"], found["mean"], found["std"]) == ([1], 5.0, None)
    assert gap_in_words(found).endswith("6.00 points by seed 0, which selected them; 5.00 by seed 1, which did not")


def test_differences_are_given_to_four_decimals() -> None:
    found = best_and_worst([standing("a", s0=9, s1=8.123456, s2=7), standing("b", s0=1, s1=1, s2=1)], 0, 1)
    assert found["by_seed"] == {"0": 8.0, "1": 7.1235, "2": 6.0} and (found["mean"], found["std"]) == (6.5617, 0.7944)


def test_a_verdict_needs_another_one_that_was_by_other_seeds() -> None:
    alone = selection_verdict([standing("a", s0=9, s3=8), standing("b", s0=8)], 0, 100)
    assert alone.to_dict() == {"winner": "a", "clear": None, "rival": None, "selected_by": [0], "evaluated_by": [3], "of": 2}
    late = selection_verdict([standing("a", s0=9), standing("b", s0=8, s3=8)], 0, 100)
    assert late.verdict.winner == "b" and late.verdict.clear is None
    assert str(late).startswith("b is the best of 2 by seed 0; no other one was trained with seed 3")


def test_the_table_has_the_ends_of_a_stage_that_none_evaluated_each_once() -> None:
    ranked = [standing(name, s0=value) for name, value in (("a", 50), ("b", 49), ("c", 48), ("d", 47), ("e", 46))]
    rows = markdown({"one": ranked, "two": ranked[:3]}, 0, 2).splitlines()
    assert rows == [
        "| stage | path | by seed 0, which selected, % | by the others, which evaluated, % |",
        "|---|---|---:|---:|",
        *(f"| one | {name} | {value}.00 | - |" for name, value in (("a", 50), ("b", 49), ("d", 47), ("e", 46))),
        *(f"| two | {name} | {value}.00 | - |" for name, value in (("a", 50), ("b", 49), ("c", 48))),
    ]
