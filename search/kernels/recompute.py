"""Recomputing convolutions, whose backward pass computes again what is cheap instead of keeping it. Knows no cell, no mixing table.

| layer | autograd would keep | kept |
|---|---|---|
| `conv_norm`: y = conv(x, w), scale * BN(y) | x, y | x |
| `depthwise`: a convolution of `Copies` of x | all copies | x |

Both give what the plain layers give, to the bit in the forward pass, and their derivatives of every order: a backward pass consists of
differentiable operations on tensors that belong to the graph. On CUDA, where time is bytes and launches, both are the plain layers.

On a CPU the gradient of a kernel and that of its input come from two nodes, so that autograd computes only those that are asked for (the
architecture step asks for no kernels). Where oneDNN is fast for some shapes only, gradients of depthwise convolutions are computed as
something else that is equal:
- that of the input at stride 1 as a convolution with the kernel turned round: 2 to 10 times faster;
- that of a kernel wider than three in strips of three columns: 2 to 13 times faster;
- that of a kernel of dilation 2 on the four phases of the maps (polyphase.py): twice as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from . import device
from .batch_norm import block_sum, contiguous_gradient
from .pointwise import pointwise, product
from .polyphase import to_polyphase


class Geometry(NamedTuple):
    """How a convolution goes over the map; the kernel brings its own size."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Geometry:
        assert isinstance(conv.padding, tuple)
        return cls(conv.stride, conv.padding, conv.dilation, conv.groups)  # type: ignore[arg-type]


def is_pointwise(weight: Tensor, geometry: Geometry) -> bool:
    """Whether it is a 1x1 convolution at stride 1."""
    return weight.shape[2:] == (1, 1) and geometry.stride == (1, 1) and geometry.padding == (0, 0)


def conv_norm(
    x: Tensor, weight: Tensor, norm: nn.BatchNorm2d, scale_C: Tensor | None, geometry: Geometry, blocks: int = 1, *, relu: bool = False
) -> Tensor:
    """The sum over `blocks` of channels of scale * norm(conv(x, weight)), then, if asked for, ReLU; for a `norm` that is not affine.

    A weight of two dimensions is the matrix of a 1x1 convolution.
    """
    x, weight = _lowered(x), _lowered(weight)
    y = _convolution(x, weight, geometry)
    if device.on_cuda(x):
        return normalized(y, norm, scale_C, blocks, relu=relu)
    return block_sum(_Norm.apply(y, scale_C, (x, weight), geometry, norm), blocks, relu=relu)


def normalized(y: Tensor, norm: nn.BatchNorm2d, scale_C: Tensor | None = None, blocks: int = 1, *, relu: bool = False) -> Tensor:
    """The sum over `blocks` of channels of scale * norm(y), then, if asked for, ReLU: [B, C, H, W] -> [B, C / blocks, H, W].

    In training on CUDA it is computed by fused kernels where Triton is installed (fused_norm.py).
    """
    if norm.training and device.has_triton(y):
        from .fused_norm import norm_sum

        return norm_sum(y, norm, scale_C, blocks, relu=relu)
    assert norm.momentum is not None and norm.weight is None
    out = F.batch_norm(y, norm.running_mean, norm.running_var, scale_C, None, norm.training, norm.momentum, norm.eps)
    return block_sum(contiguous_gradient(out), blocks, relu=relu)


