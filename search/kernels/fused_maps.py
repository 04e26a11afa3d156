# mypy: disable-error-code="import-untyped,import-not-found,no-untyped-def"
"""Copies, concatenation and sums of maps that lie anyhow in memory, slices of wider maps for instance, as one Triton kernel each: for CUDA.

    copies          wide[n, s, t, c] = x[n, s, c]        x [pixels, sources * C], wide [pixels, sources * times * C]
    concatenation   of up to four maps
    sum of a node   of up to four maps, and of up to four on every K-th channel

PyTorch copies and concatenates such maps by a kernel each, and adds them two by two.

This module needs Triton; in its interpreter (TRITON_INTERPRET=1) the kernels run on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

from .device import MAX_MAPS
from .fused_norm import TYPES, grid_of, pixel_rows


def copies_of(x: Tensor, times: int, sources: int) -> Tensor:
    """[B, sources * C, H, W] -> [B, sources * times * C, H, W] in channels_last order, without a gradient."""
    b, c, height, width = x.shape
    wide = torch.empty(b, c * times, height, width, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    lying, row, column = pixel_rows(x)
    pixels = b * height * width
    grid, tile = grid_of(pixels, c * times)
    _copy_kernel[grid](lying, wide, pixels, times, row, column, C=c // sources, SOURCES=sources, **tile)
    return wide


def sum_of_copies(wide: Tensor, times: int, sources: int) -> Tensor:
    """The transpose: the sum of the copies of each block."""
    b, c, height, width = wide.shape
    out = torch.empty(b, c // times, height, width, dtype=wide.dtype, device=wide.device, memory_format=torch.channels_last)
    lying, row, column = pixel_rows(wide)
    pixels = b * height * width
    grid, tile = grid_of(pixels, c // times)
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
        offset = n[:, None] * ROW + (first + copy * C)[None, :] * COLUMN
        total += tl.load(wide + offset, mask=inside, other=0.0).to(SUM)
    tl.store(out + n[:, None] * W + c[None, :], total.to(out.dtype.element_ty), mask=inside)


def concatenated(parts: Sequence[Tensor]) -> Tensor:
    """Up to four maps side by side in channels_last order, without a gradient."""
    first = parts[0]
    ends = list(accumulate(part.shape[1] for part in parts))
    size = len(first), ends[-1], *first.shape[2:]
    out = torch.empty(size, dtype=first.dtype, device=first.device, memory_format=torch.channels_last)
    given, pixels = [pixel_rows(part) for part in parts], out.numel() // ends[-1]
    given, ends = given + given[:1] * (MAX_MAPS - len(given)), ends + ends[-1:] * (MAX_MAPS - len(ends))
    lying, strides = [one[0] for one in given], [number for one in given for number in one[1:]]
    grid, tile = grid_of(pixels, ends[-1])
    _concatenate_kernel[grid](*lying, out, pixels, *ends, *strides, COUNT=len(parts), **tile)
    return out


def spread_sum(full: Sequence[Tensor], taken: Sequence[Tensor]) -> Tensor:
    """The sum of up to four maps [B, C, H, W], and of up to four [B, C / K, H, W] on every K-th channel, without a gradient."""
    out = torch.empty(full[0].shape, dtype=full[0].dtype, device=full[0].device, memory_format=torch.channels_last)
    channels = out.shape[1]
    maps = [pixel_rows(one) for few in (full, taken) for one in [*few, *[few[0]] * (MAX_MAPS - len(few))]]
    lying, strides = [one[0] for one in maps], [number for one in maps for number in one[1:]]
    pixels = out.numel() // channels
    grid, tile = grid_of(pixels, channels)
    counts = {"FULL": len(full), "TAKEN": len(taken), "SUM": TYPES[out.dtype]}
    _spread_sum_kernel[grid](*lying, out, pixels, channels, channels // taken[0].shape[1], *strides, **counts, **tile)
    return out


@triton.jit(do_not_specialize=["N"])
def _concatenate_kernel(
    x0, x1, x2, x3, out, N, END0, END1, END2, END3, R0, C0, R1, C1, R2, C2, R3, C3, COUNT: tl.constexpr, R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n, w = (tl.program_id(0) * R + tl.arange(0, R))[:, None], (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    value = tl.load(x0 + n * R0 + w * C0, mask=(n < N) & (w < END0), other=0.0)
    if COUNT > 1:
        value += tl.load(x1 + n * R1 + (w - END0) * C1, mask=(n < N) & (w >= END0) & (w < END1), other=0.0)
    if COUNT > 2:
        value += tl.load(x2 + n * R2 + (w - END1) * C2, mask=(n < N) & (w >= END1) & (w < END2), other=0.0)
    if COUNT > 3:
        value += tl.load(x3 + n * R3 + (w - END2) * C3, mask=(n < N) & (w >= END2) & (w < END3), other=0.0)
    tl.store(out + n * END3 + w, value, mask=(n < N) & (w < END3))


@triton.jit(do_not_specialize=["N"])
def _spread_sum_kernel(
    f0, f1, f2, f3, t0, t1, t2, t3, out, N, C, STEP,
    FR0, FC0, FR1, FC1, FR2, FC2, FR3, FC3, TR0, TC0, TR1, TC1, TR2, TC2, TR3, TC3,
    FULL: tl.constexpr, TAKEN: tl.constexpr, SUM: tl.constexpr, R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n, c = (tl.program_id(0) * R + tl.arange(0, R))[:, None], (tl.program_id(1) * BC + tl.arange(0, BC))[None, :]
    inside = (n < N) & (c < C)
    total = tl.load(f0 + n * FR0 + c * FC0, mask=inside, other=0.0).to(SUM)
    if FULL > 1:
        total += tl.load(f1 + n * FR1 + c * FC1, mask=inside, other=0.0).to(SUM)
    if FULL > 2:
        total += tl.load(f2 + n * FR2 + c * FC2, mask=inside, other=0.0).to(SUM)
    if FULL > 3:
        total += tl.load(f3 + n * FR3 + c * FC3, mask=inside, other=0.0).to(SUM)
    place, taken = c // STEP, inside & (c % STEP == 0)
    total += tl.load(t0 + n * TR0 + place * TC0, mask=taken, other=0.0).to(SUM)
    if TAKEN > 1:
        total += tl.load(t1 + n * TR1 + place * TC1, mask=taken, other=0.0).to(SUM)
    if TAKEN > 2:
        total += tl.load(t2 + n * TR2 + place * TC2, mask=taken, other=0.0).to(SUM)
    if TAKEN > 3:
        total += tl.load(t3 + n * TR3 + place * TC3, mask=taken, other=0.0).to(SUM)
    tl.store(out + n * C + c, total.to(out.dtype.element_ty), mask=inside)
