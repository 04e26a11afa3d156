"""Average pooling 3x3 that does not count the padding, right in channels_last order on CUDA, too.

PyTorch's gradient there is another one where the padding is not 0 (issue 188344, found in 2026; its versions up to 2.13 at least have
it), so the map is padded before:

    y = sum of the window / number of its pixels in the map = avg_pool(pad(x), padding 0) * 9 / pixels
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AveragePool(nn.Module):
    """[B, C, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)]."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.scales: dict[tuple[object, ...], Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        return self.padded_before(x) if x.is_cuda else F.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)

    def padded_before(self, x: Tensor) -> Tensor:
        """The same by a pooling without padding, on any device."""
        key = (x.shape[2:], x.dtype, x.device)
        if key not in self.scales:  # 9 / the number of pixels of each window that lie in the map
            self.scales[key] = F.avg_pool2d(torch.ones_like(x[:1, :1].detach()), 3, self.stride, 1).reciprocal()
        return F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, self.stride) * self.scales[key]
