"""Exported ONNX files give the model's logits, say what the model is, and tell nothing about this machine."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from torch import Tensor, nn

import nasarch
from nasarch.export.onnx.float32 import ExportError, OnnxReport, export_onnx
from nasarch.export.onnx.properties import PROPERTIES
from nasarch.export.onnx.session import open_session
from nasarch.export.samples import sample_images
from nasarch.export.source.config import configure
from tests.helpers.exported import Tiny, logits, with_statistics

SMALL: dict[str, tuple[dict[str, Any], int]] = {  # arguments and size; 75 and 30 leave odd maps
    "pc_darts_cifar": ({"cells": 5, "channels": 16}, 32),
    "pc_darts_imagenet": ({"cells": 3, "channels": 8, "in_chans": 1, "num_classes": 5}, 75),
    "fair_darts_a_cifar": ({"cells": 3, "channels": 8}, 32),
    "ftso_nats_cifar": ({"cells": 1, "channels": 8}, 30),
}


class Exported(NamedTuple):
    """A small model in training mode with statistics of data, and its file."""

    model: nn.Module
    path: Path
    report: OnnxReport
    session: onnxruntime.InferenceSession


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    made: dict[str, Exported] = {}

    def export(name: str) -> Exported:
        if name not in made:
            arguments, size = SMALL[name]
            torch.manual_seed(0)
            model = with_statistics(timm.create_model(name, **arguments), size)
            path = tmp_path_factory.mktemp(name) / "model.onnx"
            report = export_onnx(model, path, size=size)
            made[name] = Exported(model, path, report, onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]))
        return made[name]

    return export


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("batch", [1, 7])
def test_the_file_gives_the_models_logits_for_any_batch(exported: Callable[[str], Exported], name: str, batch: int) -> None:
    model, _, report, session = exported(name)
    images = torch.randn(batch, *report.input_size, generator=torch.Generator().manual_seed(1))
    expected = logits(model, images)
    (found,) = session.run(["logits"], {"pixel_values": images.numpy()})
    scale = expected.std().item()
    assert scale > 1e-3, "the check needs logits that depend on the images"
    assert (torch.from_numpy(found) - expected).abs().max().item() <= 1e-4 * scale
    assert found.argmax(1).tolist() == expected.argmax(1).tolist()


@pytest.mark.parametrize("name", SMALL)
def test_the_file_has_the_form_that_old_runtimes_load(exported: Callable[[str], Exported], name: str) -> None:
    _, path, report, session = exported(name)
    proto = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(proto, full_check=True)
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 18)]
    assert proto.ir_version == 8
    assert not proto.functions
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [("pixel_values", "tensor(float)", ["batch", *report.input_size])]
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == [("logits", "tensor(float)", ["batch", report.num_classes])]
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"], "one file, no external weights, nothing temporary"
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in proto.graph.initializer)
    assert path.stat().st_size == report.size_bytes


def test_pooling_beyond_an_odd_edge_means_the_same_in_all_runtimes(exported: Callable[[str], Exported]) -> None:
    """onnxruntime up to 1.23 counts what lies there if told to count the padding."""
    pools = [node for node in onnx.load(exported("ftso_nats_cifar").path).graph.node if node.op_type == "AveragePool"]
    found = [{attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute} for node in pools]
    assert [pool["ceil_mode"] for pool in found] == [1, 1]
    assert not any(pool.get("count_include_pad", 0) for pool in found)


def test_the_file_tells_nothing_about_this_machine(exported: Callable[[str], Exported]) -> None:
    content = exported("pc_darts_cifar").path.read_bytes()
    machine = (Path(nasarch.__file__).parents[1], Path(timm.__file__).parents[1], Path(torch.__file__).parents[1], Path.home(), sys.prefix)
    for word in (*map(str, machine), "stack_trace", "site-packages", "network.py", "def forward", "pkg.torch"):
        assert word.encode() not in content, word


@pytest.mark.parametrize("name", SMALL)
def test_the_properties_say_what_the_model_is_and_what_to_feed_it(exported: Callable[[str], Exported], name: str, tmp_path: Path) -> None:
    model, _, report, session = exported(name)
    found = session.get_modelmeta().custom_metadata_map
    safetensors.torch.save_file(model.state_dict(), tmp_path / "w.safetensors")
    config: Any = model.pretrained_cfg
    assert found.keys() <= PROPERTIES.keys()
    assert found["architecture"] == name
    assert int(found["num_classes"]) == model.num_classes
    assert json.loads(found["input_size"]) == list(report.input_size)
    if report.input_size[0] == 3:
        assert (json.loads(found["mean"]), json.loads(found["std"])) == (list(config["mean"]), list(config["std"]))
    else:
        assert "mean" not in found and "std" not in found, "three means don't fit one channel"
    assert (found["interpolation"], float(found["crop_pct"])) == (config["interpolation"], config["crop_pct"])
    assert found["crop_mode"] == config.get("crop_mode") == "center"
    assert nasarch.Genotype.from_dict(json.loads(found["genotype"])) == model.genotype
    assert found["weights_sha256"] == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()
    assert found["nasarch_version"] == nasarch.__version__
    assert "class_names" not in found


def test_class_names_are_kept_in_order(tmp_path: Path) -> None:
    export_onnx(Tiny(3), tmp_path / "a.onnx", size=8, class_names=["zèbre", "ant", "bee"])
    session = open_session(tmp_path / "a.onnx")
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == ["zèbre", "ant", "bee"]


def test_the_report_shows_difference_and_both_latencies(exported: Callable[[str], Exported]) -> None:
    _, path, report, _ = exported("pc_darts_cifar")
    text = str(report)
    assert 0 < report.agreement.difference <= report.agreement.tolerance < 0.01 * report.agreement.scale
    assert report.torch_ms > 0 and report.onnx_ms > 0 and report.threads == 1
    for shown in (
        str(path),
        f"{report.agreement.difference / report.agreement.scale:.1e} of how much",
        f"{report.torch_ms:.2f} ms",
        f"{report.onnx_ms:.2f} ms",
        "1 and 3",
    ):
        assert shown in text
    assert "random" not in text


def test_a_model_in_any_state_is_exported_in_float32_and_left_as_it_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = Tiny().train().to(torch.bfloat16)
    model.bn.eval()
    model.fc.requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        export_onnx(torch.compile(model, backend="eager"), tmp_path / "a.onnx", size=8)
    assert capfd.readouterr() == ("", "")
    assert (model.training, model.conv.training, model.bn.training) == (True, True, False)
    assert [p.requires_grad for p in model.parameters()] == [True] * 4 + [False] * 2
    assert all(torch.equal(before[key], value) and before[key].dtype == value.dtype for key, value in model.state_dict().items())
    images = sample_images(2, 3, 8, 8)
    (found,) = open_session(tmp_path / "a.onnx").run(None, {"pixel_values": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), logits(model.float(), images), rtol=1e-4, atol=1e-5)


class Branches(Tiny):
    """Its forward depends on the values of the images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class UntrustedModel(Tiny):
    """Computes in bfloat16, which the convolutions of ONNX 18 don't know."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x).float()


class Pair(Tiny):
    """Returns more than logits."""

    def forward(self, x: Tensor) -> Any:
        return x, super().forward(x)


def _broken() -> nn.Module:
    model = Tiny()
    nn.init.constant_(model.fc.weight, float("nan"))
    return model


@pytest.mark.parametrize(
    "make, arguments, message",
    [
        (Tiny, {}, "Tiny states no input size; pass size="),
        (Tiny, {"size": 0}, "size 0 is too small for Tiny; choose 1 or more"),
        (lambda: timm.create_model("pc_darts_imagenet", cells=3, channels=4), {"size": 31}, "size 31 is too small .* choose 32 or more"),
        (lambda: timm.create_model("ftso_nats_cifar", cells=1, num_classes=0), {}, r"a tensor \[2, 64\] and no logits"),
        (lambda: timm.create_model("ftso_nats_cifar", cells=1, features_only=True), {"size": 32}, "a list and no logits"),
        (lambda: timm.create_model("ftso_nats_cifar", cells=1, device="meta"), {}, "meta device"),
        (lambda: nn.Conv2d(3, 4, 9), {"size": 8}, r"Conv2d doesn't run on images of \[3, 8, 8\]: .*; choose another size"),
        (Pair, {"size": 8}, "a tuple and no logits"),
        (Branches, {"size": 8}, "torch can't export Branches: .*; simplify its forward"),
        (UntrustedModel, {"size": 8}, "torch can't export UntrustedModel: .*; simplify its forward"),
        (_broken, {"size": 8}, "not finite"),
        (Tiny, {"size": 8, "class_names": ["a", "b"]}, "class names .* for 4 logits; give a list of 4"),
        (Tiny, {"size": 8, "class_names": "abcd"}, "class names 'abcd' for 4 logits"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[], nn.Module], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError, match=message) as refusal:
        export_onnx(make(), tmp_path / "a.onnx", **arguments)
    assert "\n" not in str(refusal.value)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_the_example_of_the_documentation_prepares_images_as_timm_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpolation: str
) -> None:
    model: Any = with_statistics(timm.create_model("ftso_nats_cifar", cells=1, channels=8), 16)
    configure(model, interpolation=interpolation, crop_pct=1.0, input_size=(3, 16, 16))
    text = (Path(__file__).parents[3] / "docs" / "export" / "server.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import json.*?)```", text, re.DOTALL)
    export_onnx(model, tmp_path / "model.onnx")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))
    picture.save(tmp_path / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec("\nsession".join(code.split("\nsession")[:2]), found)  # without the second file
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    expected = logits(model, transform(Image.open("cat.jpg"))[None])  # type: ignore[index]
    torch.testing.assert_close(torch.from_numpy(found["logits"]), expected, rtol=0, atol=1e-3 * expected.std().item())


@pytest.mark.slow
def test_the_imagenet_network_is_exported_at_full_size(tmp_path: Path) -> None:
    model = with_statistics(timm.create_model("pc_darts_imagenet"), 224)
    report = export_onnx(model, tmp_path / "model.onnx")
    assert report.agreement.holds and report.input_size == (3, 224, 224) and report.num_classes == 1000
    assert 21e6 < report.size_bytes < 23e6
    images = sample_images(5, 3, 224, 224)
    (found,) = open_session(tmp_path / "model.onnx").run(None, {"pixel_values": images.numpy()})
    expected = logits(model, images)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=report.agreement.tolerance)
