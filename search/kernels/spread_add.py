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


def spread_add(full: Sequence[Tensor], taken: Tensor) -> Tensor:
    """The sum of `full`, [B, C, H, W] each, and of `taken` [B, C / K, H, W] on every K-th channel."""
    return _SpreadAdd.apply(taken, *full)


class _SpreadAdd(Function):
    @staticmethod
    def forward(ctx: Any, taken: Tensor, *full: Tensor) -> Tensor:
        total = reduce(add, full) if len(full) > 1 else full[0].clone()
        ctx.step, ctx.count = total.shape[1] // taken.shape[1], len(full)
        total[:, :: ctx.step] += taken
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:
        return g[:, :: ctx.step], *[g] * ctx.count
