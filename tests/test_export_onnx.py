"""Exported ONNX files give the model's logits, tell nothing about this machine, and wrong ones are never left behind."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import onnxruntime
import pytest
import safetensors.torch
import timm
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import nasarch
from nasarch.export import onnx as exporter
from nasarch.export.check import compare, open_session, sample_images
from nasarch.export.metadata import PROPERTIES
from nasarch.export.onnx import ExportError, OnnxReport, export_model, export_onnx
from nasarch.export.source import build_model

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


class Tiny(nn.Module):
    """The smallest module with logits."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.bn(self.conv(x)).relu().mean((2, 3)))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def with_statistics(model: nn.Module, size: int) -> nn.Module:
    """`model` after a pass in training mode that gives its BNs the statistics of images, so that the logits depend on them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(sample_images(8, model.in_chans, size, size))
    return model


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


def logits(model: nn.Module, images: Tensor) -> Tensor:
    """In evaluation mode, with the mode restored."""
    mode = model.training
    with torch.no_grad():
        result = model.eval()(images)
    model.train(mode)
    return result


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
    for shown in (str(path), f"{report.agreement.difference:.1e}", f"{report.torch_ms:.2f} ms", f"{report.onnx_ms:.2f} ms", "1 and 3"):
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


def _scaled_weight(proto: onnx.ModelProto, number: int) -> None:
    weights = [tensor for tensor in proto.graph.initializer if len(tensor.dims) == 4]
    tensor = weights[number % len(weights)]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.01, tensor.name))


def _without_a_relu(proto: onnx.ModelProto, number: int) -> None:
    relus = [node for node in proto.graph.node if node.op_type == "Relu"]
    relus[number % len(relus)].op_type = "Identity"


def _concat_in_another_order(proto: onnx.ModelProto, number: int) -> None:
    concats = [node for node in proto.graph.node if node.op_type == "Concat" and len(node.input) == 4]
    inputs = concats[number % len(concats)].input
    inputs[0], inputs[1] = inputs[1], inputs[0]


WRONG = [
    *((_scaled_weight, number) for number in (0, 7, 20, -1)),
    *((_without_a_relu, number) for number in (0, 9, -1)),
]


def assert_changes_are_found(model: nn.Module, path: Path, changes: Sequence[Any]) -> None:
    """`changes` are pairs of a function that spoils a graph and the number of the place."""
    reference = exporter._reference(model)
    assert compare(reference, open_session(path)).holds
    for change, number in changes:
        proto = onnx.load(path)
        change(proto, number)
        onnx.save(proto, path.with_name("wrong.onnx"))
        wrong = compare(reference, open_session(path.with_name("wrong.onnx")))
        path.with_name("wrong.onnx").unlink()
        assert not wrong.holds, (change.__name__, number)


def test_slightly_wrong_graphs_are_told_from_right_ones(exported: Callable[[str], Exported]) -> None:
    model, path, _, _ = exported("pc_darts_cifar")
    assert_changes_are_found(model, path, [*WRONG, *((_concat_in_another_order, number) for number in (0, 2, -1))])


def test_wrong_graphs_of_a_fresh_network_are_found_though_its_logits_hardly_depend_on_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("ftso_nats_cifar", cells=1, channels=8)
    assert logits(model, sample_images(4, 3, 32, 32)).std(0).max() < 1e-3
    export_onnx(model, tmp_path / "fresh.onnx")
    assert_changes_are_found(model, tmp_path / "fresh.onnx", WRONG)


def _fixed_batch(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _unknown_operator(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].domain = "elsewhere"
    proto.opset_import.append(onnx.helper.make_opsetid("elsewhere", 1))


def _nan(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * float("nan"), tensor.name))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda proto: _without_a_relu(proto, 3), "differ from PyTorch's"),
        (_nan, "differ from PyTorch's"),
        (_fixed_batch, "can't run"),
        (_unknown_operator, "can't load"),
    ],
    ids=["wrong", "nan", "fixed batch", "unknown operator"],
)
def test_a_file_that_fails_its_check_is_not_left_behind(
    exported: Callable[[str], Exported],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[onnx.ModelProto], None],
    message: str,
) -> None:
    model, path, _, _ = exported("pc_darts_cifar")
    proto = onnx.load(path)
    change(proto)
    monkeypatch.setattr(exporter, "_graph", lambda *_: proto)
    (tmp_path / "old.onnx").write_text("an older file")
    for name in ("old.onnx", "new.onnx"):
        with pytest.raises(ExportError, match=message):
            export_onnx(model, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["old.onnx"]
    assert (tmp_path / "old.onnx").read_text() == "an older file"


@pytest.mark.parametrize("place", ["folder", "file/model.onnx"])
def test_a_place_that_cannot_be_written_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(exporter, "_graph", lambda *_: pytest.fail("the export was begun"))
    with pytest.raises(ValueError, match=f"can't write .*{place}.*choose"):
        export_onnx(Tiny(), tmp_path / place, size=8)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


class Branches(Tiny):
    """Its forward depends on the values of the images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


