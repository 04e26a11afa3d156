"""Channel sampling of partial channel connections (Xu et al. 2020, sec. 3.1): which channels go through the operations.

    f_ij(x_i; S_ij) = sum_o mix[ij, o] * o(S_ij * x_i) + (1 - S_ij) * x_i        S_ij takes C / K random channels

Results return to the places of the channels that they came from, so no shuffle is needed: in time every channel is taken.

Note: the paper writes a mask for every edge. Here the edges that leave a node share the choice of the node, as they share the taken
channels in the published code without sampling: what leaves a node is then still computed once, and a choice is as random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    Args:
        widths: nodes, channels and taken channels of each cell.
    """

    def __init__(self, widths: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self.widths = list(widths)
        self.given: Iterator[Tensor] = iter(())

    def draw(self, passes: int) -> Tensor:
        """The random choices of so many training passes, on the CPU: integers [passes, L], to be given to `use`."""
        return torch.stack([self._drawn() for _ in range(passes)])

    def use(self, drawn: Tensor) -> None:
        """Let the next passes take these choices, which lie on the device, instead of drawing: a captured step can't draw."""
        self.given = iter(drawn)

    def forward(self, device: torch.device) -> list[list[Choice]]:
        """For each cell the choices of its nodes. One copy to the device for all of them."""
        both = next(self.given, None) if self.training else None
        both = self._drawn().to(device, non_blocking=True) if both is None else both
        blocks = both.split([2 * nodes * channels for nodes, channels, _ in self.widths])
        return [[*map(Choice, *block.view(2, *width[:2]))] for block, width in zip(blocks, self.widths, strict=True)]

    def _drawn(self) -> Tensor:
        orders = [self._orders(*width) for width in self.widths]
        return torch.cat([torch.stack([order, order.argsort(1)]).flatten() for order in orders])

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