def _convolution(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    if weight.ndim == 2:
        return product(x, weight)
    if is_pointwise(weight, geometry):
        return pointwise(x, weight, geometry.groups)
    return F.conv2d(x, weight, None, *geometry)


class Copies(NamedTuple):
    """The channels of a map, in `sources` blocks, each block `times` times side by side: x_0 x_0 ... x_1 x_1 ..."""

    times: int
    sources: int = 1

    def of(self, x: Tensor) -> Tensor:
        if self.times == 1:
            return x
        return torch.cat([block for block in x.chunk(self.sources, dim=1) for _ in range(self.times)], dim=1)

    def summed(self, wide: Tensor) -> Tensor:
        """The transpose of `of`, by additions of halves: reducing over a dimension between others is slow on a CPU."""
        if self.times == 1:
            return wide
        blocks, times = wide.unflatten(1, (self.sources, self.times, -1)), self.times
        while times % 2 == 0:
            blocks, times = add(*blocks.chunk(2, dim=2)), times // 2
        return reduce(add, blocks.unbind(2)).flatten(1, 2)


def depthwise(x: Tensor, weights: Sequence[Tensor], copies: Copies, geometry: Geometry) -> Tensor:
    """The depthwise convolution of copies of x; the kernels side by side, the smaller ones padded to the size of the last."""
    x, weights = _lowered(x), [_lowered(weight) for weight in weights]
    wide = widest(weights)
    if device.has_triton(x) and device.FUSED_DEPTHWISE:
        from .fused_depthwise import copied_depthwise

        (stride, _), (padding, _), (dilation, _), _ = geometry
        return copied_depthwise(x, wide, *copies, stride, padding, dilation)
    if device.on_cuda(x):
        return F.conv2d(_Copied.apply(x, copies), wide, None, *geometry)
    return _Input.apply(_Kernel.apply((x, wide), copies, geometry, *weights), x, (wide,), copies, geometry)


def widest(weights: Sequence[Tensor]) -> Tensor:
    """The kernels side by side, all padded to the size of the last."""
    size = weights[-1].shape[3]
    padded = [F.pad(w, ((size - w.shape[3]) // 2,) * 4) if w.shape[3] < size else w for w in weights]
    return torch.cat(padded) if len(padded) > 1 else padded[0]


def _lowered(x: Tensor) -> Tensor:
    """As autocast, if it is on, would hand it to a convolution."""
    kind = x.device.type
    lower = x.dtype == torch.float32 and torch.is_autocast_enabled(kind)
    return x.to(torch.get_autocast_dtype(kind)) if lower else x


class _Norm(Function):
    """scale * BN(y) of y = conv(x, weight): y is not kept. Running statistics are updated here, and not again when y is."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, scale: Tensor | None, source: tuple[Tensor, Tensor], geometry: Geometry, norm: nn.BatchNorm2d
    ) -> Tensor:
        assert norm.momentum is not None and norm.weight is None
        mean, var = norm.running_mean, norm.running_var
        out, batch_mean, batch_invstd = torch.native_batch_norm(y, scale, None, mean, var, norm.training, norm.momentum, norm.eps)
        running = (None, None) if norm.training else (mean, var)
        ctx.save_for_backward(*source, scale, *running, batch_mean, batch_invstd)
        ctx.geometry, ctx.training, ctx.eps = geometry, norm.training, norm.eps
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale, *statistics = ctx.saved_tensors
        y = _convolution(x, weight, ctx.geometry)
        needs_gradient = [*ctx.needs_input_grad[:2], False]
        gradients = torch.ops.aten.native_batch_norm_backward(g, y, scale, *statistics, ctx.training, ctx.eps, needs_gradient)
        return *gradients[:2], None, None, None


class _Copied(Function):
    """Copies of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, copies: Copies) -> Tensor:
        ctx.copies = copies
        if copies.times > 1 and device.has_triton(x):
            from .fused_maps import copies_of

            return copies_of(x, *copies)
        return copies.of(x) if copies.times > 1 else x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        if ctx.copies.times > 1 and device.has_triton(g) and not torch.is_grad_enabled():
            from .fused_maps import sum_of_copies

            return sum_of_copies(g, *ctx.copies), None
        return ctx.copies.summed(g), None


class _Kernel(Function):
    """The depthwise convolution of copies of x, and the gradients of its kernels; x and `widest` come without an edge of the graph."""

    @staticmethod
    def forward(ctx: Any, source: tuple[Tensor, Tensor], copies: Copies, geometry: Geometry, *weights: Tensor) -> Tensor:
        x, wide = source
        ctx.save_for_backward(x, wide)
        ctx.copies, ctx.geometry, ctx.sizes = copies, geometry, [weight.shape for weight in weights]
        return F.conv2d(copies.of(x), wide, None, *geometry)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, wide = ctx.saved_tensors
        gradient = _kernel_gradient(g, ctx.copies.of(x), wide, ctx.geometry)
        blocks = gradient.split([size[0] for size in ctx.sizes])
        return None, None, None, *[_middle(block, size) for block, size in zip(blocks, ctx.sizes, strict=True)]


def _middle(kernel: Tensor, size: torch.Size) -> Tensor:
    """Without the padding of `widest`."""
    margin = (kernel.shape[3] - size[3]) // 2
    return kernel.narrow(2, margin, size[2]).narrow(3, margin, size[3])


class _Input(Function):
    """The same value, and the gradient of x; that of the value goes on to `_Kernel`."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, x: Tensor, source: tuple[Tensor], copies: Copies, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(*source)
        ctx.shape, ctx.copies, ctx.geometry = x.shape, copies, geometry
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        if not ctx.needs_input_grad[1]:
            return g, None, None, None, None
        b, c, *size = ctx.shape
        wide = _input_gradient(g, (b, c * ctx.copies.times, *size), weight, ctx.geometry)
        return g, ctx.copies.summed(wide), None, None, None


def _gradients(g: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, mask: list[bool]) -> tuple[Tensor, ...]:
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(g, x, weight, None, stride, padding, dilation, False, (0, 0), groups, mask)


def _input_gradient(g: Tensor, size: tuple[int, ...], weight: Tensor, geometry: Geometry) -> Tensor:
    stride, (vertical, horizontal), dilation, groups = geometry
    if g.device.type == "cpu" and stride == (1, 1) and g.shape[2:] == size[2:]:
        return F.conv2d(g, weight.flip(2, 3), None, 1, (vertical, horizontal), dilation, groups)  # both sides have the same padding
    like = torch.empty(size, dtype=g.dtype, device=g.device, memory_format=torch.channels_last)  # its shape is read
    return _gradients(g, like, weight, geometry, [True, False, False])[0]


STRIP = 3  # columns


def _kernel_gradient(g: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    height, width = weight.shape[2:]
    if g.device.type != "cpu" or geometry.padding != (geometry.dilation[0] * (height // 2), geometry.dilation[1] * (width // 2)):
        return _gradients(g, x, weight, geometry, [False, True, False])[1]
    if geometry.dilation == (2, 2) and geometry.stride == (1, 1) and x.shape[2] % 2 == x.shape[3] % 2 == 0:
        near = Geometry((1, 1), (height // 2, width // 2), (1, 1), geometry.groups)
        return _in_strips(to_polyphase(g), to_polyphase(x), weight, near)
    return _in_strips(g, x, weight, geometry)


def _in_strips(g: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    mask, width = [False, True, False], weight.shape[3]
    if width <= STRIP or geometry.dilation[1] > 1:
        return _gradients(g, x, weight, geometry, mask)[1]
    narrow = geometry._replace(padding=(geometry.padding[0], 0))
    strips: list[Tensor] = []
    for start in [*range(0, width - STRIP, STRIP), width - STRIP]:
        padding_left = width // 2 - start  # the padding that these columns of the kernel see
        strip = _gradients(g, F.pad(x, (padding_left, STRIP - 1 - padding_left)), weight[..., :STRIP], narrow, mask)[1]
        strips.append(strip[..., max(0, len(strips) * STRIP - start) :])
    return torch.cat(strips, dim=3)
