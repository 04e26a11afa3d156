"""The operations of the cells by name: one definition for the zoo and for the supernet. cells/space.py lists those of each space.

Every operation maps C channels to C channels at stride 1 or 2 (Liu et al. 2019, sec. 2.1 and the code it cites):

| name | layers |
|---|---|
| max_pool_3x3, avg_pool_3x3 | pooling with padding 1; the average does not count the padding |
| skip_connect | identity; at stride 2 a `factorized_reduce` |
| sep_conv_kxk | (ReLU - depthwise kxk - pointwise - BN) twice, the stride in the first |
| dil_conv_kxk | ReLU - depthwise kxk, dilation 2 - pointwise - BN |
| conv_kx1_1xk | ReLU - 1xk - kx1 - BN (Zoph et al. 2018, k = 7; Dong & Yang 2019, k = 3) |
| nor_conv_kxk | ReLU - kxk - BN (Dong et al. 2021) |

`none` is never built: an edge that carries it adds nothing. BN is affine in the zoo and not in a search. `register_operation` adds own
operations.

A search needs the same operation on many edges. Built on E * C channels in E `groups` it is E independent copies, the channels
of copy 0 first: a depthwise convolution and the statistics of BN are per channel, and a grouped pointwise convolution mixes the
channels of each copy alone. The zoo is the case of one group.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells.space import OWN_OPERATIONS


def _odd(x: Tensor) -> Tensor:
    """The pixels of [B, C, H, W] in odd rows and columns, [B, C, ceil(H / 2), ceil(W / 2)]: zeros where an odd map has no more."""
    odd = x[:, :, 1::2, 1::2]
    if x.shape[2] % 2 or x.shape[3] % 2:
        odd = F.pad(odd, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    return odd


torch.fx.wrap("_odd")


def _shifted(x: Tensor, by: int) -> Tensor:
    """The map moved up and left by `by` pixels, with zeros at the bottom and right."""
    return F.pad(x, (0, by, 0, by))[:, :, by:, by:]


torch.fx.wrap("_shifted")


class HalvingConv(nn.Module):
    """Halve a map by two 1x1 convolutions of stride 2, the second one shifted by a pixel, each giving half of the channels.

    Any size works: odd maps are padded at the bottom and right for the second convolution; for even sizes,
    [B, C, H, W] -> [B, C', H / 2, W / 2], this is what the published networks compute. With `groups`, every group of input
    channels gives its own C' / groups output channels. The pixels are picked first and then convolved at stride 1, which gives the
    same: on a CPU forward and backward pass take less than half the time of strided convolutions. With a `dilation` (see `dilated`)
    the map keeps its size.
    """

    def __init__(self, in_channels: int, out_channels: int, *, groups: int = 1, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        dd = {"device": device, "dtype": dtype}
        self.groups, self.dilation = groups, 0
        first = out_channels // groups // 2 * groups
        self.conv_1 = nn.Conv2d(in_channels, first, 1, groups=groups, bias=False, **dd)
        self.conv_2 = nn.Conv2d(in_channels, out_channels - first, 1, groups=groups, bias=False, **dd)

    def forward(self, x: Tensor) -> Tensor:
        if self.dilation:
            halves = [self.conv_1(x), self.conv_2(_shifted(x, self.dilation))]
        else:
            halves = [self.conv_1(x[:, :, ::2, ::2]), self.conv_2(_odd(x))]
        if self.groups == 1:
            return torch.cat(halves, dim=1)
        return torch.cat([half.unflatten(1, (self.groups, -1)) for half in halves], dim=2).flatten(1, 2)


def factorized_reduce(
    in_channels: int, out_channels: int, *, groups: int = 1, affine: bool = True, device: Any = None, dtype: Any = None
) -> nn.Sequential:
    """ReLU - `HalvingConv` - BN: [B, C, H, W] -> [B, C', ceil(H / 2), ceil(W / 2)]."""
    dd = {"device": device, "dtype": dtype}
    reduce = HalvingConv(in_channels, out_channels, groups=groups, **dd)
    return nn.Sequential(nn.ReLU(), reduce, nn.BatchNorm2d(out_channels, affine=affine, **dd))


def relu_conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    affine: bool = True,
    device: Any = None,
    dtype: Any = None,
) -> nn.Sequential:
    """ReLU - convolution without bias, padded by kernel // 2 - BN: [B, C, H, W] -> [B, C', H / stride, W / stride]."""
    dd = {"device": device, "dtype": dtype}
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False, **dd),
        nn.BatchNorm2d(out_channels, affine=affine, **dd),
    )


