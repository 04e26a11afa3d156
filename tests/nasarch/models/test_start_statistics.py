"""Running statistics of a fresh network: what the initial weights imply, so that evaluation mode keeps the scale of activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import nasarch
from nasarch.models import network
from nasarch.models.layers import _inside
from nasarch.models.network import CellNetwork
from tests.helpers.small_models import KINDS, small


@pytest.mark.parametrize("name", ["ftso_cifar", "pc_darts_imagenet", "amoebanet_a_cifar", "ftso_nats_cifar"])
def test_logits_of_a_fresh_network_have_a_scale_and_depend_on_the_image(name: str) -> None:
    """With PyTorch's own statistics, 0 and 1, they are 1e-18 and the same for all images, and every comparison passes."""
    torch.manual_seed(0)
    model: Any = timm.create_model(name).eval()
    images = torch.rand(4, *model.pretrained_cfg["input_size"])
    with torch.inference_mode():
        logits = model(images)
    assert 0.01 < logits.abs().max() < 100 and logits.std(0).mean() > 1e-4


@pytest.mark.parametrize("name", KINDS)
def test_they_depend_on_the_weights_alone(name: str) -> None:
    first, second = small(name), small(name)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first._start_statistics()
    assert torch.equal(torch.rand(3), expected), "no random number is drawn"
    moved = [m for m in second.modules() if isinstance(m, nn.BatchNorm2d) and m.running_var is not None]
    assert moved and all(m.running_var.min() > 0 and m.num_batches_tracked == 0 for m in moved)


def test_a_network_without_memory_gets_them_with_its_weights() -> None:
    model: Any = timm.create_model("pc_darts_cifar", cells=3, channels=4, device="meta")
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    torch.manual_seed(0)
    model.to_empty(device="cpu")
    model.init_weights()
    variances = torch.cat([m.running_var for m in model.modules() if isinstance(m, nn.BatchNorm2d)])
    assert variances.isfinite().all() and (variances != 1).all()


def test_they_are_left_out_where_weights_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is the one that the weights make, and says nothing of it where it is saved."""
    trained = small("pc_darts_cifar")
    path = tmp_path / "weights.pth"
    torch.save({key: value + 1 for key, value in trained.state_dict().items()}, path)
    monkeypatch.setattr(network, "start_statistics", lambda *_: pytest.fail("computed for nothing"))
    size = {"cells": 5, "channels": 4}
    pretrained = timm.create_model("pc_darts_cifar", pretrained=True, pretrained_cfg_overlay={"file": str(path)}, **size)
    for model in (pretrained, nasarch.create_model("pc_darts_cifar", checkpoint_path=str(path), **size)):
        assert all(torch.equal(model.state_dict()[key], value + 1) for key, value in trained.state_dict().items())
        assert "init_statistics" not in model._model_args and model._model_args["cells"] == 5


def test_they_are_the_variances_of_a_convolution_of_noise() -> None:
    """The first layer sees noise of variance 1, padded with zeros."""
    torch.manual_seed(0)
    model: Any = timm.create_model("pc_darts_cifar", cells=3, channels=4)
    assert isinstance(model, CellNetwork)
    conv, norm = model.stem[0][:2]
    with torch.no_grad():
        maps = conv(torch.randn(400, 3, 32, 32))
    torch.testing.assert_close(norm.running_var, maps.var((0, 2, 3)), rtol=0.05, atol=0)
    assert norm.running_mean.abs().max() == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [((3, 1, 1, 1, 4), (10 / 12, 4)), ((3, 1, 1, 2, 4), (5 / 6, 2)), ((1, 1, 0, 1, 7), (1.0, 7)), ((5, 2, 4, 1, 2), (0.2, 2))],
)
def test_the_share_of_taps_inside_a_map(given: tuple[int, ...], expected: tuple[float, int]) -> None:
    share, side = _inside(*given)
    assert (pytest.approx(share), side) == expected
