"""A training step of the zoo's networks is that of the literal ones; the exchanged convolutions change nothing but the time."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells.genotype import resolve
from nasarch.search.kernels.fast_depthwise import Depthwise, use_fast_depthwise
from tests.helpers.reference import TwinNetwork

CELLS = ["pc_darts_cifar", "ftso_cifar", "dots_cifar", "darts_v1_cifar"]


def network(name: str, **kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, cells=5, channels=4, **kwargs).double()


def step(net: nn.Module, *, batch: int = 3, size: int = 16) -> tuple[Tensor, list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, size, size, generator=generator, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    torch.manual_seed(2)  # of drop path
    loss = F.cross_entropy(net(x), torch.arange(batch))
    return loss.detach(), list(torch.autograd.grad(loss, list(net.parameters())))


def assert_same(ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]]) -> None:
    assert abs(ours[0] - theirs[0]) <= 1e-10 * abs(theirs[0])
    largest = max(gradient.abs().max() for gradient in theirs[1])
    for a, b in zip(ours[1], theirs[1], strict=True):
        assert (a - b).abs().max() <= 1e-10 * largest


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_training_step_is_that_of_the_literal_network(name: str, rate: float) -> None:
    net = network(name, drop_path_rate=rate)
    twin = TwinNetwork(resolve(name), cells=5, channels=4, drop_path_rate=rate).double()
    twin.load(net)
    assert_same(step(net), step(twin))
    assert_same(step(use_fast_depthwise(net)), step(twin))


@pytest.mark.parametrize("size", [12, 13])
def test_the_exchanged_network_has_the_same_weights_names_outputs_and_gradients(size: int) -> None:
    net = network("pc_darts_cifar")
    quick = copy.deepcopy(net)
    before = dict(quick.named_parameters())
    assert use_fast_depthwise(quick) is quick and all(parameter is before[name] for name, parameter in quick.named_parameters())
    exchanged = [module for module in quick.modules() if isinstance(module, Depthwise)]
    assert {(m.kernel_size[0], m.dilation[0]) for m in exchanged} == {(5, 1), (3, 2)}
    assert quick.state_dict().keys() == net.state_dict().keys() and not any(p.is_meta for p in quick.parameters())
    assert not any(module.training for module in use_fast_depthwise(copy.deepcopy(net).eval()).modules())
    assert_same(step(quick, size=size), step(net, size=size))
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    with torch.inference_mode():
        assert torch.equal(quick.eval()(x), net.eval()(x))


def test_what_has_fast_gradients_or_a_bias_is_left_alone() -> None:
    plain = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False), nn.Conv2d(4, 8, 5, groups=4, bias=False), nn.Conv2d(4, 4, 5, groups=4))
    assert not any(isinstance(module, Depthwise) for module in use_fast_depthwise(plain).modules())
