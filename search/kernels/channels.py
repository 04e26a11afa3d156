"""Maps side by side and parts of a map along the channels: PyTorch's cat and split, on CUDA fused kernels where Triton is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from . import device


def joined(parts: Sequence[Tensor]) -> Tensor:
    """[B, C_i, H, W] -> [B, sum of C_i, H, W]."""
    if len(parts) == 1:
        return parts[0]
    return _Joined.apply(*parts) if _is_fused(parts) else torch.cat(list(parts), dim=1)


def divided(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """The inverse, views of x [B, C, H, W] with these numbers of channels."""
    if len(sizes) == 1:
        return (x,)
    is_fused = device.FUSED_JOINS and device.has_triton(x) and len(sizes) <= device.MAX_MAPS and min(sizes) > 0
    return _Divided.apply(x, sizes) if is_fused else x.split(list(sizes), dim=1)


def _is_fused(parts: Sequence[Tensor]) -> bool:
    is_possible = len(parts) <= device.MAX_MAPS and len({part.dtype for part in parts}) == 1 and all(part.numel() for part in parts)
    return is_possible and device.FUSED_JOINS and device.has_triton(parts[0])


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    if torch.is_grad_enabled() or not _is_fused(parts):  # a gradient of the gradient is asked for
        return torch.cat(list(parts), dim=1)
    from .fused_maps import concatenated

    return concatenated(parts)


class _Joined(Function):
    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        ctx.sizes = [part.shape[1] for part in parts]
        return _concatenated(parts)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:
        return g.split(ctx.sizes, dim=1)


class _Divided(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
        return x.split(list(sizes), dim=1)

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> tuple[Tensor, None]:
        return _concatenated(gs), None
