"""Mixing weights gathered by a product with a constant matrix: against `index_select`, in value and gradients."""

from __future__ import annotations

import torch

from nasarch.cells.space import DARTS
from nasarch.search.supernet.candidates import all_candidates
from nasarch.search.supernet.network import Supernet
from nasarch.search.supernet.selection import Selection


def test_a_product_with_a_constant_matrix_selects_with_all_gradients() -> None:
    net = Supernet(DARTS, all_candidates(DARTS), channels=8, layers=3, partial=4)
    columns, generator = len(DARTS.operations) + 2, torch.Generator().manual_seed(0)
    table = torch.randn(2 * len(DARTS.edges), columns, generator=generator, dtype=torch.float64)
    table[:, -1] = 0
    table = table.flatten().requires_grad_()
    selection = Selection(net.mix_index, columns)
    found, expected = selection(table), table.index_select(0, net.mix_index)
    assert torch.equal(found, expected) and 0 < len(selection.position) < 0.1 * len(net.mix_index)
    g = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    (ours,), (theirs,) = torch.autograd.grad(found, table, g), torch.autograd.grad(expected, table, g)
    kept = torch.arange(len(table)) % columns != columns - 1  # the gradient of the zeros goes nowhere
    torch.testing.assert_close(ours[kept], theirs[kept], rtol=1e-13, atol=1e-13)
    assert not ours[~kept].any() and (ours[kept] - theirs[kept].roll(1)).abs().max() > 1
