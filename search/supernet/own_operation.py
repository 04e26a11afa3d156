"""Own operation on all outgoing edges of a node, computed edge by edge: nothing is known of its layers that edges could share."""

from __future__ import annotations

from functools import reduce
from operator import add

from torch import Tensor, nn

from nasarch.models.operations import build


class OwnOperation(nn.Module):
    """The operation `name` along E edges from each of S sources: [B, S * C, H, W] -> for each target the weighted sum over S.

    The mixing weights are [S, E]. BN has no affine parameters.
    """

    def __init__(self, name: str, sources: int, edges: int, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.sources = nn.ModuleList(
            nn.ModuleList(build(name, channels, stride, affine=False) for _ in range(edges)) for _ in range(sources)
        )

    def forward(self, taken: Tensor, bypassed: Tensor, mix: Tensor) -> tuple[Tensor, ...]:
        xs, mix_SE = taken.split(self.channels, dim=1), mix.view(len(self.sources), -1)
        shares = [self._of_source(edges, x, mix_E) for edges, x, mix_E in zip(self.sources, xs, mix_SE, strict=True)]
        return tuple(reduce(add, of_target) for of_target in zip(*shares, strict=True))

    @staticmethod
    def _of_source(edges: nn.Module, x: Tensor, mix_E: Tensor) -> list[Tensor]:
        assert isinstance(edges, nn.ModuleList)
        return [mix * edge(x) for mix, edge in zip(mix_E, edges, strict=True)]
