"""output_stride: dilation instead of the last strides, with the same weights."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import save_for_hf
from torch import nn

from nasarch.models.operations import BUILDERS, DilatedAvgPool, DilatedMaxPool, build, dilated
from tests.helpers.small_models import KINDS, images, small, without_gradient

LARGE = ["pc_darts_imagenet", "fair_darts_a_cifar_224", "snas_aggressive_cifar_224", "amoebanet_a_cifar_224", "ftso_nats_cifar"]


def networks(name: str, output_stride: int, **settings: Any) -> tuple[Any, Any]:
    """The network with strides and the one with `output_stride`, with the same weights, in float64."""
    strided = small(name, stem="imagenet", **settings).double().eval()
    larger = small(name, stem="imagenet", output_stride=output_stride, **settings).double().eval()
    larger.load_state_dict(strided.state_dict())
    return strided, larger


@pytest.mark.parametrize("operation", BUILDERS)
@pytest.mark.parametrize(("stride", "height", "width"), [(1, 7, 8), (2, 8, 12), (2, 9, 11)])
def test_a_dilated_operation_is_the_strided_one_at_each_phase(operation: str, stride: int, height: int, width: int) -> None:
    """Four maps interleaved, through the operation with dilation 2, are the four maps through the operation, interleaved."""
    strided, other = (build(operation, 4, stride, dtype=torch.float64).eval() for _ in range(2))
    other.load_state_dict(strided.state_dict())
    larger, by = dilated(other, (2, 2))
    x = torch.randn(2, 4, 2 * height, 2 * width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = larger(x)
    assert out.shape == x.shape and by == (2 * stride, 2 * stride)
    for row in range(2):
        for column in range(2):
            expected = strided(x[:, :, row::2, column::2])
            torch.testing.assert_close(out[:, :, row :: 2 * stride, column :: 2 * stride], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize(("output_stride", "size"), [(16, (64, 96)), (8, (64, 96)), (8, (72, 104)), (16, (97, 131))])
@pytest.mark.parametrize("cells", [1, 5])
def test_features_contain_those_of_the_strided_network(name: str, output_stride: int, size: tuple[int, int], cells: int) -> None:
    if cells == 1 and name != "ftso_nats_cifar":
        cells = 3  # two reductions beside each other
    strided, larger = networks(name, output_stride, cells=cells, features_only=True, init_statistics=False)
    x = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reductions = [2, 4, 8, min(16, output_stride), output_stride]
    assert larger.feature_info.reduction() == reductions and larger.feature_info.channels() == strided.feature_info.channels()
    with torch.no_grad():
        for m, expected, after, before in zip(larger(x), strided(x), reductions, (2, 4, 8, 16, 32), strict=True):
            step = before // after
            assert m.shape[2:] == tuple(-(-side // after) for side in size)
            torch.testing.assert_close(m[:, :, ::step, ::step], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", KINDS)
def test_32_is_the_network_as_it_is(name: str) -> None:
    x, plain, same = images(name), small(name).eval(), small(name, output_stride=32).eval()
    with torch.no_grad():
        assert torch.equal(plain(x), same(x))
    assert str(plain) == str(same)
    if plain.feature_info[-1]["reduction"] == 4:
        assert str(small(name, output_stride=8)) == str(plain)


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_every_parameter_of_a_dilated_network_is_trained(name: str, output_stride: int) -> None:
    model, plain = (small(name, stem="imagenet", num_classes=7, output_stride=stride) for stride in (output_stride, 32))
    assert [(key, p.shape) for key, p in model.named_parameters()] == [(key, p.shape) for key, p in plain.named_parameters()]
    out = model.train()(torch.randn(2, 3, 64, 64))
    assert out.shape == (2, 7) and out.isfinite().all()
    out.mean().backward()
    assert without_gradient(model) == []
    with torch.no_grad():
        logits = model.eval()(torch.randn(2, 3, 64, 64))
    assert 1e-3 < logits.std() < 1e3  # of the statistics that it starts with


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_a_dilated_network_scripts_and_exports() -> None:
    model, x = small("amoebanet_a_cifar_224", output_stride=8).eval(), torch.randn(2, 3, 64, 96)
    assert all(any(isinstance(module, kind) for module in model.modules()) for kind in (DilatedAvgPool, DilatedMaxPool))
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(torch.jit.script(model)(x), expected, rtol=1e-4, atol=1e-5)
        program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.testing.assert_close(program.module()(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output_stride", [0, 4, 24, 64, "16"])
def test_other_output_strides_are_refused(output_stride: Any) -> None:
    with pytest.raises(ValueError, match=rf"^output_stride={output_stride!r}; legal are 32, the papers' network, and 16 and 8"):
        timm.create_model("pc_darts_imagenet", output_stride=output_stride, device="meta")


def test_a_saved_network_keeps_its_output_stride(tmp_path: Path) -> None:
    model = small("pc_darts_imagenet", output_stride=16, num_classes=5).eval()
    save_for_hf(model, tmp_path / "saved", safe_serialization=True)
    loaded, x = timm.create_model(f"local-dir:{tmp_path / 'saved'}", pretrained=True).eval(), torch.randn(1, 3, 64, 64)
    assert loaded.feature_info[-1]["reduction"] == 16 and torch.equal(loaded(x), model(x))


def test_strides_of_every_layer_are_gone() -> None:
    model = small("pc_darts_imagenet", output_stride=8)
    assert {m.stride for m in model.cells.modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}
    assert not any(isinstance(m, nn.MaxPool2d | nn.AvgPool2d) and m.stride != 1 for m in model.cells.modules())
