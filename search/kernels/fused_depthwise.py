# mypy: disable-error-code="import-untyped,import-not-found,no-untyped-def"
"""Depthwise convolution of copies of a map as Triton kernels, without the copies: for CUDA.

    y[n, s, t, c] = sum_k w[s, t, c, k] * x[n + k, s, c]        x [pixels, sources * C], y [pixels, sources * times * C]

The operations on the edges from a node are `times` depthwise convolutions of each of its channels. The forward pass reads x in place of
its copies, and the gradient of x is the sum over the copies at once. The gradient of the kernels is PyTorch's.

This module needs Triton; in its interpreter (TRITON_INTERPRET=1) the kernels run on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from .fused_maps import copies_of
from .fused_norm import TYPES, grid_of

TILE = 2048  # entries of a map that a program holds at a time
SIZES = ["N", "H", "W", "OH", "OW", "TIMES"]  # whose values make no other kernels


def copied_depthwise(x: Tensor, kernel: Tensor, times: int, sources: int, stride: int, padding: int, dilation: int) -> Tensor:
    """The convolution of x [B, sources * C, H, W], each block of channels `times` times, with [sources * times * C, 1, k, k]."""
    return _CopiedDepthwise.apply(x.contiguous(memory_format=torch.channels_last), kernel, times, sources, stride, padding, dilation)


class _CopiedDepthwise(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, times: int, sources: int, stride: int, padding: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.copies, ctx.form = (times, sources), (stride, padding, dilation)
        (b, c, *size), k = x.shape, kernel.shape[2]
        height, width = ((length + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for length in size)
        out = torch.empty(b, len(kernel), height, width, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        pixels = b * height * width
        grid, tile = grid_of(pixels, len(kernel), TILE)
        _depthwise_kernel[grid](
            x, kernel.contiguous(), out, pixels, *size, height, width, times, **_constants(ctx, c, k), **tile, SUM=TYPES[x.dtype],
        )  # fmt: skip
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (x, kernel), (stride, padding, dilation), (times, sources) = ctx.saved_tensors, ctx.form, ctx.copies
        asks, of_x, of_kernel = ctx.needs_input_grad[:2], None, None
        if torch.is_grad_enabled():  # a gradient of the gradient is asked for: that of PyTorch's operations
            wide = torch.cat([block for block in x.chunk(sources, dim=1) for _ in range(times)], dim=1)
            out = F.conv2d(wide, kernel, None, stride, padding, dilation, len(kernel))
            gradients = iter(
                torch.autograd.grad(out, [one for one, asked in zip((x, kernel), asks, strict=True) if asked], g, create_graph=True)
            )
            return *(next(gradients) if asked else None for asked in asks), *[None] * 5
        g = g.contiguous(memory_format=torch.channels_last)
        if asks[0]:
            of_x = torch.empty_like(x)
            _, c, *size = x.shape
            grid, tile = grid_of(x.numel() // c, c, TILE)
            _depthwise_gradient_kernel[grid](
                g, kernel.contiguous(), of_x, x.numel() // c, *size, *g.shape[2:], times,
                **_constants(ctx, c, kernel.shape[2]), **tile, SUM=TYPES[x.dtype],
            )  # fmt: skip
        if asks[1]:
            wide, form = copies_of(x, times, sources) if times > 1 else x, [[number] * 2 for number in ctx.form]
            mask = [False, True, False]
            of_kernel = torch.ops.aten.convolution_backward(g, wide, kernel, None, *form, False, [0, 0], len(kernel), mask)[1]
        return of_x, of_kernel, *[None] * 5


def _constants(ctx: Any, channels: int, size: int) -> dict[str, int]:
    stride, padding, dilation = ctx.form
    return {"STRIDE": stride, "PAD": padding, "DILATION": dilation, "C": channels // ctx.copies[1], "SOURCES": ctx.copies[1], "K": size}


@triton.jit(do_not_specialize=SIZES)
def _depthwise_kernel(
    x, kernel, out, N, H, W, OH, OW, TIMES,
    STRIDE: tl.constexpr, PAD: tl.constexpr, DILATION: tl.constexpr, C: tl.constexpr, SOURCES: tl.constexpr, K: tl.constexpr,
    R: tl.constexpr, BC: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    n, w = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * BC + tl.arange(0, BC)
    wide = C * SOURCES * TIMES
    known, inside = w < wide, (n < N)[:, None] & (w < wide)[None, :]
    narrow, top, left, image = w // (C * TIMES) * C + w % C, n // OW % OH * STRIDE - PAD, n % OW * STRIDE - PAD, n // (OH * OW) * H
    total = tl.zeros((R, BC), dtype=SUM)
    for r in range(K):
        i = top + r * DILATION
        for s in tl.static_range(K):
            j = left + s * DILATION
            seen = inside & ((i >= 0) & (i < H) & (j >= 0) & (j < W))[:, None]
            value = tl.load(x + ((image + i) * W + j)[:, None] * (C * SOURCES) + narrow[None, :], mask=seen, other=0.0).to(SUM)
            total += value * tl.load(kernel + w * (K * K) + r * K + s, mask=known, other=0.0).to(SUM)[None, :]
    tl.store(out + n[:, None] * wide + w[None, :], total.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def _depthwise_gradient_kernel(
    g, kernel, of_x, N, H, W, OH, OW, TIMES,
    STRIDE: tl.constexpr, PAD: tl.constexpr, DILATION: tl.constexpr, C: tl.constexpr, SOURCES: tl.constexpr, K: tl.constexpr,
    R: tl.constexpr, BC: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    n, c = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * BC + tl.arange(0, BC)
    wide = C * SOURCES * TIMES
    known, inside = c < C * SOURCES, (n < N)[:, None] & (c < C * SOURCES)[None, :]
    row, column, image, first = n // W % H + PAD, n % W + PAD, n // (H * W) * OH, c // C * (C * TIMES) + c % C
    total = tl.zeros((R, BC), dtype=SUM)
    for copy in range(TIMES):
        w = first + copy * C
        for r in range(K):
            down = row - r * DILATION
            i = down // STRIDE
            meets = (down >= 0) & (i * STRIDE == down) & (i < OH)
            for s in tl.static_range(K):
                right = column - s * DILATION
                j = right // STRIDE
                seen = inside & (meets & (right >= 0) & (j * STRIDE == right) & (j < OW))[:, None]
                value = tl.load(g + ((image + i) * OW + j)[:, None] * wide + w[None, :], mask=seen, other=0.0).to(SUM)
                total += value * tl.load(kernel + w * (K * K) + r * K + s, mask=known, other=0.0).to(SUM)[None, :]
    tl.store(of_x + n[:, None] * (C * SOURCES) + c[None, :], total.to(of_x.dtype.element_ty), mask=inside)
