"""Schedules (cosine, annealing, warm-up) in closed form: the value in epoch 30 does not depend on how it was reached.

The published codes step torch's recursive `CosineAnnealingLR`, which on today's torch skips the first rate, ends at zero too early and
drifts once a warm-up has overwritten the rate. Here epoch e = 0 ... E - 1 of E uses the formula of its docstring.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


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
