"""Fast depthwise convolutions: a network's own are exchanged for ones with the gradients of recompute.py, the weights kept. For a CPU.

Of the depthwise convolutions of the cells oneDNN computes the gradients of 3x3 kernels fast; those of wider or dilated ones take up to
30 times as long as their forward pass, most of a training step of cells that have them.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

from .recompute import Copies, Geometry, depthwise

Net = TypeVar("Net", bound=nn.Module)


class Depthwise(nn.Conv2d):
    """A depthwise convolution with faster gradients."""

    def forward(self, x: Tensor) -> Tensor:
        return depthwise(x, [self.weight], Copies(1), Geometry.of(self))


def use_fast_depthwise(net: Net) -> Net:
    """`net` itself, its depthwise convolutions with wide or dilated kernels exchanged."""
    slow = [(name, conv) for name, conv in net.named_modules() if isinstance(conv, nn.Conv2d) and _is_slow(conv)]
    for name, conv in slow:
        net.set_submodule(name, _fast(conv))
    return net


def _is_slow(conv: nn.Conv2d) -> bool:
    is_depthwise = conv.groups == conv.in_channels == conv.out_channels > 1 and conv.bias is None
    return is_depthwise and (max(conv.kernel_size) > 3 or max(conv.dilation) > 1)


def _fast(conv: nn.Conv2d) -> Depthwise:
    c, form = conv.in_channels, {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    fast = Depthwise(c, c, conv.kernel_size, groups=c, bias=False, device="meta", **form)  # type: ignore[arg-type]
    fast.weight = conv.weight
    return fast.train(conv.training)