class Foreign(Tiny):
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
        (Foreign, {"size": 8}, "torch can't export Foreign: .*; simplify its forward"),
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


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("pc_darts_cifar", {"cells": 5, "channels": 16, "num_classes": 7, "in_chans": 1}),
        ("dots_cifar100", {"cells": 3, "channels": 6, "num_classes": 3, "aux_head": True}),
        ("pc_darts_imagenet", {"cells": 4, "channels": 6, "num_classes": 5}),
        ("fair_darts_c_cifar_224", {"cells": 3, "channels": 5, "num_classes": 2}),
        ("ftso_nats_cifar", {"cells": 2, "channels": 8, "num_classes": 3}),
    ],
)
@pytest.mark.parametrize("by_file", [False, True], ids=["name", "file"])
def test_a_checkpoint_tells_the_sizes_of_its_model(tmp_path: Path, name: str, arguments: dict[str, Any], by_file: bool) -> None:
    trained = timm.create_model(name, **arguments)
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "w.safetensors")
    replace(trained.genotype, name="mine").save(tmp_path / "cell.json")
    found = build_model(tmp_path / "cell.json" if by_file else name, tmp_path / "w.safetensors")
    images = sample_images(2, trained.in_chans, 64, 64)
    assert torch.equal(logits(found, images), logits(trained, images))


def test_other_timm_models_take_checkpoints_too(tmp_path: Path) -> None:
    trained = timm.create_model("mobilenetv3_small_050", num_classes=3)
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "w.safetensors")
    found = build_model("mobilenetv3_small_050", tmp_path / "w.safetensors")
    images = sample_images(1, 3, 64, 64)
    assert torch.equal(logits(found, images), logits(trained, images))


def test_names_left_by_wrappers_are_understood(tmp_path: Path) -> None:
    trained = timm.create_model("ftso_nats_cifar", cells=1)
    safetensors.torch.save_file({f"module.{key}": value for key, value in trained.state_dict().items()}, tmp_path / "w.safetensors")
    assert torch.equal(build_model("ftso_nats_cifar", tmp_path / "w.safetensors").fc.weight, trained.fc.weight)


