"""Literal twin of the fused separable convolution: every copy of every source by itself, one layer after the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def separable_norm(
    x: Tensor, kernel: Tensor, matrix: Tensor, scale: Tensor, *, sources: int, stride: int, dilation: int, eps: float
) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor]]:
    """The result, and mean and unbiased variance of what is normalised."""
    channels = matrix.shape[1]
    times = len(matrix) // channels // sources
    outs, means, variances = [], [], []
    for number in range(sources * times):
        own = slice(number * channels, (number + 1) * channels)
        source = x[:, number // times * channels : (number // times + 1) * channels]
        padding = dilation * (kernel.shape[2] // 2)
        y = F.conv2d(source, kernel[own], stride=stride, padding=padding, dilation=dilation, groups=channels)
        y = F.conv2d(y, matrix[own])
        mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), unbiased=False, keepdim=True)
        outs.append(scale[own, None, None] * (y - mean) / torch.sqrt(var + eps))
        means.append(mean.flatten())
        variances.append(y.var((0, 2, 3), unbiased=True))
    return torch.cat(outs, dim=1), means, variances
