"""Sum of the shares of a node with partial channels, in as few bytes as possible: for CUDA, where bytes are time.

A share of C / K channels belongs to the channels 0, K, 2 K, ... Padded to C channels it is written, read and added; here it is added to
these channels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

from torch import Tensor
from torch.autograd import Function

from . import device


def spread_add(full: Sequence[Tensor], taken: Sequence[Tensor]) -> Tensor:
    """The sum of `full`, [B, C, H, W] each, and of `taken`, [B, C / K, H, W] each, on every K-th channel."""
    return _SpreadAdd.apply(len(full), *full, *taken)


class _SpreadAdd(Function):
    @staticmethod
    def forward(ctx: Any, count: int, *maps: Tensor) -> Tensor:
        full, taken = maps[:count], maps[count:]
        ctx.step, ctx.counts = full[0].shape[1] // taken[0].shape[1], (count, len(taken))
        if (
            device.FUSED_JOINS
            and device.has_triton(full[0])
            and max(ctx.counts) <= device.MAX_MAPS
            and len({one.dtype for one in maps}) == 1
        ):
            from .fused_maps import spread_sum

            return spread_sum(full, taken)
        total = reduce(add, full) if count > 1 else full[0].clone()
        total[:, :: ctx.step] += reduce(add, taken)
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        count, others = ctx.counts
        return None, *[g] * count, *[g[:, :: ctx.step]] * others
