# mypy: disable-error-code="import-untyped,import-not-found,no-untyped-def"
"""Copies of blocks of channels and their sum as one Triton kernel each: for CUDA.

    wide[n, s, t, c] = x[n, s, c]        x [pixels, sources * C], wide [pixels, sources * times * C]

By PyTorch's operations they are as many concatenated slices, and as many additions.

This module needs Triton; in its interpreter (TRITON_INTERPRET=1) the kernels run on a CPU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .fused_norm import TYPES, pixel_rows, tile_of


def copies_of(x: Tensor, times: int, sources: int) -> Tensor:
    """[B, sources * C, H, W] -> [B, sources * times * C, H, W] in channels_last order, without a gradient."""
    b, c, height, width = x.shape
    wide = torch.empty(b, c * times, height, width, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    lying, row, column = pixel_rows(x)
    pixels, tile = b * height * width, tile_of(c * times)
    grid = (triton.cdiv(pixels, tile["R"]), triton.cdiv(c * times, tile["BC"]))
    _copy_kernel[grid](lying, wide, pixels, times, row, column, C=c // sources, SOURCES=sources, **tile)
    return wide


def sum_of_copies(wide: Tensor, times: int, sources: int) -> Tensor:
    """The transpose: the sum of the copies of each block."""
    b, c, height, width = wide.shape
    out = torch.empty(b, c // times, height, width, dtype=wide.dtype, device=wide.device, memory_format=torch.channels_last)
    lying, row, column = pixel_rows(wide)
    pixels, tile = b * height * width, tile_of(c // times)
    grid = (triton.cdiv(pixels, tile["R"]), triton.cdiv(c // times, tile["BC"]))
    _sum_kernel[grid](lying, out, pixels, times, row, column, C=c // times // sources, SOURCES=sources, SUM=TYPES[wide.dtype], **tile)
    return out


@triton.jit(do_not_specialize=["N", "TIMES"])
def _copy_kernel(
    x, wide, N, TIMES, X_ROW, X_COLUMN, C: tl.constexpr, SOURCES: tl.constexpr, R: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    W = C * SOURCES * TIMES
    n, w = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * BC + tl.arange(0, BC)
    inside, narrow = (n < N)[:, None] & (w < W)[None, :], w // (C * TIMES) * C + w % C
    value = tl.load(x + n[:, None] * X_ROW + narrow[None, :] * X_COLUMN, mask=inside)
    tl.store(wide + n[:, None] * W + w[None, :], value, mask=inside)


@triton.jit(do_not_specialize=["N", "TIMES"])
def _sum_kernel(
    wide, out, N, TIMES, ROW, COLUMN, C: tl.constexpr, SOURCES: tl.constexpr, SUM: tl.constexpr, R: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    W: tl.constexpr = C * SOURCES
    n, c = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * BC + tl.arange(0, BC)
    inside, first = (n < N)[:, None] & (c < W)[None, :], c // C * (C * TIMES) + c % C
    total = tl.zeros((R, BC), dtype=SUM)
    for copy in range(TIMES):
        place = n[:, None] * ROW + (first + copy * C)[None, :] * COLUMN
        total += tl.load(wide + place, mask=inside, other=0.0).to(SUM)
    tl.store(out + n[:, None] * W + c[None, :], total.to(out.dtype.element_ty), mask=inside)
