"""Stems: the blocks before the first cell; the last two of their outputs are its inputs.

| stem | blocks | strides | source |
|---|---|---|---|
| cifar | conv 3x3 - BN | 1 (both inputs of the first cell are its output) | Liu et al. 2019, code; Dong et al. 2021 |
| imagenet | conv 3x3 to C / 2 - BN - ReLU, conv 3x3 to C - BN, ReLU - conv 3x3 - BN | 2, 4, 8 | Liu et al. 2019, sec. 3.3 and code |

The first layer of the first block is the plain convolution that reads the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

IMAGENET_STEM_SIZE = 64  # pixels a side from which images get ImageNet's stem, 224 -> 28


class Block(NamedTuple):
    """[B, C', H, W] -> [B, channels, H / stride, W / stride]."""

    layers: nn.Sequential
    channels: int
    stride: int


def _conv_bn(in_channels: int, out_channels: int, stride: int, dd: dict[str, Any]) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False, **dd)
    return [conv, nn.BatchNorm2d(out_channels, **dd)]


def cifar(in_chans: int, channels: int, dd: dict[str, Any]) -> list[Block]:
    """One block that keeps the size of the image."""
    return [Block(nn.Sequential(*_conv_bn(in_chans, channels, 1, dd)), channels, 1)]


def imagenet(in_chans: int, channels: int, dd: dict[str, Any]) -> list[Block]:
    """Three blocks of stride 2."""
    half = channels // 2
    return [
        Block(nn.Sequential(*_conv_bn(in_chans, half, 2, dd), nn.ReLU()), half, 2),
        Block(nn.Sequential(*_conv_bn(half, channels, 2, dd)), channels, 2),
        Block(nn.Sequential(nn.ReLU(), *_conv_bn(channels, channels, 2, dd)), channels, 2),
    ]


STEMS: dict[str, Callable[[int, int, dict[str, Any]], list[Block]]] = {"cifar": cifar, "imagenet": imagenet}


def build_stem(name: str, in_chans: int, channels: int, dd: dict[str, Any]) -> list[Block]:
    """The blocks of stem `name`; the last one gives `channels` channels. `dd` is the device and dtype of the layers.

    Raises:
        ValueError: there is no such stem.
    """
    if name not in STEMS:
        legal = ", ".join(map(repr, STEMS))
        raise ValueError(f"unknown stem {name!r}; legal are {legal}: pass stem='imagenet' for images of 64 pixels and more")
    return STEMS[name](in_chans, channels, dd)
