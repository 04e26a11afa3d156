"""Closed forms by epoch."""

from __future__ import annotations

import math

import pytest

from nasarch.runtime.schedules import annealed, constant, cosine, warmed_up


def test_cosine_starts_at_its_start_and_never_reaches_its_end() -> None:
    rate = cosine(0.1, 0.0, 50)
    assert rate(0) == 0.1
    assert rate(25) == 0.05
    assert rate(49) == 0.05 * (1 + math.cos(math.pi * 49 / 50)) > 0


def test_cosine_falls_from_its_start_by_half_a_wave() -> None:
    """Of 4 epochs: (1 + cos 0) / 2 = 1, (1 + sqrt(1/2)) / 2, 1/2, (1 - sqrt(1/2)) / 2 of the way from the end."""
    rate, root = cosine(0.5, 0.1, 4), math.sqrt(0.5)
    assert [rate(epoch) for epoch in range(4)] == pytest.approx([0.5, 0.3 + 0.2 * root, 0.3, 0.3 - 0.2 * root], rel=1e-12)


def test_one_epoch_runs_at_the_start() -> None:
    assert cosine(0.025, 0.0, 1)(0) == 0.025


def test_constant() -> None:
    assert {constant(0.3)(epoch) for epoch in range(9)} == {0.3}


def test_annealing_begins_when_the_warm_up_is_over() -> None:
    temperature = annealed(10.0, 0.5, 3)
    assert [temperature(epoch) for epoch in range(6)] == [10.0, 10.0, 10.0, 10.0, 5.0, 2.5]


def test_a_rate_that_warms_up_rises_to_where_the_schedule_starts_and_then_follows_it() -> None:
    rate = warmed_up(cosine(0.5, 0.0, 50), 5)
    assert [rate(epoch) for epoch in range(5)] == [0.1, 0.2, 0.5 * 3 / 5, 0.4, 0.5]
    assert rate(5) == cosine(0.5, 0.0, 50)(5) and warmed_up(cosine(0.5, 0.0, 50), 0)(0) == 0.5
