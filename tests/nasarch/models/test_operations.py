"""Each operation computes what its row of the table says: by sums over the pixels under the kernel, in numpy, on maps of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from nasarch.models.cell import ResidualReduction
from nasarch.models.operations import BUILDERS, build, factorized_reduce, relu_conv_bn

Array = np.ndarray
SIZES = [(6, 8), (5, 7), (4, 5), (7, 4)]  # even and odd, each alone and both


class Given:
    """The parameters of a module, taken one after the other; all of them have to be asked for."""

    def __init__(self, module: nn.Module) -> None:
        self.entries = [(name, entry.detach().numpy()) for name, entry in module.state_dict().items() if not name.endswith("tracked")]

    def take(self, name: str) -> Array:
        found, entry = self.entries.pop(0)
        assert found.endswith(name)
        return entry


def windows(x: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: int, beyond: float) -> Array:
    """What lies under the kernel, `beyond` outside of the map: [B, C, H, W] -> [B, C, H', W', k, k]."""
    batch, channels, height, width = x.shape
    reach = [dilation * (k - 1) + 1 for k in kernel]
    rows, columns = ((side + 2 * p - r) // s + 1 for side, p, r, s in zip((height, width), padding, reach, stride, strict=True))
    found = np.full((batch, channels, rows, columns, *kernel), beyond)
    for place in np.ndindex(rows, columns, *kernel):
        y = place[0] * stride[0] - padding[0] + place[2] * dilation
        z = place[1] * stride[1] - padding[1] + place[3] * dilation
        if 0 <= y < height and 0 <= z < width:
            found[:, :, *place] = x[:, :, y, z]
    return found


def conv(x: Array, weight: Array, stride: tuple[int, int] = (1, 1), padding: tuple[int, int] = (0, 0), dilation: int = 1) -> Array:
    """A convolution without bias; of one input channel for each output it is depthwise."""
    under = windows(x, weight.shape[2:], stride, padding, dilation, 0.0)
    if weight.shape[1] == 1 < x.shape[1]:
        return np.einsum("bchwij,cij->bchw", under, weight[:, 0])
    return np.einsum("bchwij,ocij->bohw", under, weight)


def norm(x: Array, given: Given, affine: bool, training: bool) -> Array:
    """Batch normalisation: by the statistics of the batch while training, else by the running ones; eps 1e-5."""
    scale, shift = (given.take("weight"), given.take("bias")) if affine else (np.ones(x.shape[1]), np.zeros(x.shape[1]))
    mean, var = given.take("running_mean"), given.take("running_var")
    if training:
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    scale, shift, mean, var = (values[:, None, None] for values in (scale, shift, mean, var))
    return (x - mean) / np.sqrt(var + 1e-5) * scale + shift


Literal = Callable[[Array, int, Given, bool, bool], Array]


def max_pool(x: Array, stride: int, *_: object) -> Array:
    return windows(x, (3, 3), (stride, stride), (1, 1), 1, -np.inf).max((4, 5))


def avg_pool(x: Array, stride: int, *_: object) -> Array:
    """Of the pixels inside the map alone."""
    return np.nanmean(windows(x, (3, 3), (stride, stride), (1, 1), 1, np.nan), axis=(4, 5))


def skip(x: Array, stride: int, given: Given, affine: bool, training: bool) -> Array:
    """At stride 2 half of the channels see the pixels in even rows and columns, the others those in odd ones, zero beyond the map."""
    return x if stride == 1 else halved(x, given, affine, training)


def halved(x: Array, given: Given, affine: bool, training: bool) -> Array:
    x = np.maximum(x, 0)
    odd = np.pad(x, ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2)))[:, :, 1::2, 1::2]
    both = [conv(x[:, :, ::2, ::2], given.take("conv_1.weight")), conv(odd, given.take("conv_2.weight"))]
    return norm(np.concatenate(both, axis=1), given, affine, training)


def separable(kernel: int, dilation: int = 1, twice: bool = False) -> Literal:
    def compute(x: Array, stride: int, given: Given, affine: bool, training: bool) -> Array:
        padding = dilation * (kernel - 1) // 2
        for s in (stride, 1) if twice else (stride,):
            depthwise, pointwise = given.take("weight"), given.take("weight")
            assert depthwise.shape[1:] == (1, kernel, kernel) and pointwise.shape[2:] == (1, 1)
            x = conv(conv(np.maximum(x, 0), depthwise, (s, s), (padding, padding), dilation), pointwise)
            x = norm(x, given, affine, training)
        return x

    return compute


def dense(kernel: int) -> Literal:
    def compute(x: Array, stride: int, given: Given, affine: bool, training: bool) -> Array:
        weight = given.take("weight")
        assert weight.shape[2:] == (kernel, kernel)
        return norm(conv(np.maximum(x, 0), weight, (stride, stride), (kernel // 2,) * 2), given, affine, training)

    return compute


def asymmetric(kernel: int) -> Literal:
    """1xk and then kx1, each with the stride in its own direction (DARTS' code: k = 7; SETN's: k = 3)."""

    def compute(x: Array, stride: int, given: Given, affine: bool, training: bool) -> Array:
        across, down = given.take("weight"), given.take("weight")
        assert across.shape[2:] == (1, kernel) and down.shape[2:] == (kernel, 1)
        x = conv(conv(np.maximum(x, 0), across, (1, stride), (0, kernel // 2)), down, (stride, 1), (kernel // 2, 0))
        return norm(x, given, affine, training)

    return compute


LITERAL: dict[str, Literal] = {
    "max_pool_3x3": max_pool,
    "avg_pool_3x3": avg_pool,
    "skip_connect": skip,
    "sep_conv_3x3": separable(3, twice=True),
    "sep_conv_5x5": separable(5, twice=True),
    "sep_conv_7x7": separable(7, twice=True),
    "dil_conv_3x3": separable(3, dilation=2),
    "dil_conv_5x5": separable(5, dilation=2),
    "conv_7x1_1x7": asymmetric(7),
    "conv_3x1_1x3": asymmetric(3),
    "nor_conv_1x1": dense(1),
    "nor_conv_3x3": dense(3),
}


def lively(module: nn.Module) -> nn.Module:
    """In float64, with parameters and statistics that are none of the usual zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    for name, entry in module.double().state_dict().items():
        if entry.is_floating_point():
            entry.copy_(torch.randn(entry.shape, generator=generator, dtype=torch.float64))
            entry.abs_() if name.endswith("running_var") else entry
    return module


