"""Packed weights: all kernels of a network in the forms that CUDA reads, computed by one gather for each pass.

| layer | form |
|---|---|
| depthwise convolutions side by side | their kernels padded to one size, one tensor |
| grouped 1x1 convolution | block-diagonal matrix (pointwise.py) |

One by one, padding, concatenation and casts to the type of autocast are ten launches a layer, thousands a search step. Every element
of a parameter has one position in the packed tensor, so that the gradient is a gather, too: no atomic sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function


class PackedLayer(Protocol):
    """A layer whose kernel is a rearrangement of parameters.

    Attributes:
        packed: the kernel to be used in place of `kernel(kernel_weights())`, in the form of `packed_form`.
    """

    packed: Tensor | None

    def kernel_weights(self) -> list[Tensor]:
        """The parameters."""

    def packed_form(self, weights: Sequence[Tensor]) -> Tensor:
        """The kernel of these weights as CUDA reads it: elements of the weights in other places, and zeros."""


class PackedWeights:
    """The packed kernels of some layers; the index of the gather is computed at the first use on a device."""

    def __init__(self, layers: Sequence[PackedLayer]) -> None:
        self.layers = list(layers)
        self.sizes: list[torch.Size] = []
        self.index: tuple[Tensor, Tensor] | None = None  # of each packed element, 0 for a zero; and the inverse

    @contextmanager
    def used(self) -> Iterator[None]:
        """The layers take their packed kernels in the block, in the type of autocast where it is on."""
        if not self.layers:
            yield
            return
        weights = [weight for layer in self.layers for weight in layer.kernel_weights()]
        device = weights[0].device
        if self.index is None or self.index[0].device != device:
            self.index = self._index(device)
        lowers = weights[0].dtype == torch.float32 and torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(device.type) if lowers else weights[0].dtype
        flat = _Packed.apply(*self.index, dtype, *weights)
        for layer, size, packed in zip(self.layers, self.sizes, flat.split([size.numel() for size in self.sizes]), strict=True):
            layer.packed = packed.view(size)
        try:
            yield
        finally:
            for layer in self.layers:
                layer.packed = None

    def _index(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The packed forms of weights that hold their own positions, counted from 1."""
        forms, count = [], 0
        for layer in self.layers:
            numbers = []
            for weight in layer.kernel_weights():
                numbers.append(torch.arange(count + 1, count + 1 + weight.numel(), device=device).view(weight.shape))
                count += weight.numel()
            forms.append(layer.packed_form(numbers))
        self.sizes = [form.shape for form in forms]
        index = torch.cat([form.flatten() for form in forms])
        position = index.new_empty(count + 1).index_copy_(0, index, torch.arange(len(index), device=device))
        return index, position[1:]


class _Packed(Function):
    """The elements of all weights and zeros, in the order of `index`."""

    @staticmethod
    def forward(ctx: Any, index: Tensor, position: Tensor, dtype: torch.dtype, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(position)
        ctx.shapes, ctx.dtype = [weight.shape for weight in weights], weights[0].dtype
        flat = torch.cat([weights[0].new_zeros(1), *(weight.flatten() for weight in weights)])
        return flat.to(dtype).index_select(0, index)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (position,) = ctx.saved_tensors
        flat = g.index_select(0, position).to(ctx.dtype)
        blocks = flat.split([shape.numel() for shape in ctx.shapes])
        return None, None, None, *(block.view(shape) for block, shape in zip(blocks, ctx.shapes, strict=True))