def test_without_a_checkpoint_the_same_command_gives_the_same_model() -> None:
    state = torch.get_rng_state()
    first, second = (build_model("ftso_nats_cifar").state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "stem, network, num_classes, size",
    [
        ("pc_darts_cifar", "nas_cifar", 10, 32),
        ("dots_cifar100", "nas_cifar", 100, 32),
        ("dots_imagenet", "nas_224", 1000, 224),
        ("ftso_nats_cifar", "nas_bench_201", 10, 32),
    ],
)
def test_a_genotype_file_becomes_the_network_of_its_data_set(tmp_path: Path, stem: str, network: str, num_classes: int, size: int) -> None:
    published = nasarch.genotype.resolve(stem)
    expected = {key: value.shape for key, value in timm.create_model(stem).state_dict().items()}
    for name, architecture in ((stem, stem), ("mine", network)):
        replace(published, name=name).save(tmp_path / "cell.json")
        model = build_model(tmp_path / "cell.json")
        assert (model.pretrained_cfg["architecture"], model.num_classes) == (architecture, num_classes)
        assert model.pretrained_cfg["input_size"] == (3, size, size)
        assert {key: value.shape for key, value in model.state_dict().items()} == expected


def test_export_model_goes_from_a_name_and_a_checkpoint_to_a_file(tmp_path: Path) -> None:
    trained = with_statistics(timm.create_model("ftso_nats_cifar", cells=1, channels=4, num_classes=6), 32)
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "w.safetensors")
    report = export_model("ftso_nats_cifar", tmp_path / "new" / "a.onnx", checkpoint=tmp_path / "w.safetensors", size=24)
    assert (report.input_size, report.num_classes, report.random_weights) == ((3, 24, 24), 6, False)
    session = open_session(tmp_path / "new" / "a.onnx")
    digest = session.get_modelmeta().custom_metadata_map["weights_sha256"]
    assert digest == hashlib.sha256((tmp_path / "w.safetensors").read_bytes()).hexdigest()


def test_random_weights_are_called_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "build_model", lambda *_: Tiny())
    assert "the weights are random" in str(export_model("any", tmp_path / "a.onnx", size=8))


def _save(path: Path, weights: dict[str, Tensor]) -> None:
    safetensors.torch.save_file({key: value.contiguous() for key, value in weights.items()}, path)


def test_a_checkpoint_of_another_genotype_is_refused_with_a_few_names(tmp_path: Path) -> None:
    trained = timm.create_model("ftso_nats_cifar", cells=1)
    _save(tmp_path / "w.safetensors", trained.state_dict())
    with pytest.raises(ValueError, match=r"doesn't fit darts_nats_cifar: 108 weights unknown \(cells.0.*, \.\.\.\); give") as refusal:
        build_model("darts_nats_cifar", tmp_path / "w.safetensors")
    assert len(str(refusal.value)) < 600 and "\n" not in str(refusal.value)


def test_a_checkpoint_that_lacks_one_weight_or_has_one_of_another_shape_is_refused(tmp_path: Path) -> None:
    weights = timm.create_model("ftso_nats_cifar", cells=1).state_dict()
    _save(tmp_path / "less.safetensors", {key: value for key, value in weights.items() if key != "fc.bias"})
    with pytest.raises(ValueError, match=r"1 weights missing \(fc.bias\)"):
        build_model("ftso_nats_cifar", tmp_path / "less.safetensors")
    _save(tmp_path / "other.safetensors", {**weights, "norm.0.weight": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"1 weights of another shape \(norm.0.weight \[3\] instead of \[64\]\)"):
        build_model("ftso_nats_cifar", tmp_path / "other.safetensors")


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "pickle"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("no weights")
    elif kind == "pickle":
        torch.save(Tiny().state_dict(), path)
    with pytest.raises(ValueError, match=r"can't read weights from .*w.safetensors: .*; give a file that safetensors.torch.save_file"):
        build_model("ftso_nats_cifar", path)


@pytest.mark.parametrize(
    "source, message",
    [
        ("no_such_model", "unknown model 'no_such_model'"),
        ("pc_darts_cifra", "did you mean pc_darts_cifar"),
        ("missing.json", "missing.json: can't read it"),
        ("", "unknown model ''"),
        ("nas_cifar", "nas_cifar is a network of any genotype; give the genotype"),
    ],
)
def test_an_unknown_model_is_refused(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(source, tmp_path / "a.onnx")
    assert not [*tmp_path.iterdir()]


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
