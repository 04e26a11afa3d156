# mypy: disable-error-code="import-untyped,import-not-found,no-untyped-def"
"""Maximum and average pooling 3x3 with a padding of one as Triton kernels: for CUDA.

Of the average the padding is not counted. A gradient is gathered, not scattered: each pixel reads the windows that it is part of, so there
are no atomic sums and nothing is padded. The maximum keeps one byte a window, the position of the first largest pixel.

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

from .fused_norm import TYPES, grid_of, pixel_rows

TILE = 1024  # entries of a map that a program holds at a time
SIZES = ["N", "H", "W", "OH", "OW"]  # whose values make no other kernels


def pool(x: Tensor, stride: int, *, maximum: bool) -> Tensor:
    """[B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)] in channels_last order."""
    return _Pool.apply(x, stride, maximum)


class _Pool(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int, maximum: bool) -> Tensor:
        b, c, height, width = x.shape
        size = b, c, (height - 1) // stride + 1, (width - 1) // stride + 1
        out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        window = torch.empty(out.numel() if maximum else 1, dtype=torch.uint8, device=x.device)
        lying, row, column = pixel_rows(x)
        pixels = out.numel() // c
        grid, tile = grid_of(pixels, c, TILE)
        _pool_kernel[grid](
            lying, out, window, pixels, height, width, *size[2:], row, column, C=c, STRIDE=stride, MAX=maximum, SUM=TYPES[x.dtype], **tile
        )
        ctx.save_for_backward(x, window)
        ctx.stride, ctx.maximum = stride, maximum
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        x, window = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is asked for: that of PyTorch's operations
            forms = {"kernel_size": 3, "stride": ctx.stride, "padding": 1}
            y = F.max_pool2d(x, **forms) if ctx.maximum else F.avg_pool2d(x.contiguous(), **forms, count_include_pad=False)
            return torch.autograd.grad(y, x, g, create_graph=True)[0], None, None
        of_x = torch.empty_like(x, memory_format=torch.channels_last)
        lying, row, column = pixel_rows(g)
        pixels = x.numel() // x.shape[1]
        grid, tile = grid_of(pixels, x.shape[1], TILE)
        _pool_gradient_kernel[grid](
            lying, window, of_x, pixels, *x.shape[2:], *g.shape[2:], row, column,
            C=x.shape[1], STRIDE=ctx.stride, MAX=ctx.maximum, SUM=TYPES[x.dtype], **tile,
        )  # fmt: skip
        return of_x, None, None


@triton.jit(do_not_specialize=SIZES)
def _pool_kernel(
    x, out, window, N, H, W, OH, OW, X_ROW, X_COLUMN,
    C: tl.constexpr, STRIDE: tl.constexpr, MAX: tl.constexpr, SUM: tl.constexpr, R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n, c = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * BC + tl.arange(0, BC)
    inside, top, left = (n < N)[:, None] & (c < C)[None, :], n // OW % OH * STRIDE - 1, n % OW * STRIDE - 1
    image = n // (OH * OW) * H
    result = tl.full((R, BC), float("-inf") if MAX else 0.0, dtype=SUM)
    position = tl.zeros((R, BC), dtype=tl.int32)
    for tap in tl.static_range(9):
        i, j = top + tap // 3, left + tap % 3
        seen = inside & ((i >= 0) & (i < H) & (j >= 0) & (j < W))[:, None]
        offset = ((image + i) * W + j)[:, None] * X_ROW + c[None, :] * X_COLUMN
        value = tl.load(x + offset, mask=seen, other=float("-inf") if MAX else 0.0).to(SUM)
        if MAX:
            larger = (value > result) | (value != value)
            result, position = tl.where(larger, value, result), tl.where(larger, tap, position)
        else:
            result += value
    if MAX:
        tl.store(window + n[:, None] * C + c[None, :], position.to(tl.uint8), mask=inside)
    else:
        rows, columns = tl.minimum(top + 3, H) - tl.maximum(top, 0), tl.minimum(left + 3, W) - tl.maximum(left, 0)
        result = result / (rows * columns).to(SUM)[:, None]
    tl.store(out + n[:, None] * C + c[None, :], result.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def _pool_gradient_kernel(
    g, window, of_x, N, H, W, OH, OW, G_ROW, G_COLUMN,
    C: tl.constexpr, STRIDE: tl.constexpr, MAX: tl.constexpr, SUM: tl.constexpr, R: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    n, c = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * BC + tl.arange(0, BC)
    inside, row, column = (n < N)[:, None] & (c < C)[None, :], n // W % H, n % W
    image = n // (H * W) * OH
    total = tl.zeros((R, BC), dtype=SUM)
    for tap in tl.static_range(9):
        down, right = row + 1 - tap // 3, column + 1 - tap % 3
        i, j = down // STRIDE, right // STRIDE
        seen = (down >= 0) & (right >= 0) & (i * STRIDE == down) & (j * STRIDE == right) & (i < OH) & (j < OW)
        read, pixel = inside & seen[:, None], (image + i) * OW + j
        value = tl.load(g + pixel[:, None] * G_ROW + c[None, :] * G_COLUMN, mask=read, other=0.0).to(SUM)
        if MAX:
            position = tl.load(window + pixel[:, None] * C + c[None, :], mask=read, other=9).to(tl.int32)
            total += tl.where(position == tap, value, 0.0)
        else:
            top, left = i * STRIDE - 1, j * STRIDE - 1
            rows, columns = tl.minimum(top + 3, H) - tl.maximum(top, 0), tl.minimum(left + 3, W) - tl.maximum(left, 0)
            total += value / tl.maximum(rows * columns, 1).to(SUM)[:, None]
    tl.store(of_x + n[:, None] * C + c[None, :], total.to(of_x.dtype.element_ty), mask=inside)
