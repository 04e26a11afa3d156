"""Average pooling of a padded map: against PyTorch's pooling on the CPU in float64, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from nasarch.search.kernels.average_pool import AveragePool


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 3), (2, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_before_gives_the_same_value_and_gradient(size: tuple[int, int], stride: int) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    found, expected = AveragePool(stride).padded_before(x), F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    g = torch.randn_like(expected)
    torch.testing.assert_close(*[torch.autograd.grad(y, x, g)[0] for y in (found, expected)], rtol=1e-12, atol=1e-12)
    counted = F.avg_pool2d(x, 3, stride, 1)
    assert (counted - expected).abs().max() > 1e-3  # what a pooling that counts the padding would give
    assert torch.equal(AveragePool(stride)(x), expected)


def test_autocast_leaves_the_type_of_the_map() -> None:
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    pool = AveragePool(1)
    with torch.autocast("cpu", torch.bfloat16):
        y = pool.padded_before(x)
    (g,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert y.dtype == g.dtype == torch.bfloat16 and [scale.dtype for scale in pool.scales.values()] == [torch.bfloat16]
    assert abs(float(g.float().sum()) - y.numel()) < 0.02 * y.numel()  # each average gives its gradient away in whole
