"""What follows a BN by PyTorch's operations: the sum of blocks of channels, a ReLU; and the order of its gradient in memory."""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import Tensor
from torch.nn import functional as F

from . import device


def block_sum(x: Tensor, blocks: int, *, relu: bool = False) -> Tensor:
    """The sum of blocks of channels, then, if asked for, ReLU."""
    out = reduce(add, x.chunk(blocks, dim=1)) if blocks > 1 else x
    return F.relu(out) if relu else out


def contiguous_gradient(x: Tensor) -> Tensor:
    """x, whose gradient is brought into channels_last order on CUDA: for a slice, say, BN's reductions take several times as long there."""
    if x.requires_grad and device.on_cuda(x):
        x.register_hook(lambda g: g.contiguous(memory_format=torch.channels_last))
    return x
