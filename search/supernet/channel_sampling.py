"""Channel sampling of partial channel connections (Xu et al. 2020, sec. 3.1): which channels go through the operations.

    f_ij(x_i; S_ij) = sum_o mix[ij, o] * o(S_ij * x_i) + (1 - S_ij) * x_i        S_ij takes C / K random channels

Results return to the places of the channels that they came from, so no shuffle is needed: in time every channel is taken.

Note: the paper writes a mask for every edge. Here the edges that leave a node share the choice of the node, as they share the taken
channels in the published code without sampling: what leaves a node is then still computed once, and a choice is as random.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function


class Choice(NamedTuple):
    """An order of the channels of a node, the taken ones first, each part in ascending order; and the inverse of that order."""

    order: Tensor
    inverse: Tensor


class Sampler(nn.Module):
    """Draws the channels in every training pass; in evaluation the first C / K are taken.

    The random numbers are of a generator on the CPU, seeded from the default one. Its state is part of the `state_dict`, so that
    a search that is resumed draws what it would have drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))

    def forward(self, widths: Sequence[tuple[int, int, int]], device: torch.device) -> list[list[Choice]]:
        """For cells of (nodes, channels, taken channels): the choices of their nodes. One copy to the device for all of them."""
        orders = [self._orders(*width) for width in widths]
        both = torch.cat([torch.stack([order, order.argsort(1)]).flatten() for order in orders]).to(device, non_blocking=True)
        blocks = both.split([2 * order.numel() for order in orders])
        return [[*map(Choice, *block.view(2, *order.shape))] for block, order in zip(blocks, orders, strict=True)]

    def _orders(self, nodes: int, channels: int, taken: int) -> Tensor:
        if not self.training:
            return torch.arange(channels).expand(nodes, channels)
        rank = torch.rand(nodes, channels, generator=self.generator).argsort(1).argsort(1)
        return (rank >= taken).int().argsort(dim=1, stable=True)

    def get_extra_state(self) -> Tensor:
        return self.generator.get_state()

    def set_extra_state(self, state: Any) -> None:
        self.generator.set_state(state.cpu())


def reordered(x: Tensor, choice: Choice, dim: int) -> Tensor:
    """Along `dim`, the taken channels first."""
    return _Reordered.apply(x, choice.order, choice.inverse, dim)


def returned(x: Tensor, choice: Choice, dim: int) -> Tensor:
    """The inverse of `reordered`."""
    return _Reordered.apply(x, choice.inverse, choice.order, dim)


class _Reordered(Function):
    """`index_select` by a permutation, whose gradient is one by its inverse: nothing is summed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(order, inverse)
        ctx.dim = dim
        return x.index_select(dim, order)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        order, inverse = ctx.saved_tensors
        return _Reordered.apply(g, inverse, order, ctx.dim), None, None, None