class _Shape(NamedTuple):
    """Arguments of a builder; an operation on `channels` in `groups` is `groups` independent operations side by side."""

    channels: int
    stride: int
    groups: int
    affine: bool
    dd: dict[str, Any]


def _separable(shape: _Shape, stride: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    """Depthwise - pointwise - BN."""
    c, padding = shape.channels, dilation * (kernel // 2)
    return [
        nn.Conv2d(c, c, kernel, stride=stride, padding=padding, dilation=dilation, groups=c, bias=False, **shape.dd),
        nn.Conv2d(c, c, 1, groups=shape.groups, bias=False, **shape.dd),
        nn.BatchNorm2d(c, affine=shape.affine, **shape.dd),
    ]


def _sep_conv(shape: _Shape, *, kernel: int) -> nn.Module:
    first, second = _separable(shape, shape.stride, kernel), _separable(shape, 1, kernel)
    return nn.Sequential(nn.ReLU(), *first, nn.ReLU(inplace=True), *second)


def _dil_conv(shape: _Shape, *, kernel: int) -> nn.Module:
    return nn.Sequential(nn.ReLU(), *_separable(shape, shape.stride, kernel, dilation=2))


def _factorised_conv(shape: _Shape, *, kernel: int) -> nn.Module:
    c, stride, groups, padding = shape.channels, shape.stride, shape.groups, kernel // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(c, c, (1, kernel), stride=(1, stride), padding=(0, padding), groups=groups, bias=False, **shape.dd),
        nn.Conv2d(c, c, (kernel, 1), stride=(stride, 1), padding=(padding, 0), groups=groups, bias=False, **shape.dd),
        nn.BatchNorm2d(c, affine=shape.affine, **shape.dd),
    )


def _nor_conv(shape: _Shape, *, kernel: int) -> nn.Module:
    c = shape.channels
    return relu_conv_bn(c, c, kernel, stride=shape.stride, groups=shape.groups, affine=shape.affine, **shape.dd)


def _skip(shape: _Shape) -> nn.Module:
    if shape.stride == 1:
        return nn.Identity()
    return factorized_reduce(shape.channels, shape.channels, groups=shape.groups, affine=shape.affine, **shape.dd)


def _max_pool(shape: _Shape) -> nn.Module:
    return nn.MaxPool2d(3, stride=shape.stride, padding=1)


def _avg_pool(shape: _Shape) -> nn.Module:
    return nn.AvgPool2d(3, stride=shape.stride, padding=1, count_include_pad=False)


BUILDERS: dict[str, Callable[[_Shape], nn.Module]] = {
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip,
    "sep_conv_3x3": partial(_sep_conv, kernel=3),
    "sep_conv_5x5": partial(_sep_conv, kernel=5),
    "sep_conv_7x7": partial(_sep_conv, kernel=7),
    "dil_conv_3x3": partial(_dil_conv, kernel=3),
    "dil_conv_5x5": partial(_dil_conv, kernel=5),
    "conv_7x1_1x7": partial(_factorised_conv, kernel=7),
    "conv_3x1_1x3": partial(_factorised_conv, kernel=3),
    "nor_conv_1x1": partial(_nor_conv, kernel=1),
    "nor_conv_3x3": partial(_nor_conv, kernel=3),
}


def build(
    name: str, channels: int, stride: int = 1, *, groups: int = 1, affine: bool = True, device: Any = None, dtype: Any = None
) -> nn.Module:
    """The operation `name`: [B, channels, H, W] -> [B, channels, H / stride, W / stride].

    With `groups` it is that many independent operations side by side, each on channels / groups of the channels; operations
    with weights are a `Sequential` from a ReLU to a BN.
    """
    return BUILDERS[name](_Shape(channels, stride, groups, affine, {"device": device, "dtype": dtype}))


def register_operation(name: str, builder: Callable[[int, int, bool], nn.Module]) -> None:
    """Make an own operation known by `name`: to searches (`candidates`), genotypes, networks and exports of this process.

    Args:
        name: Name in genotypes: letters, digits and _, with a letter first. The same name again replaces an own operation.
        builder: builder(channels, stride, affine) is a module [B, channels, H, W] -> [B, channels, ceil(H / stride), ceil(W / stride)], for
            strides 1 and 2, that doesn't change its input; its BN is affine in a network and not in a search.

    Raises:
        ValueError: the name is not legal or that of a published operation, or the module gives another shape or changes its input.
    """
    if not name.isidentifier() or name == "none" or name in BUILDERS and name not in OWN_OPERATIONS:
        raise ValueError(f"operation {name!r}: choose letters, digits and _, with a letter first, and no name of a published operation")

    def built(shape: _Shape) -> nn.Module:
        if shape.groups != 1:
            raise ValueError(f"operation {name!r} is an own one and can't be fused over networks: pass --networks-per-group 1")
        device = torch.get_default_device() if shape.dd["device"] is None else shape.dd["device"]
        with torch.device(device):
            return builder(shape.channels, shape.stride, shape.affine).to(dtype=shape.dd["dtype"])

    for stride, size in ((1, 8), (2, 8), (2, 7)):
        x = torch.ones(2, 16, size, size)
        out = built(_Shape(16, stride, 1, False, {"device": None, "dtype": None}))(x)
        expected = (2, 16, -(-size // stride), -(-size // stride))
        if tuple(out.shape) != expected or not bool((x == 1).all()):
            wrong = f"gives {list(out.shape)}, not {list(expected)}" if tuple(out.shape) != expected else "changes its input in place"
            raise ValueError(f"operation {name!r} {wrong}, for images {list(x.shape)} and stride {stride}: correct its builder")
    BUILDERS[name] = built
    OWN_OPERATIONS.add(name)


class DilatedAvgPool(nn.Module):
    """Average of kernel x kernel pixels, `dilation` apart, without the padding: [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, kernel: int, padding: int, dilation: tuple[int, int]) -> None:
        super().__init__()
        (height, width), after = dilation, kernel - 1 - padding
        self.kernel, self.dilation = kernel, dilation
        self.margins = [padding * width, after * width, padding * height, after * height]

    def forward(self, x: Tensor) -> Tensor:
        ones = x.new_ones((x.shape[1], 1, self.kernel, self.kernel))
        inside = F.pad(x.new_ones((1, 1, x.shape[2], x.shape[3])), self.margins)
        total = F.conv2d(F.pad(x, self.margins), ones, dilation=self.dilation, groups=x.shape[1])
        return total / F.conv2d(inside, ones[:1], dilation=self.dilation)


class DilatedMaxPool(nn.Module):
    """Maximum of 3x3 pixels, `dilation` apart: [B, C, H, W] -> [B, C, H, W]. PyTorch's own takes no padding of more than one pixel."""

    def __init__(self, dilation: tuple[int, int]) -> None:
        super().__init__()
        (height, width), self.dilation = dilation, dilation
        self.margins = [width, width, height, height]

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, self.margins, value=float("-inf")), 3, stride=1, dilation=self.dilation)


def dilated(module: nn.Module, by: tuple[int, int]) -> tuple[nn.Module, tuple[int, int]]:
    """The operation without its strides for maps that are `by` times as high and wide (Chen et al. 2017, sec. 3.1: atrous convolution).

    Every pixel of its output in row and column k * (the dilation that follows) is that of the operation with strides.

    Returns:
        The operation, changed in place but for pooling, and the dilation of what follows: `by` times the strides.
    """
    if isinstance(module, nn.Sequential):
        for i, layer in enumerate(module):
            module[i], by = dilated(layer, by)
    elif isinstance(module, HalvingConv):
        module.dilation, by = by[0], (2 * by[0], 2 * by[1])
    elif isinstance(module, nn.AvgPool2d):
        by, module = _times(by, _pair(module.stride)), DilatedAvgPool(_pair(module.kernel_size)[0], _pair(module.padding)[0], by)
    elif isinstance(module, nn.MaxPool2d):
        by, module = _times(by, _pair(module.stride)), DilatedMaxPool(by)
    elif isinstance(module, nn.Conv2d):
        assert not isinstance(module.padding, str)
        after = _times(by, _pair(module.stride))
        module.dilation, module.padding, module.stride = _times(_pair(module.dilation), by), _times(_pair(module.padding), by), (1, 1)
        by = after
    return module, by


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _times(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] * other[0], one[1] * other[1]
