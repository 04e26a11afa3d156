"""1x1 convolutions, grouped or not, in channels_last order: on CUDA as products of matrices, elsewhere as PyTorch's convolution.

In channels_last order the pixels of a map are the rows of a matrix, and a 1x1 convolution multiplies it by the kernel. A grouped one is
the product with a matrix that is zero outside of a block for each group; the zeros cost arithmetic, of which a GPU has plenty where
these convolutions wait for memory. On an H200 (2026-11-27, benchmarks/results) cuDNN took 8 to 18 times the time in which the memory
can be read and written for a grouped convolution in float32, and up to 90 times for its gradients in bf16 without a search for
algorithms. No atomic sums: the same values give the same gradients.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from . import device


def pointwise(x_BCHW: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    """The convolution of x [B, C, H, W] with a kernel [C', C / groups, 1, 1]: [B, C', H, W], channels_last if x is."""
    return product(x_BCHW, matrix_of(weight, groups)) if device.on_cuda(x_BCHW) else F.conv2d(x_BCHW, weight, groups=groups)


def product(x_BCHW: Tensor, matrix: Tensor) -> Tensor:
    """The product of each pixel's channels with a matrix [C', C], on any device."""
    return F.linear(x_BCHW.permute(0, 2, 3, 1), matrix).permute(0, 3, 1, 2)


def matrix_of(weight: Tensor, groups: int) -> Tensor:
    """The matrix [C', C] of a kernel [C', C / groups, 1, 1], block-diagonal if it is grouped."""
    if groups == 1:
        return weight.flatten(1)
    blocks = weight.flatten(1).unflatten(0, (groups, -1))  # G C'/G C/G
    return blocks.permute(1, 2, 0).diag_embed(dim1=0, dim2=2).flatten(2).flatten(0, 1)
