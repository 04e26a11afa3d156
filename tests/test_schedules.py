"""Closed forms by epoch."""

from __future__ import annotations

import math

from nasarch.search.schedules import constant, cosine


def test_cosine_starts_at_its_start_and_never_reaches_its_end() -> None:
    rate = cosine(0.1, 0.0, 50)
    assert rate(0) == 0.1
    assert rate(25) == 0.05
    assert rate(49) == 0.05 * (1 + math.cos(math.pi * 49 / 50)) > 0


def test_one_epoch_runs_at_the_start() -> None:
    assert cosine(0.025, 0.0, 1)(0) == 0.025


def test_constant() -> None:
    assert {constant(0.3)(epoch) for epoch in range(9)} == {0.3}
