"""Families of operations are the operations themselves, side by side; what is computed again has the right derivatives of every order."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from nasarch.models.operations import build
from nasarch.search.kernels.polyphase import from_polyphase, to_polyphase
from nasarch.search.kernels.recompute import Copies, Geometry, conv_norm, depthwise
from nasarch.search.supernet.convolutions import Convolutions, families

SEPARABLE = ["sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5"]
NAMES = {
    "separable": SEPARABLE,
    "dense": ["nor_conv_1x1", "nor_conv_3x3"],
    "asymmetric": ["conv_7x1_1x7", "dil_conv_3x3"],
    "halving": ["skip_connect"],
}


def literal(share: Convolutions, x: Tensor, mix: Tensor, sources: int, edges: int) -> Tensor:
    """Every operation on every edge alone, with the parameters of `share`: [B, E * C, H', W']."""
    (first, *_), channels = share.families, share.channels
    offset, total = 0, 0.0
    for names, family in zip(share.names, share.families, strict=True):
        for index in range(sources * len(names)):
            outs = []
            for e in range(edges):
                one = build(names[index % len(names)], channels, first.stride, affine=False).double()
                for ours, entry in zip(one.parameters(), weights_of(family, index), strict=True):
                    ours.data = entry.chunk(edges)[e]
                source = x.chunk(sources, dim=1)[index // len(names)]
                outs.append(mix[offset + index * edges + e] * one(source))
            total = total + torch.cat(outs, dim=1)
        offset += sources * len(names) * edges
    return total


def weights_of(family: nn.Module, index: int) -> list[Tensor]:
    found = []
    for layer in family.layers:
        if hasattr(layer, "convs"):
            found += list(layer.convs[index].parameters())
        elif not isinstance(layer, nn.ReLU):
            found += [w.chunk(family.layers[-1].blocks)[index] for w in layer.conv.parameters()]
    return found


@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (6, 9)])
@pytest.mark.parametrize(("channels", "sources", "edges", "stride"), [(4, 1, 3, 1), (2, 2, 4, 1), (4, 2, 2, 2), (3, 1, 1, 2), (1, 1, 2, 1)])
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_a_family_is_its_operations(names: list[str], channels: int, sources: int, edges: int, stride: int, shape: tuple[int, int]) -> None:
    if names == ["skip_connect"] and stride == 1 or "conv_7x1_1x7" in names and stride == 2 and shape[0] % 2 != shape[1] % 2:
        pytest.skip("no convolution, or no such map")
    torch.manual_seed(0)
    share = Convolutions(names, sources, edges, channels, stride).double()
    x = torch.randn(3, sources * channels, *shape, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    mix = torch.rand(sources * edges * len(names), dtype=torch.float64, requires_grad=True)
    inputs = [x, mix, *share.parameters()]
    ours = torch.cat(share(x, x[:, :0], mix), dim=1)
    theirs = literal(share, x, mix, sources, edges)
    assert (ours - theirs).abs().max() <= 1e-10 * theirs.abs().max()
    direction = torch.randn_like(theirs)
    found = torch.autograd.grad(ours, inputs[:2], direction)
    for a, b in zip(found, torch.autograd.grad(theirs, inputs[:2], direction), strict=True):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max()


def test_kernels_of_a_family_are_ordered_by_size() -> None:
    names = ["sep_conv_7x7", "skip_connect", "sep_conv_3x3", "dil_conv_5x5", "nor_conv_3x3", "nor_conv_1x1", "dil_conv_3x3", "sep_conv_5x5"]
    assert families(names) == [
        ["dil_conv_3x3", "dil_conv_5x5"],
        ["nor_conv_1x1"],
        ["nor_conv_3x3"],
        ["sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"],
        ["skip_connect"],
    ]


def test_phases_are_joined_to_the_same_map() -> None:
    x = torch.randn(2, 3, 6, 8)
    assert torch.equal(from_polyphase(to_polyphase(x)), x)
    assert torch.equal(to_polyphase(x)[2:4], x[:, :, ::2, 1::2])


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("training", [True, False])
def test_the_derivatives_of_conv_norm(training: bool) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, affine=False).double().train(training)
    geometry = Geometry((1, 1), (0, 0), (1, 1), 2)

    def run(x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        return conv_norm(x, weight, norm, scale, geometry)

    inputs = (double(2, 4, 3, 3), double(4, 2, 1, 1), double(4))
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


@pytest.mark.parametrize("sources", [1, 2])
def test_the_derivatives_of_depthwise(sources: int) -> None:
    torch.manual_seed(0)
    geometry, copies = Geometry((1, 1), (2, 2), (1, 1), 12), Copies(6 // sources, sources)

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        return depthwise(x, weights, copies, geometry)

    inputs = (double(1, 2 * sources, 4, 3), double(6, 1, 3, 3), double(6, 1, 5, 5))
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


@pytest.mark.parametrize(
    ("width", "stride", "dilation", "size"),
    [(5, 1, 1, 11), (5, 2, 1, 11), (7, 1, 1, 11), (9, 2, 1, 11), (3, 1, 2, 10), (5, 1, 2, 10), (5, 1, 2, 11), (3, 2, 2, 10)],
)
def test_a_wide_or_dilated_kernel_has_the_gradient_of_the_plain_convolution(width: int, stride: int, dilation: int, size: int) -> None:
    torch.manual_seed(0)
    x, weight = double(2, 3, size, 12), double(3, 1, width, width)
    padding = dilation * (width // 2)
    geometry = Geometry((stride, stride), (padding, padding), (dilation, dilation), 3)
    plain = F.conv2d(x, weight, None, *geometry)
    direction = torch.randn_like(plain)
    ours = torch.autograd.grad(depthwise(x, [weight], Copies(1), geometry), [x, weight], direction)
    for a, b in zip(ours, torch.autograd.grad(plain, [x, weight], direction), strict=True):
        assert (a - b).abs().max() <= 1e-10 * b.abs().max()


def test_running_statistics_are_updated_once() -> None:
    torch.manual_seed(0)
    norm, plain = (nn.BatchNorm2d(4, affine=False) for _ in range(2))
    x, weight = torch.randn(2, 4, 5, 5, requires_grad=True), torch.randn(4, 4, 1, 1)
    conv_norm(x, weight, norm, None, Geometry((1, 1), (0, 0), (1, 1), 1)).square().sum().backward()
    plain(F.conv2d(x, weight))
    assert torch.equal(norm.running_mean, plain.running_mean) and torch.equal(norm.running_var, plain.running_var)
