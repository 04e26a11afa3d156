# mypy: disable-error-code="import-untyped,import-not-found,no-untyped-def"
"""BN of blocks of channels and the sum of the blocks as Triton kernels: for CUDA, in training.

    out[n, c] = sum_k scale[k, c] * (y[n, k, c] - mean[k, c]) / std[k, c]        y [pixels, K * C], out [pixels, C]

The operations on an edge are K blocks of one map, whose weighted sum is what the next node receives. By PyTorch's operations the
normalized map is written and read again by K - 1 additions, and the gradient of the sum is copied K times before BN's gradient reads it;
here both passes read y twice and write what comes out once. PyTorch's statistics in channels_last order took eleven times as long on an
H200 as reading the map does (docs/gpu.md).

Statistics are combined from parts of the pixels (Chan et al. 1983), each computed by one program: no atomic sums, the same values give
the same bits. Sums are in float32, in float64 for maps of float64.

This module needs Triton; in its interpreter (TRITON_INTERPRET=1) the kernels run on a CPU.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from .batch_norm import block_sum

TILE = 4096  # entries of a map that a program holds at a time
PROGRAMS = 528  # four for each multiprocessor of an H200
MAX_PARTS = 512  # of the pixels
COUNTS = ["N", "ROWS", "parts"]  # whose values make no other kernels
LARGEST = 2**31 - 1  # entries of a map: kernels count in 32 bits
TYPES = {torch.float64: tl.float64, torch.float32: tl.float32, torch.bfloat16: tl.float32, torch.float16: tl.float32}  # of sums


def norm_sum(y: Tensor, norm: nn.BatchNorm2d, scale_C: Tensor | None, blocks: int = 1, *, relu: bool = False) -> Tensor:
    """The sum over `blocks` of channels of scale * norm(y), [B, C / blocks, H, W], for a `norm` in training that is not affine.

    Args:
        y: [B, C, H, W], read in channels_last order.
        relu: the negative part of the result is set to zero; for one block.

    Raises:
        ValueError: y has 2^31 entries or more.
    """
    if y.numel() > LARGEST:
        raise ValueError(f"{y.numel()} entries in a map, and the kernel counts to {LARGEST}: take a smaller batch")
    assert not (relu and blocks > 1) and y.shape[1] % blocks == 0
    return _NormSum.apply(y.contiguous(memory_format=torch.channels_last), scale_C, norm, blocks, relu)


class _NormSum(Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, scale: Tensor | None, norm: nn.BatchNorm2d, blocks: int, relu: bool) -> Tensor:
        statistics = _statistics(y, norm)
        b, channels, height, width = y.shape
        out = torch.empty(b, channels // blocks, height, width, dtype=y.dtype, device=y.device, memory_format=torch.channels_last)
        grid, tile = grid_of(b * height * width, out.shape[1])
        _apply_kernel[grid](y, *statistics, _or(scale, statistics[0]), out, *_sizes(y, blocks), blocks, **_flags(y, scale, relu), **tile)
        ctx.save_for_backward(y, scale, *statistics)
        ctx.blocks, ctx.relu, ctx.eps = blocks, relu, norm.eps
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        y, scale, mean, invstd = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is asked for: that of PyTorch's operations
            inputs = [one for one, asked in zip((y, scale), ctx.needs_input_grad, strict=False) if asked]
            out = block_sum(F.batch_norm(y, None, None, scale, None, True, 0.0, ctx.eps), ctx.blocks, relu=ctx.relu)
            gradients = iter(torch.autograd.grad(out, inputs, g, create_graph=True))
            return *(next(gradients) if asked else None for asked in ctx.needs_input_grad[:2]), None, None, None
        g, row, column = pixel_rows(g)
        slope, tile, flags = torch.empty_like(y), tile_of(g.shape[1]), _flags(y, scale, ctx.relu)
        pixels, parts, rows = _parts(y, ctx.blocks)
        sums = torch.empty(2, parts, y.shape[1], dtype=mean.dtype, device=y.device)
        operands, across = (g, y, mean, invstd, _or(scale, mean)), ctx.blocks * triton.cdiv(g.shape[1], tile["BC"])
        _reduce_kernel[(parts, across)](*operands, sums, sums[1], *_sizes(y, ctx.blocks), row, column, rows, **flags, **tile)
        total, weighted = _column_sums(sums)
        _gradient_kernel[(triton.cdiv(pixels, tile["R"]), across)](
            *operands, total, weighted, slope, *_sizes(y, ctx.blocks), row, column, **flags, **tile
        )
        return slope, weighted.to(scale.dtype) if scale is not None and ctx.needs_input_grad[1] else None, None, None, None


def _column_sums(parts: Tensor) -> Tensor:
    """[2, parts, C] -> [2, C]."""
    _, rows, channels = parts.shape
    out = torch.empty(2, channels, dtype=parts.dtype, device=parts.device)
    grid = (triton.cdiv(channels, 8), 2)
    _column_sum_kernel[grid](parts, out, channels, rows, PARTS=MAX_PARTS, BC=8)
    return out


def _statistics(y: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation of the channels, in the type of sums; the running statistics are brought up to date."""
    pixels, parts, rows = _parts(y)
    kind, channels, tile = torch.promote_types(y.dtype, torch.float32), y.shape[1], tile_of(y.shape[1])
    means, deviations = torch.empty(2, parts, channels, dtype=kind, device=y.device)
    statistics = torch.empty(2, channels, dtype=kind, device=y.device)
    grid = parts, triton.cdiv(channels, tile["BC"])
    _statistics_kernel[grid](y, means, deviations, pixels, channels, rows, SUM=TYPES[y.dtype], **tile)
    mean, var = norm.running_mean, norm.running_var
    assert norm.momentum is not None and (mean is None) == (var is None)
    settings = _settings(norm.eps, norm.momentum, y.device)
    _combine_kernel[(triton.cdiv(channels, 8),)](
        means, deviations, _or(mean, means), _or(var, means), statistics, settings, pixels, channels, rows, parts,
        TRACKED=mean is not None, PARTS=MAX_PARTS, BC=8, SUM=TYPES[y.dtype],
    )  # fmt: skip
    return statistics[0], statistics[1]


