# mypy: disable-error-code="import-untyped,import-not-found,no-untyped-def"
"""Separable convolution with BN as one Triton kernel: depthwise and grouped 1x1 convolution and the statistics of what comes out.

    y = pointwise(depthwise(copies of x)), scale * BN(y)

Plain layers write the copies of x, read and write them as often as there are layers, and read y once more for its statistics. Here every
program reads the C channels of one source at its pixels and the neighbours of these, and writes y with the mean and the sum of squared
deviations of its pixels (Chan et al. 1983); y is computed again in the backward pass. No atomic sums: partial sums of gradients are
written by program and added by PyTorch. The wide maps that remain are y, and the gradient of the depthwise convolution.

The kernels have never run on a GPU, so no network uses them: the stage kernels of benchmarks/gpu.py measures them against the plain layers.
This module needs Triton; in its interpreter (TRITON_INTERPRET=1) the kernels run on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from .recompute import Copies, Geometry

PIXELS = 64  # of a program
TYPES = {torch.float64: tl.float64, torch.float32: tl.float32, torch.bfloat16: tl.float32, torch.float16: tl.float32}  # of sums


def separable_norm(
    x: Tensor, kernel: Tensor, matrix: Tensor, copies: Copies, geometry: Geometry, norm: nn.BatchNorm2d, scale_C: Tensor | None
) -> Tensor:
    """scale * norm(pointwise(depthwise(copies of x))) in training, for a `norm` that is not affine.

    Args:
        x: [B, sources * C, H, W] in channels_last order, C a power of two.
        kernel: depthwise, [sources * times * C, 1, k, k].
        matrix: of the 1x1 convolution with a group for each copy, [sources * times * C, C, 1, 1].
        geometry: of the depthwise convolution, the same in both directions.

    Raises:
        ValueError: C is no power of two.
    """
    channels = matrix.shape[1]
    if channels & (channels - 1):
        raise ValueError(f"{channels} channels a group: the kernel needs a power of two")
    x = x.contiguous(memory_format=torch.channels_last)
    return _SeparableNorm.apply(x, kernel.contiguous(), matrix.contiguous(), scale_C, copies, geometry, norm)


class _SeparableNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, matrix: Tensor, scale: Tensor | None, copies: Copies, geometry: Geometry, norm: nn.BatchNorm2d
    ) -> Tensor:
        assert norm.momentum is not None and norm.running_mean is not None and norm.running_var is not None
        y, mean, var = _convolved(x, kernel, matrix, copies, geometry)
        count = y.numel() // y.shape[1]
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
        norm.running_var.lerp_((var * (count / max(count - 1, 1))).to(norm.running_var.dtype), norm.momentum)
        ctx.save_for_backward(x, kernel, matrix, scale, mean, (var + norm.eps).rsqrt())
        ctx.copies, ctx.geometry, ctx.eps = copies, geometry, norm.eps
        return torch.native_batch_norm(y, scale, None, mean, var, False, 0.0, norm.eps)[0]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, kernel, matrix, scale, mean, invstd = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of the gradient is asked for: that of the plain layers
            inputs = [one for one, asked in zip((x, kernel, matrix, scale), ctx.needs_input_grad, strict=False) if asked]
            y = F.conv2d(F.conv2d(ctx.copies.of(x), kernel, None, *ctx.geometry), matrix, groups=len(matrix) // matrix.shape[1])
            found = iter(torch.autograd.grad(F.batch_norm(y, None, None, scale, None, True, 0.0, ctx.eps), inputs, g, create_graph=True))
            return *(next(found) if asked else None for asked in ctx.needs_input_grad[:4]), None, None, None
        y = _convolved(x, kernel, matrix, ctx.copies, ctx.geometry)[0]
        g, asks = g.contiguous(memory_format=torch.channels_last), [True, scale is not None and ctx.needs_input_grad[3], False]
        slope, of_scale, _ = torch.ops.aten.native_batch_norm_backward(g, y, scale, None, None, mean, invstd, True, ctx.eps, asks)
        of_x, of_kernel, of_matrix = _gradients(slope, x, kernel, matrix, ctx.copies, ctx.geometry)
        return of_x, of_kernel, of_matrix, of_scale if asks[1] else None, None, None, None


def _sizes(x: Tensor, kernel: Tensor, matrix: Tensor, copies: Copies, geometry: Geometry) -> tuple[tuple[int, ...], dict[str, Any]]:
    """[B, H', W'] and the arguments that all kernels take."""
    k, dilation, stride, padding = kernel.shape[2], geometry.dilation[0], geometry.stride[0], geometry.padding[0]
    height, width = ((size + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for size in x.shape[2:])
    sizes = {"H": x.shape[2], "W": x.shape[3], "OH": height, "OW": width, "CX": x.shape[1], "CY": len(matrix)}
    steps = {"STRIDE": stride, "PAD": padding, "DILATION": dilation, "TIMES": copies.times}
    return (len(x), height, width), sizes | steps | {"K": k, "C": matrix.shape[1], "P": PIXELS, "SUM": TYPES[x.dtype]}


def _convolved(x: Tensor, kernel: Tensor, matrix: Tensor, copies: Copies, geometry: Geometry) -> tuple[Tensor, Tensor, Tensor]:
    """y, and mean and variance of its channels, in the type of sums."""
    (b, height, width), sizes = _sizes(x, kernel, matrix, copies, geometry)
    count, kind = b * height * width, torch.promote_types(x.dtype, torch.float32)
    y = torch.empty(b, len(matrix), height, width, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    programs = triton.cdiv(count, PIXELS)
    means, deviations = torch.empty(2, programs, len(matrix), dtype=kind, device=x.device)
    _forward_kernel[(programs, len(matrix) // matrix.shape[1])](x, kernel, matrix, y, means, deviations, count, **sizes)
    seen = torch.full((programs, 1), PIXELS, dtype=kind, device=x.device)
    seen[-1] = count - (programs - 1) * PIXELS
    mean = (seen * means).sum(0) / count
    return y, mean, (deviations + seen * (means - mean).square()).sum(0) / count


def _gradients(g: Tensor, x: Tensor, kernel: Tensor, matrix: Tensor, copies: Copies, geometry: Geometry) -> tuple[Tensor, Tensor, Tensor]:
    """Of x, kernel and matrix, for the gradient g of y."""
    (b, height, width), sizes = _sizes(x, kernel, matrix, copies, geometry)
    count, kind, groups = b * height * width, torch.promote_types(x.dtype, torch.float32), len(matrix) // matrix.shape[1]
    g, programs = g.contiguous(memory_format=torch.channels_last), triton.cdiv(count, PIXELS)
    wide, of_x = torch.empty_like(g), torch.empty_like(x)
    of_kernel = torch.empty(programs, *kernel.shape, dtype=kind, device=x.device)
    of_matrix = torch.empty(programs, *matrix.shape, dtype=kind, device=x.device)
    _weight_gradient_kernel[(programs, groups)](g, x, kernel, matrix, wide, of_kernel, of_matrix, count, **sizes)
    pixels = x.numel() // x.shape[1]
    _input_gradient_kernel[(triton.cdiv(pixels, PIXELS), copies.sources)](wide, kernel, of_x, pixels, **sizes)
    return of_x, of_kernel.sum(0).to(kernel.dtype), of_matrix.sum(0).to(matrix.dtype)


@triton.jit
def _forward_kernel(
    x, kernel, matrix, y, means, deviations, count, H, W, OH, OW, CX, CY, STRIDE, PAD, DILATION, TIMES,
    K: tl.constexpr, C: tl.constexpr, P: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    program, group = tl.program_id(0), tl.program_id(1)
    p, c = program * P + tl.arange(0, P), tl.arange(0, C)
    inside, b, row, column = p < count, p // (OH * OW), (p // OW) % OH, p % OW
    d = tl.zeros((P, C), dtype=SUM)
    for r in range(K):
        for s in range(K):
            i, j = row * STRIDE - PAD + r * DILATION, column * STRIDE - PAD + s * DILATION
            seen = inside & (i >= 0) & (i < H) & (j >= 0) & (j < W)
            place = ((b * H + i) * W + j) * CX + group // TIMES * C
            value = tl.load(x + place[:, None] + c[None, :], mask=seen[:, None], other=0.0).to(SUM)
            d += value * tl.load(kernel + ((group * C + c) * K + r) * K + s).to(SUM)[None, :]
    m = tl.load(matrix + (group * C + c)[:, None] * C + c[None, :]).to(SUM)  # outputs, inputs
    out = tl.sum(d[:, None, :] * m[None, :, :], axis=2)
    tl.store(y + p[:, None] * CY + group * C + c[None, :], out.to(y.dtype.element_ty), mask=inside[:, None])
    out = out.to(y.dtype.element_ty).to(SUM)  # statistics are those of what is stored
    number = tl.sum(inside.to(SUM), axis=0)
    mean = tl.sum(tl.where(inside[:, None], out, 0.0), axis=0) / number
    apart = tl.where(inside[:, None], out - mean[None, :], 0.0)
    tl.store(means + program * CY + group * C + c, mean)
    tl.store(deviations + program * CY + group * C + c, tl.sum(apart * apart, axis=0))


@triton.jit
def _weight_gradient_kernel(
    g, x, kernel, matrix, wide, of_kernel, of_matrix, count, H, W, OH, OW, CX, CY, STRIDE, PAD, DILATION, TIMES,
    K: tl.constexpr, C: tl.constexpr, P: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    program, group = tl.program_id(0), tl.program_id(1)
    p, c = program * P + tl.arange(0, P), tl.arange(0, C)
    inside, b, row, column = p < count, p // (OH * OW), (p // OW) % OH, p % OW
    slope = tl.load(g + p[:, None] * CY + group * C + c[None, :], mask=inside[:, None], other=0.0).to(SUM)
    m = tl.load(matrix + (group * C + c)[:, None] * C + c[None, :]).to(SUM)
    inner = tl.sum(slope[:, :, None] * m[None, :, :], axis=1)  # gradient of what the depthwise convolution gives
    tl.store(wide + p[:, None] * CY + group * C + c[None, :], inner.to(wide.dtype.element_ty), mask=inside[:, None])
    d = tl.zeros((P, C), dtype=SUM)
    for r in range(K):
        for s in range(K):
            i, j = row * STRIDE - PAD + r * DILATION, column * STRIDE - PAD + s * DILATION
            seen = inside & (i >= 0) & (i < H) & (j >= 0) & (j < W)
            place = ((b * H + i) * W + j) * CX + group // TIMES * C
            value = tl.load(x + place[:, None] + c[None, :], mask=seen[:, None], other=0.0).to(SUM)
            tap = ((group * C + c) * K + r) * K + s
            d += value * tl.load(kernel + tap).to(SUM)[None, :]
            tl.store(of_kernel + program * CY * K * K + tap, tl.sum(inner * value, axis=0))
    entry = program * CY * C + (group * C + c)[:, None] * C + c[None, :]
    tl.store(of_matrix + entry, tl.sum(slope[:, :, None] * d[:, None, :], axis=0))


@triton.jit
def _input_gradient_kernel(
    wide, kernel, of_x, count, H, W, OH, OW, CX, CY, STRIDE, PAD, DILATION, TIMES,
    K: tl.constexpr, C: tl.constexpr, P: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    program, source = tl.program_id(0), tl.program_id(1)
    p, c = program * P + tl.arange(0, P), tl.arange(0, C)
    inside, b, row, column = p < count, p // (H * W), (p // W) % H, p % W
    total = tl.zeros((P, C), dtype=SUM)
    for copy in range(TIMES):
        group = source * TIMES + copy
        for r in range(K):
            for s in range(K):
                i, j = row + PAD - r * DILATION, column + PAD - s * DILATION
                seen = inside & (i >= 0) & (j >= 0) & (i % STRIDE == 0) & (j % STRIDE == 0) & (i // STRIDE < OH) & (j // STRIDE < OW)
                place = ((b * OH + i // STRIDE) * OW + j // STRIDE) * CY + group * C
                value = tl.load(wide + place[:, None] + c[None, :], mask=seen[:, None], other=0.0).to(SUM)
                total += value * tl.load(kernel + ((group * C + c) * K + r) * K + s).to(SUM)[None, :]
    tl.store(of_x + p[:, None] * CX + source * C + c[None, :], total.to(of_x.dtype.element_ty), mask=inside[:, None])
