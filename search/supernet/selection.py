"""Gather of mixing weights without atomic sums: `table.index_select(0, index)` whose gradient is the same in every run on CUDA.

Most of the entries that a network reads are the zero of its table. The others are selected by a product with a matrix of zeros and
ones, whose gradient is the product with its transpose.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Selection(nn.Module):
    """Of N entries that are gathered from a flat table [rows, columns], whose last column is zero, the n that are not its zeros.

    Args:
        index: into the flat table: [N].
        columns: of the table.
    """

    position: Tensor
    entry: Tensor

    def __init__(self, index: Tensor, columns: int) -> None:
        super().__init__()
        is_read = index % columns != columns - 1
        position = index[:0] if index.is_meta else is_read.nonzero().flatten()  # on the meta device nobody knows
        self.length = len(index)
        self.register_buffer("position", position, persistent=False)
        self.register_buffer("entry", index[position], persistent=False)

    def forward(self, table: Tensor) -> Tensor:
        """[T] -> [N]."""
        matrix = self.entry[:, None] == torch.arange(len(table), device=table.device)
        with torch.autocast(table.device.type, enabled=False):  # mixing weights stay as they are
            selected = torch.mv(matrix.to(table.dtype), table)
        return table.new_zeros(self.length).index_copy(0, self.position, selected)
