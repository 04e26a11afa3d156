"""Poolings 3x3 of a search; the average does not count the padding, its gradient right in channels_last order on CUDA, too.

PyTorch's gradient there is another one where the padding is not 0 (issue 188344, found in 2026; its versions up to 2.13 at least have
it), so the gradient is that of a pooling without padding of the map that was padded before:

    y = sum of the window / number of its pixels in the map = avg_pool(pad(x), padding 0) * 9 / pixels
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from . import device


class AveragePool(nn.Module):
    """[B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)]."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.scales: dict[tuple[object, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if device.has_triton(x):
            from .fused_pool import pool

            return pool(x, self.stride, maximum=False)
        return self.padded_before(x) if device.on_cuda(x) else F.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)

    def padded_before(self, x: Tensor) -> Tensor:
        """The same with the gradient of a pooling without padding, on any device."""
        key = (x.shape[2:], x.dtype, x.device)
        if key not in self.scales:  # 9 / the number of pixels of each window that lie in the map: exact in bf16 and fp16
            scale = F.avg_pool2d(torch.ones_like(x[:1, :1].detach()), 3, self.stride, 1).reciprocal()
            self.scales[key] = scale.to(x.dtype)  # autocast computes reciprocals in float32, in which the gradient would be
        return _Pool.apply(x, self.scales[key], self.stride)


class MaxPool(nn.MaxPool2d):
    """Maximum pooling, [B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)]."""

    def __init__(self, stride: int) -> None:
        super().__init__(3, stride, 1)
        self.step = stride

    def forward(self, x: Tensor) -> Tensor:
        if device.has_triton(x):
            from .fused_pool import pool

            return pool(x, self.step, maximum=True)
        return super().forward(x)


class _Pool(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(scale)
        ctx.shape, ctx.stride = x.shape, stride
        return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (scale,), (b, c, height, width) = ctx.saved_tensors, ctx.shape
        padded = torch.empty(b, c, height + 2, width + 2, dtype=g.dtype, device=g.device, memory_format=torch.channels_last)
        stride = [ctx.stride] * 2
        wide = torch.ops.aten.avg_pool2d_backward(g * scale, padded, [3, 3], stride, [0, 0], False, True, None)
        return wide[:, :, 1:-1, 1:-1], None, None
