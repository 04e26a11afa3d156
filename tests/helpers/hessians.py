"""Estimates of a largest eigenvalue, and power iterations that stop."""

from __future__ import annotations

import torch
from torch import Tensor


def estimates(matrix: Tensor, count: int, seed: int = 0, start: Tensor | None = None) -> list[float]:
    """The first Rayleigh quotients of v <- H v / |H v|, v at first drawn by the seed."""
    v = torch.randn(len(matrix), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) if start is None else start
    found = []
    for _ in range(count):
        v = v / (v @ v).sqrt()
        found.append(float(v @ matrix @ v))
        v = matrix @ v
    return found


def stopped(values: list[float], tolerance: float) -> float:
    """The first estimate that changed by no more than this part of itself; else the last."""
    near = [b for a, b in zip(values, values[1:], strict=False) if abs(b - a) <= tolerance * abs(b)]
    return near[0] if near else values[-1]
