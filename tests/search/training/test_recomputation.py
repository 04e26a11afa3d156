"""Activation recomputation changes nothing but what is kept: losses, gradients of two orders, running statistics and whole trainings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cli.main import main
from nasarch.models.operations import build
from nasarch.search.training import recomputation
from nasarch.search.training.recomputation import Recomputing, recompute_activations
from tests.helpers.small_training import COMMAND

SMALL = {"cells": 5, "channels": 4, "num_classes": 3}
NETWORKS = ["ftso_cifar", "darts_v2_cifar", "pc_darts_imagenet", "ftso_nats_cifar"]


def pair(name: str, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module]:
    """A network of all its layers as they are, and the same one that recomputes."""
    torch.manual_seed(0)
    sizes = {"num_classes": 3} if "nats" in name else SMALL
    plain = timm.create_model(name, drop_path_rate=0.3, **sizes).to(dtype).train()
    return plain, recompute_activations(copy.deepcopy(plain))


def images(size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)


def loss_of(net: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(2)  # of drop path
    output = net(x)
    outputs = output if isinstance(output, tuple) else (output,)
    return sum((F.cross_entropy(logits.float(), torch.arange(3)) for logits in outputs), torch.zeros(()))


def assert_equal(first: Sequence[Tensor], second: Sequence[Tensor]) -> None:
    assert len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [32, 13])
def test_loss_gradients_and_statistics_are_equal_to_the_bit(name: str, size: int) -> None:
    plain, recomputing = pair(name)
    assert list(recomputing.state_dict()) == list(plain.state_dict())
    for _ in range(2):
        losses = [loss_of(net, images(size)) for net in (plain, recomputing)]
        gradients = [torch.autograd.grad(loss, [*net.parameters()]) for loss, net in zip(losses, (plain, recomputing), strict=True)]
        assert_equal(*([loss] for loss in losses))
        assert_equal(*gradients)
        assert any(gradient.abs().max() > 0 for gradient in gradients[0])
        assert_equal([*plain.buffers()], [*recomputing.buffers()])
    for net in (plain, recomputing):
        net.eval()
    with torch.no_grad():
        assert torch.equal(plain(images(size)), recomputing(images(size)))


def test_autocast_is_that_of_the_forward_pass() -> None:
    plain, recomputing = pair("ftso_cifar")
    gradients = []
    for net in (plain, recomputing):
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(net, images(16))
        gradients.append(torch.autograd.grad(loss, [*net.parameters()]))
    assert_equal(*gradients)


def test_second_derivatives_and_a_second_backward_pass_are_those_of_the_layers() -> None:
    plain, recomputing = pair("darts_v2_cifar", torch.float64)
    second = []
    for net in (plain, recomputing):
        loss, parameters = loss_of(net, images(8, torch.float64)), [*net.parameters()]
        slopes = torch.autograd.grad(loss, parameters, create_graph=True)
        second.append(torch.autograd.grad(sum(slope.square().sum() for slope in slopes), parameters, allow_unused=True, retain_graph=True))
        assert_equal(torch.autograd.grad(loss, parameters), slopes)
    assert sum(gradient is not None for gradient in second[0]) > 50
    for a, b in zip(*second, strict=True):
        assert (a is None) == (b is None) and (a is None or torch.allclose(a, b, rtol=1e-9, atol=1e-12 * float(a.abs().max())))


def kept_bytes(net: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes of all maps that are kept for the backward pass, whoever keeps them."""
    kept: dict[int, Tensor] = {}  # held, so that no address is given away twice
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*net.parameters(), *net.buffers(), x)}

    def keep(tensor: Tensor) -> None:
        kept[tensor.untyped_storage().data_ptr()] = tensor

    def noting(pack: Callable[[Tensor], object]) -> Callable[[Tensor], object]:
        def packed(tensor: Tensor) -> object:
            value = pack(tensor)
            if isinstance(value, Tensor):
                keep(value)
            return value

        return packed

    class Noting(torch.autograd.graph.saved_tensors_hooks):
        def __init__(self, pack: Callable[[Tensor], object], unpack: Callable[[object], Tensor]) -> None:
            super().__init__(noting(pack), unpack)

    class Maps(recomputation.Maps):
        def __init__(self, block: recomputation.Block, value: Tensor) -> None:
            super().__init__(block, value)
            keep(self.x)

    monkeypatch.setattr(recomputation, "saved_tensors_hooks", Noting)
    monkeypatch.setattr(recomputation, "Maps", Maps)
    with Noting(lambda tensor: tensor, lambda tensor: tensor):  # type: ignore[arg-type,return-value]
        loss = loss_of(net, x)
    assert loss.requires_grad
    return sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in weights)


