"""Gather of mixing weights without atomic sums: `table.index_select(0, index)` whose gradient is the same in every run on CUDA.

Most of the entries that a network reads are the zero of its table. The others are selected by a product with a constant matrix of
zeros and ones, whose gradient is the product with its transpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Selection:
    """Of N entries that are gathered from a table of T, the n that are not its zeros.

    Args:
        length: N.
        position: where they stand among the N: [n].
        matrix: 1 where an entry reads the table: [n, T].
    """

    length: int
    position: Tensor
    matrix: Tensor

    @classmethod
    def of(cls, index: Tensor, columns: int, entries: int) -> Selection:
        """For the flat index into a table [rows, columns] of so many entries, whose last column is zero."""
        position = (index % columns != columns - 1).nonzero().flatten()
        matrix = torch.zeros(len(position), entries, device=index.device)
        matrix[torch.arange(len(position), device=index.device), index[position]] = 1.0
        return cls(len(index), position, matrix)

    def gather(self, table: Tensor) -> Tensor:
        """[T] -> [N]."""
        selected = torch.mv(self.matrix.to(table.dtype), table)
        return table.new_zeros(self.length).index_copy(0, self.position, selected)
