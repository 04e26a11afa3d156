"""The auxiliary tower: a second classifier in the middle of a network, for training only (Szegedy et al. 2015; Liu et al. 2019, code).

| network | reads, at the papers' size | pooling | last BN |
|---|---|---|---|
| cifar | 8x8 map after the second reduction cell | 5x5, stride 3 | yes |
| imagenet | 7x7 map there | 5x5, stride 2 | no (left out in the published networks; kept so for their parameter counts) |

The papers weigh its loss by 0.4 and count no parameters of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 768


def _pool(x: Tensor, stride: int) -> Tensor:
    """5x5 averages with `stride`; a map too small for two of them in a row or column is averaged to 2x2."""
    if min(x.shape[2], x.shape[3]) < 5 + stride:
        return F.adaptive_avg_pool2d(x, 2)
    return F.avg_pool2d(x, 5, stride=stride)


torch.fx.wrap("_pool")


class AuxiliaryHead(nn.Module):
    """[B, in_channels, H, W] -> logits [B, num_classes].

    Note: maps larger than the papers' leave more than one pixel after the last convolution; they are averaged.
    """

    def __init__(self, in_channels: int, num_classes: int, *, stride: int, last_bn: bool, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        dd = {"device": device, "dtype": dtype}
        self.stride = stride
        self.reduce = nn.Sequential(nn.Conv2d(in_channels, 128, 1, bias=False, **dd), nn.BatchNorm2d(128, **dd), nn.ReLU())
        norm = nn.BatchNorm2d(HIDDEN, **dd) if last_bn else nn.Identity()
        self.expand = nn.Sequential(nn.Conv2d(128, HIDDEN, 2, bias=False, **dd), norm, nn.ReLU())
        self.reset(num_classes, **dd)

    def reset(self, num_classes: int, *, device: Any = None, dtype: Any = None) -> None:
        """A new classifier for `num_classes` classes; 0 takes it away."""
        fc = nn.Linear(HIDDEN, num_classes, device=device, dtype=dtype) if num_classes > 0 else nn.Identity()
        self.fc = fc.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(self.reduce(_pool(F.relu(x), self.stride)))
        return self.fc(x.mean((2, 3)))


AUXILIARY: dict[str, dict[str, Any]] = {"cifar": {"stride": 3, "last_bn": True}, "imagenet": {"stride": 2, "last_bn": False}}
