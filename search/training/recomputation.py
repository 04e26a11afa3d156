"""Activation recomputation in a training: of a pointwise convolution, its BN and ReLU only the input is kept, the rest computed again.

Autograd keeps nearly every map of a network for its backward pass. Of a separable convolution,

    ReLU - depthwise - pointwise - BN - ReLU - depthwise - pointwise - BN

it keeps five maps beside the first ReLU, which all edges of a state share; here it keeps two, the inputs of the pointwise convolutions:

| map | the backward pass needs it for | kept |
|---|---|---|
| input of a pointwise convolution | the convolution | yes |
| its output | BN | computed again: a product of small matrices |
| ReLU of BN | ReLU, the next depthwise convolution | computed again from that output |
| ReLU before a pointwise convolution | ReLU, the convolution | computed again from its input |

Values and gradients of every order are equal to the bit, since the same kernels compute the same numbers twice. Two cells that read a
state through a ReLU of their own keep the state once. Recomputing whole operations (Chen et al. 2016) would keep less, and run depthwise
convolutions twice.

`python benchmarks/train.py` measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from nasarch.models.operations import HalvingConv

Net = TypeVar("Net", bound=nn.Module)


def recompute_activations(net: Net) -> Net:
    """`net` itself; its sequences in which BN follows a pointwise convolution are exchanged, the weights and their names kept."""
    sequences = [(name, layers) for name, layers in net.named_modules() if type(layers) is nn.Sequential]
    for name, layers in sequences:
        if any(_block([*layers][i:]) for i in range(len(layers))):
            net.set_submodule(name, Recomputing(*layers).train(layers.training))
    return net


class Block(NamedTuple):
    """Layers of which the input is kept: ReLU or not, a pointwise convolution, BN, and the ReLU after it where a layer reads that."""

    rectified: bool
    conv: nn.Module
    norm: nn.BatchNorm2d
    relu: nn.Module | None

    @property
    def length(self) -> int:
        return 2 + self.rectified + (self.relu is not None)

    @torch.no_grad()
    def computed(self, x: Tensor) -> dict[str, Tensor]:
        """The maps between its layers, for input `x`; the running statistics stay."""
        first = F.relu(x) if self.rectified else x
        y = self.conv(first)
        if self.relu is None:
            return {"first": first, "conv": y}
        norm = self.norm
        return {"first": first, "conv": y, "relu": F.relu_(F.batch_norm(y, None, None, norm.weight, norm.bias, True, 0.0, norm.eps))}


def _block(layers: Sequence[nn.Module]) -> Block | None:
    """The block at the start of `layers`, if there is one."""
    rectified = bool(layers) and isinstance(layers[0], nn.ReLU)
    following = [*layers[rectified:]]
    if len(following) < 2:
        return None
    conv, norm, *rest = following
    if not (isinstance(norm, nn.BatchNorm2d) and (isinstance(conv, HalvingConv) or getattr(conv, "kernel_size", None) == (1, 1))):
        return None
    is_read = len(rest) > 1 and isinstance(rest[0], nn.ReLU) and _block(rest) is None
    return Block(rectified, conv, norm, rest[0] if is_read else None)


class Recomputing(nn.Sequential):
    """Layers in sequence, the blocks among which are recomputed in training."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        layers = [*self]
        reading: AbstractContextManager[Any] = nullcontext()
        while layers:
            block = _block(layers)
            if block is None:
                with reading:
                    x = layers.pop(0)(x)
                reading = nullcontext()
            else:
                del layers[: block.length]
                x, reading = _run(block, x)
        return x


def _run(block: Block, x: Tensor) -> tuple[Tensor, AbstractContextManager[Any]]:
    """The output of the block, and the hooks under which the next layer reads it."""
    maps = Maps(block, x)
    if block.rectified:
        with maps.replacing("first"):
            x = F.relu(x)
    with maps.replacing("first", x) if block.rectified else nullcontext():
        y = block.conv(x)
    with maps.replacing("conv", y):
        out = block.norm(y)
    if block.relu is None:
        return out, nullcontext()
    with maps.replacing("relu"):
        out = block.relu(out)
    return out, maps.replacing("relu", out)


class Maps:
    """The maps of a block in one pass: its input is kept, the others are computed when the backward pass first asks for one of them."""

    def __init__(self, block: Block, x: Tensor) -> None:
        self.block, self.x, self.version = block, x.detach(), x._version
        kind = x.device.type
        self.autocast = torch.autocast(kind, torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))
        self.uses = self.left = 0
        self.cache: dict[str, Tensor] = {}

    def replacing(self, name: str, tensor: Tensor | None = None) -> saved_tensors_hooks:
        """Hooks that let autograd keep a reference instead of `tensor`, or instead of all that a layer keeps."""
        address = None if tensor is None else tensor.untyped_storage().data_ptr()

        def pack(saved: Tensor) -> Tensor | Callable[[], Tensor]:
            if address not in (None, saved.untyped_storage().data_ptr()):
                return saved
            self.uses, self.left = self.uses + 1, self.left + 1
            view = saved.shape, saved.stride(), saved.storage_offset()
            return lambda: self._read(name).as_strided(*view)

        return saved_tensors_hooks(pack, lambda saved: saved if isinstance(saved, Tensor) else saved())

    def _read(self, name: str) -> Tensor:
        if not self.cache:
            if self.x._version != self.version:
                raise RuntimeError("a map that the backward pass computes others from was changed in place; don't change outputs of layers")
            with self.autocast:
                self.cache = self.block.computed(self.x)
        value = self.cache[name]
        self.left -= 1
        if self.left == 0:  # all that autograd asked to keep was given back
            self.cache, self.left = {}, self.uses
        return value