def image(channels: int, size: tuple[int, int], batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def assert_same(module: nn.Module, x: torch.Tensor, expected: Array, rest: Given) -> None:
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    assert rest.entries == []


def test_every_operation_is_compared() -> None:
    assert LITERAL.keys() == BUILDERS.keys()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", LITERAL)
def test_an_operation_is_the_sum_over_its_kernel(name: str, stride: int, size: tuple[int, int]) -> None:
    for affine, training in ((True, False), (False, True)):
        module = build(name, 3, stride) if affine else build(name, 3, stride, affine=False)
        lively(module).train(training)
        x, given = image(3, size), Given(module)
        expected = LITERAL[name](x.numpy(), stride, given, affine, training)
        assert expected.shape[2:] == tuple(-(-side // stride) for side in size)
        assert_same(module, x, expected, given)


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", LITERAL)
def test_groups_are_independent_operations_side_by_side(name: str, stride: int, size: int) -> None:
    """Each group of the output sees its own group of the input, of `size` channels: the others may be anything."""
    module = lively(build(name, 3 * size, stride, groups=3, affine=False)).eval()
    x = image(3 * size, (6, 5))
    whole = module(x)
    for group in range(3):
        own = slice(size * group, size * group + size)
        other = torch.randn_like(x)
        other[:, own] = x[:, own]
        out = module(other)
        assert torch.equal(out[:, own], whole[:, own])
        rest = [channel for channel in range(3 * size) if channel // size != group]
        assert (out[:, rest] != whole[:, rest]).flatten(2).any(-1).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("out_channels", [4, 5])
def test_a_map_is_halved_by_both_convolutions(out_channels: int, size: tuple[int, int]) -> None:
    for affine in (True, False):
        module = lively(factorized_reduce(3, out_channels) if affine else factorized_reduce(3, out_channels, affine=False)).eval()
        x, given = image(3, size), Given(module)
        assert module[1].conv_1.out_channels == out_channels // 2
        assert_same(module, x, halved(x.numpy(), given, affine, False), given)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (1, 2), (5, 1)])
def test_what_brings_maps_to_other_channels_begins_with_a_relu(kernel: int, stride: int) -> None:
    for affine in (True, False):
        module = lively(relu_conv_bn(3, 5, kernel, stride=stride, affine=affine)).eval()
        x, given = image(3, (5, 6)), Given(module)
        assert_same(module, x, dense(kernel)(x.numpy(), stride, given, affine, False), given)
    usual = relu_conv_bn(3, 5).double()
    assert usual[1].kernel_size == usual[1].stride == (1, 1) and usual[1].groups == 1 and usual[2].affine


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("training", [False, True])
def test_the_residual_reduction_is_two_convolutions_and_a_pooled_shortcut(training: bool, size: tuple[int, int]) -> None:
    module = lively(ResidualReduction(3, 5)).train(training)
    x, given = image(3, size), Given(module)
    convolved = dense(3)(dense(3)(x.numpy(), 2, given, True, training), 1, given, True, training)
    mean = np.nanmean(windows(padded_to_even(x.numpy()), (2, 2), (2, 2), (0, 0), 1, np.nan), axis=(4, 5))
    expected = convolved + conv(mean, given.take("weight"))
    np.testing.assert_allclose(module(torch.full((1,), torch.nan), x).detach().numpy(), expected, rtol=1e-9, atol=1e-9)


def padded_to_even(x: Array) -> Array:
    """NaN beyond the map, which a mean of the pixels inside passes over."""
    return np.pad(x, ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2)), constant_values=np.nan)


@pytest.mark.parametrize("name", LITERAL)
def test_the_first_layer_leaves_its_input_as_it_is(name: str) -> None:
    """Several edges read the same state, so nothing may be computed in place there."""
    x = image(2, (4, 4))
    before = x.clone()
    build(name, 2).double()(x)
    assert torch.equal(x, before)


def test_modules_are_made_where_and_of_the_type_that_is_asked_for() -> None:
    for name in LITERAL:
        for stride in (1, 2):
            made = [*build(name, 4, stride, device="meta", dtype=torch.float64).state_dict().values()]
            assert all(entry.is_meta for entry in made) and {e.dtype for e in made} <= {torch.float64, torch.int64}
