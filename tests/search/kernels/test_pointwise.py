"""1x1 convolutions as products of matrices: against PyTorch's convolution in float64, in value and all gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from nasarch.search.kernels.pointwise import matrix_of, pointwise, product

SHAPES = [(6, 9, 1), (6, 9, 3), (8, 8, 8), (5, 5, 1), (12, 4, 4)]


@pytest.mark.parametrize(("channels", "outputs", "groups"), SHAPES)
def test_a_product_of_matrices_is_the_convolution_with_all_gradients(channels: int, outputs: int, groups: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, 3, 5, generator=generator, dtype=torch.float64).to(memory_format=torch.channels_last)
    weight = torch.randn(outputs, channels // groups, 1, 1, generator=generator, dtype=torch.float64)
    g = torch.randn(2, outputs, 3, 5, generator=generator, dtype=torch.float64)
    found, expected = [], []
    for call, values in ((lambda a, b: product(a, matrix_of(b, groups)), found), (lambda a, b: F.conv2d(a, b, groups=groups), expected)):
        inputs = x.clone().requires_grad_(), weight.clone().requires_grad_()
        y = call(*inputs)
        slopes = torch.autograd.grad(y, inputs, g, create_graph=True)
        values += [y, *slopes, *torch.autograd.grad((slopes[0] ** 2).sum() + (slopes[1] ** 3).sum(), inputs)]
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_on_a_cpu_it_is_the_convolution_to_the_bit() -> None:
    x, weight = torch.randn(2, 8, 4, 4), torch.randn(8, 2, 1, 1)
    assert torch.equal(pointwise(x, weight, 4), F.conv2d(x, weight, groups=4))
    assert not torch.equal(pointwise(x, weight.roll(1, 0), 4), F.conv2d(x, weight, groups=4))