@cache
def _settings(eps: float, momentum: float, device: torch.device) -> Tensor:
    """Both on the device: as arguments of a kernel they would have 32 bits."""
    return torch.tensor([eps, momentum], dtype=torch.float64, device=device)


def _or(tensor: Tensor | None, other: Tensor) -> Tensor:
    """A kernel wants a pointer also where it reads nothing."""
    return other if tensor is None else tensor


def grid_of(pixels: int, channels: int, entries: int = TILE) -> tuple[tuple[int, int], dict[str, int]]:
    """The programs that cover a map, and the pixels and channels of each."""
    tile = tile_of(channels, entries)
    return (triton.cdiv(pixels, tile["R"]), triton.cdiv(channels, tile["BC"])), tile


def tile_of(channels: int, entries: int = TILE) -> dict[str, int]:
    """Pixels and channels that a program holds at a time."""
    width = min(64, triton.next_power_of_2(channels))
    return {"R": entries // width, "BC": width}


def _parts(y: Tensor, blocks: int = 1) -> tuple[int, int, int]:
    """Number of pixels, of their parts, and of the pixels of each part but the last."""
    pixels, width = y.numel() // y.shape[1], y.shape[1] // blocks
    tile = tile_of(width)
    parts = max(1, min(MAX_PARTS, PROGRAMS // (blocks * triton.cdiv(width, tile["BC"]))))
    rows = triton.cdiv(triton.cdiv(pixels, parts), tile["R"]) * tile["R"]
    return pixels, triton.cdiv(pixels, rows), rows


def _sizes(y: Tensor, blocks: int) -> tuple[int, int, int]:
    """Pixels, channels, channels of a block."""
    return y.numel() // y.shape[1], y.shape[1], y.shape[1] // blocks


def _flags(y: Tensor, scale: Tensor | None, relu: bool) -> dict[str, Any]:
    return {"SCALED": scale is not None, "RELU": relu, "SUM": TYPES[y.dtype]}


def pixel_rows(x: Tensor) -> tuple[Tensor, int, int]:
    """x with the distances in memory of two pixels and of two channels: as it lies if its pixels follow one another, else a copy."""
    of_image, of_channel, of_row, of_pixel = x.stride()
    if of_row != x.shape[3] * of_pixel or of_image != x.shape[2] * of_row or not of_pixel:
        x = x.contiguous(memory_format=torch.channels_last)
        return x, x.shape[1], 1
    return x, of_pixel, of_channel


@triton.jit(do_not_specialize=COUNTS[:2])
def _statistics_kernel(y, means, deviations, N, W, ROWS, R: tl.constexpr, BC: tl.constexpr, SUM: tl.constexpr):
    part, c = tl.program_id(0), tl.program_id(1) * BC + tl.arange(0, BC)
    start = part * ROWS
    end = tl.minimum(start + ROWS, N)
    mean, deviation = tl.zeros((BC,), dtype=SUM), tl.zeros((BC,), dtype=SUM)
    for first in range(start, end, R):
        n = first + tl.arange(0, R)
        inside = (n < end)[:, None] & (c < W)[None, :]
        value = tl.load(y + n[:, None] * W + c[None, :], mask=inside, other=0.0).to(SUM)
        number, before = tl.minimum(end - first, R).to(SUM), (first - start).to(SUM)
        own = tl.sum(value, axis=0) / number
        apart = tl.where(inside, value - own[None, :], 0.0)
        distance = own - mean
        mean += distance * (number / (before + number))
        deviation += tl.sum(apart * apart, axis=0) + distance * distance * (before * number / (before + number))
    tl.store(means + part * W + c, mean, mask=c < W)
    tl.store(deviations + part * W + c, deviation, mask=c < W)


@triton.jit(do_not_specialize=COUNTS[:3])
def _combine_kernel(
    means, deviations, running_mean, running_var, statistics, settings, N, W, ROWS, parts,
    TRACKED: tl.constexpr, PARTS: tl.constexpr, BC: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    c, part = tl.program_id(0) * BC + tl.arange(0, BC), tl.arange(0, PARTS)
    known, inside = c < W, (part < parts)[:, None] & (c < W)[None, :]
    entry = part[:, None] * W + c[None, :]
    own, apart = tl.load(means + entry, mask=inside, other=0.0), tl.load(deviations + entry, mask=inside, other=0.0)
    number = tl.where(part < parts, tl.minimum(N - part * ROWS, ROWS), 0).to(SUM)[:, None]
    pixels = tl.full((BC,), 0, tl.int32) + N
    count = pixels.to(SUM)
    mean = tl.sum(own * number, axis=0) / count
    distance = own - mean[None, :]
    var = tl.sum(apart + number * distance * distance, axis=0) / count
    eps, momentum = tl.load(settings).to(SUM), tl.load(settings + 1).to(SUM)
    tl.store(statistics + c, mean, mask=known)
    tl.store(statistics + W + c, 1.0 / tl.sqrt(var + eps), mask=known)
    if TRACKED:
        old_mean, old_var = tl.load(running_mean + c, mask=known).to(SUM), tl.load(running_var + c, mask=known).to(SUM)
        unbiased = var * (count / tl.maximum(pixels - 1, 1).to(SUM))
        tl.store(running_mean + c, (old_mean + momentum * (mean - old_mean)).to(running_mean.dtype.element_ty), mask=known)
        tl.store(running_var + c, (old_var + momentum * (unbiased - old_var)).to(running_var.dtype.element_ty), mask=known)


@triton.jit(do_not_specialize=COUNTS[2:])
def _column_sum_kernel(sums, out, W, parts, PARTS: tl.constexpr, BC: tl.constexpr):
    c, part, first = tl.program_id(0) * BC + tl.arange(0, BC), tl.arange(0, PARTS), tl.program_id(1)
    inside = (part < parts)[:, None] & (c < W)[None, :]
    values = tl.load(sums + (first * parts + part)[:, None] * W + c[None, :], mask=inside, other=0.0)
    tl.store(out + first * W + c, tl.sum(values, axis=0), mask=c < W)


@triton.jit(do_not_specialize=["N", "BLOCKS"])
def _apply_kernel(
    y, mean, invstd, scale, out, N, W, NARROW, BLOCKS,
    SCALED: tl.constexpr, RELU: tl.constexpr, R: tl.constexpr, BC: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    n, c = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * BC + tl.arange(0, BC)
    known, inside = c < NARROW, (n < N)[:, None] & (c < NARROW)[None, :]
    total = tl.zeros((R, BC), dtype=SUM)
    for block in range(BLOCKS):
        w = block * NARROW + c
        slope = tl.load(invstd + w, mask=known, other=0.0)
        if SCALED:
            slope *= tl.load(scale + w, mask=known, other=0.0).to(SUM)
        value = tl.load(y + n[:, None] * W + w[None, :], mask=inside, other=0.0).to(SUM)
        total += (value - tl.load(mean + w, mask=known, other=0.0)[None, :]) * slope[None, :]
    if RELU:
        total = tl.maximum(total, 0.0)
    tl.store(out + n[:, None] * NARROW + c[None, :], total.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=COUNTS[:2])
def _reduce_kernel(
    g, y, mean, invstd, scale, totals, weighted, N, W, NARROW, G_ROW, G_COLUMN, ROWS,
    SCALED: tl.constexpr, RELU: tl.constexpr, R: tl.constexpr, BC: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    part, tiles = tl.program_id(0), tl.cdiv(NARROW, BC)
    c = tl.program_id(1) % tiles * BC + tl.arange(0, BC)
    known, column, w = c < NARROW, c * G_COLUMN, tl.program_id(1) // tiles * NARROW + c
    start = part * ROWS
    end = tl.minimum(start + ROWS, N)
    mu, slope = tl.load(mean + w, mask=known, other=0.0)[None, :], tl.load(invstd + w, mask=known, other=0.0)[None, :]
    total, product = tl.zeros((BC,), dtype=SUM), tl.zeros((BC,), dtype=SUM)
    for first in range(start, end, R):
        n = first + tl.arange(0, R)
        inside = (n < end)[:, None] & known[None, :]
        normal = (tl.load(y + n[:, None] * W + w[None, :], mask=inside, other=0.0).to(SUM) - mu) * slope
        from_out = tl.load(g + n[:, None] * G_ROW + column[None, :], mask=inside, other=0.0).to(SUM)
        if RELU:
            sign = normal
            if SCALED:
                sign = normal * tl.load(scale + w, mask=known, other=0.0).to(SUM)[None, :]
            from_out = tl.where(sign > 0, from_out, 0.0)
        total += tl.sum(from_out, axis=0)
        product += tl.sum(from_out * normal, axis=0)
    tl.store(totals + part * W + w, total, mask=known)
    tl.store(weighted + part * W + w, product, mask=known)


@triton.jit(do_not_specialize=COUNTS[:1])
def _gradient_kernel(
    g, y, mean, invstd, scale, totals, weighted, of_y, N, W, NARROW, G_ROW, G_COLUMN,
    SCALED: tl.constexpr, RELU: tl.constexpr, R: tl.constexpr, BC: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    n, tiles = tl.program_id(0) * R + tl.arange(0, R), tl.cdiv(NARROW, BC)
    c = tl.program_id(1) % tiles * BC + tl.arange(0, BC)
    known, column, w = c < NARROW, c * G_COLUMN, tl.program_id(1) // tiles * NARROW + c
    inside = (n < N)[:, None] & known[None, :]
    count = (tl.full((BC,), 0, tl.int32) + N).to(SUM)
    slope = tl.load(invstd + w, mask=known, other=0.0)
    normal = tl.load(y + n[:, None] * W + w[None, :], mask=inside, other=0.0).to(SUM) - tl.load(mean + w, mask=known, other=0.0)[None, :]
    normal *= slope[None, :]
    from_out = tl.load(g + n[:, None] * G_ROW + column[None, :], mask=inside, other=0.0).to(SUM)
    if SCALED:
        factor = tl.load(scale + w, mask=known, other=0.0).to(SUM)
        slope *= factor
    if RELU:
        sign = normal
        if SCALED:
            sign = normal * factor[None, :]
        from_out = tl.where(sign > 0, from_out, 0.0)
    of_mean = tl.load(totals + w, mask=known, other=0.0) / count
    of_slope = tl.load(weighted + w, mask=known, other=0.0) / count
    value = slope[None, :] * (from_out - of_mean[None, :] - normal * of_slope[None, :])
    tl.store(of_y + n[:, None] * W + w[None, :], value.to(of_y.dtype.element_ty), mask=inside)
