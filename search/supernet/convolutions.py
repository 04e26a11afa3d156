"""Weighted operations on all outgoing edges of a node, or of two alike: built once, as wide as there are edges that carry them.

The last BN of each operation is not affine, so the mixing weights are handed to it as its weight. All edges of a node read the same tensor:
- separable convolutions that differ in the size of their kernels alone (a family) are one, all kernels padded to the largest;
- a first convolution that is not depthwise reads the tensor as it is, and gives the outputs of all edges;
- a convolution of dilation 2 is one of dilation 1 on each of the four phases of the map (search/kernels/polyphase.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from itertools import groupby
from operator import add

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.models.operations import HalvingConv, build
from nasarch.search.kernels.channels import divided
from nasarch.search.kernels.pointwise import matrix_of
from nasarch.search.kernels.polyphase import first_phase, from_polyphase, to_polyphase
from nasarch.search.kernels.recompute import Copies, Geometry, conv_norm, depthwise, is_pointwise, widest
from nasarch.search.kernels.streams import side_by_side


class NormedConv(nn.Module):
    """A convolution and its BN. With `sources` its groups share the input: each block of channels is read by groups / sources of them.

    Attributes:
        blocks: of the channels that come out, which are added.
        relu: a ReLU comes last.
    """

    def __init__(self, conv: nn.Module, norm: nn.BatchNorm2d, sources: int | None = None) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm
        assert isinstance(conv, (HalvingConv, nn.Conv2d))
        geometry = HALVING if isinstance(conv, HalvingConv) else Geometry.of(conv)
        self.geometry = geometry if sources is None else geometry._replace(groups=sources)
        self.blocks, self.relu = 1, False
        self.packed: Tensor | None = None

    def forward(self, x: Tensor, scale_C: Tensor | None = None) -> Tensor:
        if isinstance(self.conv, HalvingConv):
            x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        weight = self._kernel(self.kernel_weights()) if self.packed is None else self.packed
        return conv_norm(x, weight, self.norm, scale_C, self.geometry, self.blocks, relu=self.relu)

    def kernel_weights(self) -> list[Tensor]:
        return [self.conv.conv_1.weight, self.conv.conv_2.weight] if isinstance(self.conv, HalvingConv) else [self.conv.weight]  # type: ignore[list-item]

    def packed_form(self, weights: Sequence[Tensor]) -> Tensor:
        kernel = self._kernel(weights)
        return matrix_of(kernel, self.geometry.groups) if is_pointwise(kernel, self.geometry) else kernel

    def _kernel(self, weights: Sequence[Tensor]) -> Tensor:
        """The kernel; two 1x1 kernels of stride 2 as one of 2x2: the first in its upper left corner, the second in the lower right."""
        if not isinstance(self.conv, HalvingConv):
            return weights[0]
        corners = [F.pad(weights[0], (0, 1, 0, 1)), F.pad(weights[1], (1, 0, 1, 0))]
        if self.conv.groups == 1:
            return torch.cat(corners)
        return torch.cat([corner.unflatten(0, (self.conv.groups, -1)) for corner in corners], dim=1).flatten(0, 1)


HALVING = Geometry((2, 2), (0, 0), (1, 1), 1)


class SharedConv(nn.Module):
    """A convolution whose groups share the input: each of `sources` blocks of channels is read by groups / sources of them."""

    def __init__(self, conv: nn.Conv2d, sources: int) -> None:
        super().__init__()
        self.conv, self.sources = conv, sources

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.conv.weight, None, *Geometry.of(self.conv)._replace(groups=self.sources))


class Depthwise(nn.Module):
    """Depthwise convolutions side by side, the largest kernel last, of copies of the input."""

    def __init__(self, convs: Sequence[nn.Conv2d], copies: Copies) -> None:
        super().__init__()
        self.convs, self.copies = nn.ModuleList(convs), copies
        self.geometry = Geometry.of(convs[-1])._replace(groups=sum(conv.groups for conv in convs))
        self.packed: Tensor | None = None

    def kernel_weights(self) -> list[Tensor]:
        return [conv.weight for conv in self.convs if isinstance(conv, nn.Conv2d)]

    packed_form = staticmethod(widest)

    def forward(self, x: Tensor, *, phased: bool = False) -> Tensor:
        """`phased`: x is a map of phases, in which the pixels that meet a dilated kernel are neighbours."""
        weights, geometry = self.kernel_weights() if self.packed is None else [self.packed], self.geometry
        if phased:
            height, width = weights[-1].shape[2:]
            geometry = geometry._replace(stride=(1, 1), padding=(height // 2, width // 2), dilation=(1, 1))
        return depthwise(x, weights, self.copies, geometry)


class Family(nn.Module):
    """Operations of one form, each on E edges from each of S sources, after their first ReLU: [B, S * C, H, W] -> [B, E * C, H', W'].

    It is the sum over operations and sources. The S * O operations side by side are those of the first source, then the next.
    """

    def __init__(self, operations: Sequence[nn.Module], copies: Copies, stride: int) -> None:
        super().__init__()
        self.stride = stride
        layers = _lean([*zip(*operations, strict=True)][1:], copies)
        last = layers[-1]
        assert isinstance(last, NormedConv)
        last.blocks = len(operations)
        self.layers = nn.Sequential(*layers)
        first = self.layers[0]
        self.is_dilated = isinstance(first, Depthwise) and first.geometry.dilation == (2, 2)

    def forward(self, x: Tensor, scale_C: Tensor) -> Tensor:
        if not self.is_dilated:
            return self._sum(x, scale_C)
        if self.stride == 2:
            return self._sum(first_phase(x), scale_C, phased=True)
        if x.shape[2] % 2 or x.shape[3] % 2:
            return self._sum(x, scale_C)
        return from_polyphase(self._sum(to_polyphase(x), scale_C, phased=True))

    def _sum(self, x: Tensor, scale_C: Tensor, *, phased: bool = False) -> Tensor:
        first, *others = self.layers
        if others:
            x = first(x, phased=True) if phased else first(x)
        for layer in others[:-1]:
            x = layer(x)
        return self.layers[-1](x, scale_C)


def _lean(layers: Sequence[Sequence[nn.Module]], copies: Copies) -> list[nn.Module]:
    """The layers of a family, each BN and ReLU with the convolution before them; the first convolution reads what the edges share."""
    lean: list[nn.Module] = []
    for alike, following in zip(layers, [*layers[1:], (None,)], strict=True):
        first, norm = alike[0], following[0]
        if isinstance(norm, nn.BatchNorm2d):
            wide = nn.BatchNorm2d(len(alike) * norm.num_features, affine=False)
            lean.append(NormedConv(_side_by_side(alike), wide, None if lean else copies.sources))
        elif isinstance(first, nn.Conv2d) and first.groups == first.in_channels:
            lean.append(Depthwise(alike, Copies(1) if lean else copies))  # type: ignore[arg-type]
        elif isinstance(first, nn.Conv2d):
            conv = _side_by_side(alike)
            lean.append(conv if lean else SharedConv(conv, copies.sources))  # type: ignore[arg-type]
        elif isinstance(first, nn.ReLU) and lean and isinstance(lean[-1], NormedConv):
            lean[-1].relu = True
        elif not isinstance(first, nn.BatchNorm2d):
            lean.append(first)
    return lean


def _side_by_side(convs: Sequence[nn.Module]) -> nn.Module:
    """Convolutions of the same shape as one."""
    first = convs[0]
    if len(convs) == 1:
        return first
    if isinstance(first, HalvingConv):
        wide = HalvingConv(2, 2, device="meta")
        wide.groups = len(convs) * first.groups
        wide.conv_1, wide.conv_2 = _side_by_side([conv.conv_1 for conv in convs]), _side_by_side([conv.conv_2 for conv in convs])  # type: ignore[assignment,misc]
        return wide
    assert isinstance(first, nn.Conv2d)
    n, form = len(convs), {"stride": first.stride, "padding": first.padding, "dilation": first.dilation, "bias": False, "device": "meta"}
    joint = nn.Conv2d(n * first.in_channels, n * first.out_channels, first.kernel_size, groups=n * first.groups, **form)  # type: ignore[arg-type]
    joint.weight = nn.Parameter(torch.cat([conv.weight for conv in convs]).detach())  # type: ignore[misc]
    return joint


def families(names: Sequence[str]) -> list[list[str]]:
    """Separable convolutions of one kind together, the smallest kernel first; every other operation alone."""
    together = {name: name.rpartition("_")[0] if name.startswith(("sep_conv", "dil_conv")) else name for name in names}
    return [list(family) for _, family in groupby(sorted(names, key=lambda name: (together[name], name)), key=together.__getitem__)]


class Convolutions(nn.Module):
    """Operations with weights along E edges from each of S sources: [B, S * C, H, W] -> for each target the sum over O and S.

    The mixing weights of a family are [S, O, E], those of all families one behind the other.
    """

    def __init__(self, names: Sequence[str], sources: int, edges: int, channels: int, stride: int) -> None:
        super().__init__()
        self.names, self.channels = families(names), channels
        built = [{name: build(name, edges * channels, stride, groups=edges, affine=False) for name in names} for _ in range(sources)]
        wide = [[operations[name] for operations in built for name in family] for family in self.names]
        copies = [Copies(len(family) * edges, sources) for family in self.names]
        self.families = nn.ModuleList([Family(family, c, stride) for family, c in zip(wide, copies, strict=True)])
        self.widths = [len(family) * edges * channels for family in wide]

    def forward(self, taken: Tensor, bypassed: Tensor, mix: Tensor) -> tuple[Tensor, ...]:
        x = F.relu(taken)
        scales = mix.repeat_interleave(self.channels).split(self.widths)
        calls = [partial(family, x, scale) for family, scale in zip(self.families, scales, strict=True)]
        parts = side_by_side(calls, [x, *scales])
        total = reduce(add, parts)
        return divided(total, [self.channels] * (total.shape[1] // self.channels))
