"""Stage kernels: the convolutions of a PC-DARTS step at batch 256, in both formats and two precisions, as multiples of the memory floor.

The floor is the time in which the card copies as many bytes as a convolution has to read and write, its kernel included; a card's cache may
go below it where a map is small. Forward is x, w -> y; `input` is y', w -> x'; `kernel` is y', x -> w'. Beside the formats of a
convolution, a grouped 1x1 convolution is measured as products of matrices: bmm has one for each group and image, and dense one of all
pixels with a matrix that is zero outside of the groups' blocks. tests/benchmarks/test_gpu.py holds
that each of SHAPES takes part in a step; ALTERNATIVES are what nasarch avoids because it is slow on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .context import Context
from .formats import FORMATS
from .timing import back_to_back_us, copy_rate

CALLS = 20
SMALL_CALLS, SMALL_BATCH = 2, 4
TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


class Shape(NamedTuple):
    """A convolution [B, C, side, side] -> [B, outputs, ...], padded so that the side stays or halves."""

    batch: int
    channels: int
    side: int
    outputs: int
    kernel: int
    groups: int
    stride: int = 1
    dilation: int = 1

    @property
    def padding(self) -> int:
        return self.dilation * (self.kernel // 2)

    def __str__(self) -> str:
        kind = "depthwise" if self.groups == self.channels else f"{self.groups} groups" if self.groups > 1 else "dense"
        further = f", stride {self.stride}" * (self.stride > 1) + f", dilation {self.dilation}" * (self.dilation > 1)
        return f"{kind} {self.kernel}x{self.kernel}{further}, {self.batch} x {self.channels} -> {self.outputs} x {self.side}^2"


SHAPES = (
    Shape(256, 64, 32, 64, 5, 64),  # two kernel sizes of two inputs on four edges, side by side
    Shape(256, 64, 32, 64, 1, 16),
    Shape(256, 128, 16, 128, 5, 128),
    Shape(256, 128, 16, 128, 1, 16),
    Shape(256, 256, 8, 256, 5, 256),
    Shape(256, 256, 8, 256, 1, 16),
    Shape(1024, 64, 16, 64, 5, 64),  # dilated kernels, on the four phases of the map
    Shape(256, 128, 32, 128, 5, 128, stride=2),
    Shape(256, 24, 32, 24, 5, 24),
    Shape(256, 24, 32, 24, 1, 6),
    Shape(256, 48, 32, 16, 1, 1),
    Shape(256, 128, 16, 32, 1, 1),
)
ALTERNATIVES = (
    Shape(256, 64, 32, 64, 5, 64, dilation=2),  # in place of the phases
    Shape(256, 64, 32, 64, 3, 64),  # in place of a kernel of 3 padded to 5
)


def run(context: Context) -> None:
    """The copy rate, then each shape in each type and format."""
    rate = copy_rate(context.device)
    context.note("copy rate", {"GB_per_s": rate / 1e9})

    def is_chosen(one: Shape) -> bool:
        return not context.cases or str(one).startswith(context.cases)

    for shape in filter(is_chosen, SHAPES + ALTERNATIVES):
        for kind in TYPES:
            for form in FORMATS:
                context.attempt(f"{shape}, {kind}, {form}", partial(measured, context, shape, kind, form, rate))
            for form in PRODUCTS if shape.kernel == 1 < shape.groups else ():
                context.attempt(f"{shape}, {kind}, {form}", partial(measured, context, shape, kind, form, rate))


def measured(context: Context, shape: Shape, kind: str, form: str, rate: float) -> dict[str, Any]:
    """Microseconds of each direction, and how many times the floor that is."""
    shape = shape._replace(batch=SMALL_BATCH) if context.small else shape
    found: dict[str, Any] = {}
    if form in PRODUCTS:
        calls = PRODUCTS[form](shape, TYPES[kind], context.device)
    else:
        calls = directions(shape, TYPES[kind], FORMATS[form], context.device)
    for name, (call, tensors) in calls.items():
        us = back_to_back_us(call, context.device, SMALL_CALLS if context.small else CALLS)
        floor = 1e6 * sum(tensor.nbytes for tensor in tensors) / rate
        found |= {f"{name}_us": us, f"{name}_floors": us / floor}
    return found


Directions = dict[str, tuple[Callable[[], Any], tuple[Tensor, ...]]]


def per_group(shape: Shape, dtype: torch.dtype, device: str) -> Directions:
    """The same of a grouped 1x1 convolution as products of matrices [outputs, inputs] @ [inputs, pixels], one an image and a group."""
    x = torch.randn(shape.batch, shape.groups, shape.channels // shape.groups, shape.side**2, device=device, dtype=dtype)
    w = torch.randn(shape.groups, shape.outputs // shape.groups, shape.channels // shape.groups, device=device, dtype=dtype)
    y = torch.matmul(w, x)
    g = torch.randn_like(y)
    return {
        "forward": (lambda: torch.matmul(w, x), (x, w, y)),
        "input": (lambda: torch.matmul(w.mT, g), (g, w, x)),
        "kernel": (lambda: torch.matmul(g, x.mT).sum(0), (g, x, w)),
    }


def as_dense(shape: Shape, dtype: torch.dtype, device: str) -> Directions:
    """The same in channels_last order as a product [pixels, C] @ [C, outputs] with a matrix of blocks."""
    x = torch.randn(shape.batch * shape.side**2, shape.channels, device=device, dtype=dtype)
    w = torch.randn(shape.groups, shape.channels // shape.groups, shape.outputs // shape.groups, device=device, dtype=dtype)
    y = x @ block_diagonal(w)
    g = torch.randn_like(y)
    return {
        "forward": (lambda: x @ block_diagonal(w), (x, w, y)),
        "input": (lambda: g @ block_diagonal(w).mT, (g, w, x)),
        "kernel": (lambda: blocks_of(x.mT @ g, shape.groups).contiguous(), (g, x, w)),
    }


def block_diagonal(w: Tensor) -> Tensor:
    """The matrix of blocks [G, inputs, outputs]: torch.block_diag by one product, not a launch for each block."""
    eye = torch.eye(len(w), dtype=w.dtype, device=w.device)
    return (eye[:, None, :, None] * w[:, :, None, :]).flatten(2).flatten(0, 1)


def blocks_of(matrix: Tensor, groups: int) -> Tensor:
    """The blocks [G, inputs, outputs] on the diagonal of a matrix."""
    return matrix.unflatten(1, (groups, -1)).unflatten(0, (groups, -1)).diagonal(dim1=0, dim2=2).permute(2, 0, 1)


PRODUCTS = {"bmm": per_group, "dense": as_dense}


def directions(shape: Shape, dtype: torch.dtype, form: torch.memory_format, device: str) -> Directions:
    """Of each direction a call that computes it, and tensors as large as those that it has to read and write."""
    x = torch.randn(shape.batch, shape.channels, shape.side, shape.side, device=device, dtype=dtype).to(memory_format=form)
    size = (shape.outputs, shape.channels // shape.groups, shape.kernel, shape.kernel)
    w = torch.randn(size, device=device, dtype=dtype).to(memory_format=form)
    stride, padding, dilation = ((value, value) for value in (shape.stride, shape.padding, shape.dilation))
    forward = partial(F.conv2d, x, w, None, stride, padding, dilation, shape.groups)
    y = forward()
    g = torch.randn_like(y)

    def backward(*wanted: bool) -> Any:
        return torch.ops.aten.convolution_backward(g, x, w, None, stride, padding, dilation, False, (0, 0), shape.groups, [*wanted, False])

    return {
        "forward": (forward, (x, w, y)),
        "input": (partial(backward, True, False), (g, w, x)),
        "kernel": (partial(backward, False, True), (g, x, w)),
    }