def test_of_separable_convolutions_two_maps_of_five_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequence of one operation: of its maps of 3 * 8 * 16 * 16 * 4 bytes the two inputs of the pointwise convolutions remain."""
    operation, size = build("sep_conv_3x3", 8).train(), 3 * 8 * 16 * 16 * 4
    operation[0] = nn.Identity()  # as in a cell, which computes the first ReLU once for all edges
    recomputing = nn.Sequential(copy.deepcopy(operation))
    recompute_activations(recomputing)
    x = torch.randn(3, 8, 16, 16)

    def maps(net: nn.Module) -> float:
        return kept_bytes(nn.Sequential(net, nn.AdaptiveAvgPool2d(1), nn.Flatten()), x, monkeypatch) / size

    assert 5 <= maps(operation) < 5.1 and 2 <= maps(recomputing) < 2.1  # what is more are statistics


def test_a_network_keeps_sixty_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, recomputing = pair("ftso_cifar")
    share = kept_bytes(recomputing, images(32), monkeypatch) / kept_bytes(plain, images(32), monkeypatch)
    assert 0.4 < share < 0.6


def test_nothing_that_was_computed_again_stays_after_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[recomputation.Maps] = []

    class Maps(recomputation.Maps):
        def __init__(self, block: recomputation.Block, value: Tensor) -> None:
            super().__init__(block, value)
            made.append(self)

        def _read(self, name: str) -> Tensor:
            value = super()._read(name)
            filled.add(id(self))
            return value

    filled: set[int] = set()
    monkeypatch.setattr(recomputation, "Maps", Maps)
    loss_of(pair("darts_v2_cifar")[1], images(16)).backward()
    assert len(made) > 30 and len(filled) == len(made) and not any(maps.cache for maps in made)


def test_only_sequences_with_a_pointwise_convolution_and_bn_are_exchanged() -> None:
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU()).eval(),
    )
    assert recompute_activations(net) is net
    assert [type(layers) for layers in net] == [nn.Sequential, nn.Sequential, Recomputing, Recomputing]
    assert net[2].training and not net[3].training


def test_an_input_that_was_changed_in_place_is_refused() -> None:
    layers = Recomputing(nn.ReLU(), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    x = torch.randn(2, 4, 5, 5, requires_grad=True) * 1
    out = layers(x).square().sum()
    x.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        out.backward()


def test_a_training_by_flag_ends_with_the_same_weights(tmp_path: Path) -> None:
    flags = ["ftso_cifar", *COMMAND, "--epochs", "1", "--no-test"]
    assert main(["train", *flags, "--out", str(tmp_path / "plain")]) == 0
    exchanged = []
    with pytest.MonkeyPatch.context() as patch:
        real = recompute_activations
        patch.setattr("nasarch.search.training.learner.recompute_activations", lambda net: exchanged.append(1) or real(net))
        assert main(["train", *flags, "--recompute", "--out", str(tmp_path / "recomputed")]) == 0
    assert exchanged == [1]
    first, second = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("plain", "recomputed"))
    assert first.keys() == second.keys()
    assert_equal([*first.values()], [*second.values()])
