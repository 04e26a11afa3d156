"""Schedules (cosine, linear, exponential, annealing, warm-up) in closed form: the value in epoch 30 does not depend on how it was reached.

The published codes step torch's recursive `CosineAnnealingLR`, which on today's torch skips the first rate, ends at zero too early and
drifts once a warm-up has overwritten the rate. Here epoch e = 0 ... E - 1 of E uses the formula of its docstring.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]
Rate = Callable[[float], float]  # of the epochs done
STAIRS = 5  # of a warm-up at least, as many as the papers' has


def constant(value: float) -> Schedule:
    """`value` in every epoch."""
    return lambda epoch: value


def cosine(start: float, end: float, epochs: int) -> Schedule:
    """end + (start - end) * (1 + cos(pi * e / E)) / 2, the rule that SGDR (Loshchilov and Hutter 2017) gives without restarts."""
    return lambda epoch: end + (start - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def annealed(start: float, decay: float, warmup: int) -> Schedule:
    """start * decay^t, t counted from the end of the warm-up: DOTS eq. 5."""
    return lambda epoch: start * decay ** max(0, epoch - warmup)


def warmed_up(schedule: Schedule, epochs: int) -> Schedule:
    """(e + 1) / `epochs` times the schedule's first value in the first `epochs`, then the schedule (Goyal et al. 2017; PC-DARTS' code)."""
    return lambda epoch: schedule(0) * (epoch + 1) / epochs if epoch < epochs else schedule(epoch)


def linear(start: float, epochs: int, tail: float = 0.0) -> Schedule:
    """start * (1 - e / L), L = (1 - tail) * E; from epoch L on start * (E - e) / (5 * L)."""
    line = epochs * (1 - tail)

    def rate(epoch: int) -> float:
        in_tail = tail > 0 and epoch > line - 1e-6  # epoch 245 of 250, too, whichever way 250 * (1 - 0.02) is rounded
        return start * (epochs - epoch) / (5 * line) if in_tail else start - start * epoch / line

    return rate


def exponential(start: float, decay: float, epochs: int) -> Schedule:
    """start * decay^(e / E)."""
    return lambda epoch: start * decay ** (epoch / epochs)


def in_stairs(schedule: Schedule, epochs: float) -> Rate:
    """The schedule after a warm-up of `epochs`: n stairs of equal length, s / n of the schedule's first value on the s-th.

    n is the number of epochs, so that stair s is epoch s - 1 (Goyal et al. 2017; PC-DARTS' code), but at least five.
    """
    stairs = max(STAIRS, round(epochs))
    return lambda done: schedule(0) * (int(done * stairs / epochs) + 1) / stairs if done < epochs else schedule(int(done))
