"""The first seed picks paths and the others judge them: what luck of the first seed must not leak into."""

from __future__ import annotations

import random

import pytest

from nasarch.search.rank_judged import best_and_worst, gap_in_words, judged, markdown, verdict_in_words, verdict_on
from nasarch.search.tournament_table import LEVEL, Standing


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
    assert found["picked_by"] == [0] and found["judged_by"] == list(range(1, 41))


def test_best_minus_worst_is_that_of_the_means_by_seed() -> None:
    found = best_and_worst(picked([60, 58, 50, 48], {0: [55, 57], 1: [53, 55], 2: [54, 53], 3: [52, 51]}), 0, 2)
    assert found["by_seed"] == {"0": 10, "1": 1, "2": 4} and found["mean"] == 2.5 and found["std"] == pytest.approx(4.5**0.5, abs=1e-4)
    said = gap_in_words(found)
    assert said == "best 2 minus worst 2: 10.00 points by seed 0, which picked them; 2.50 +- 2.12 by seeds 1, 2, which did not"
    alone = best_and_worst(picked([60, 50], {}), 0, 1)
    assert alone["mean"] is None and alone["std"] is None and "no other seed judged" in gap_in_words(alone)


def test_the_seed_that_picked_does_not_judge() -> None:
    ranked = picked([70, 55, 54, 40], {0: [50.0, 50.0], 1: [51.0, 52.0], 2: [51.0, 50.5]})
    assert [(one.name, one.mean) for one in judged(ranked, 0)] == [("path 1", 51.5), ("path 2", 50.75), ("path 0", 50.0)]
    said = verdict_on(ranked, 0, 10**6)
    assert said["winner"] == "path 1" and said["rival"]["behind"] < 2 and said["judged_by"] == [1, 2]  # path 0 leads over all three seeds


def test_the_winner_is_the_best_of_all_that_were_picked_from() -> None:
    ends = {0: [60.0, 60.1], 1: [55.0, 55.2]}
    few, many = picked([60, 55], ends), picked([60, 55, *[54] * 18], ends)
    assert verdict_on(few, 0, 10**7)["limit"] == LEVEL
    said = verdict_on(many, 0, 10**7)
    assert said["limit"] == pytest.approx(LEVEL / 19, abs=1e-6) and said["of"] == 20
    assert verdict_on(few, 0, 10**7)["clear"] and not said["clear"]
    assert "the best of 20, seed 0 picked and seeds 1, 2 judged: path 0 leads path 1" in verdict_in_words(said)


def test_one_seed_gives_no_verdict() -> None:
    said = verdict_on(picked([60, 50, 40], {}), 0, 10**9)
    assert said["winner"] == "path 0" and said["clear"] is None and said["judged_by"] == []
    assert "no other seed judged, so there is no verdict" in verdict_in_words(said)
    said = verdict_on(picked([60, 50, 40], {0: [61]}), 0, 10**9)
    assert said["clear"] is None and "no other one was trained with seed 1" in verdict_in_words(said)
    said = verdict_on(picked([60, 50, 40], {0: [61], 1: [31]}), 0, 10**9)
    assert said["clear"] is False and "one seed doesn't say how seeds differ" in verdict_in_words(said)


def test_the_table_tells_picking_from_judging() -> None:
    text = markdown({"one": picked([60, 50, 40], {0: [55, 57], 2: [54, 53]}), "two": picked([61, 51], {})}, 0, 1)
    assert "| one | path 0 | 60.00 | 56.00 +- 1.41 |" in text and "| one | path 2 | 40.00 | 53.50 +- 0.71 |" in text
    assert "path 1 | 50.00" not in text and "| two | path 0 | 61.00 | - |" in text and "by seed 0, which picked" in text
