"""Verification of a file: digests, sizes, batches, preprocessing and weights that it states."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from nasarch.export.errors import ExportError
from nasarch.export.onnx import variants
from nasarch.export.onnx import verify as verifier
from nasarch.export.onnx.calibration import Calibration
from nasarch.export.onnx.session import open_session
from nasarch.export.onnx.untrusted import UntrustedModel, read_onnx
from nasarch.export.source.find import LoadedModel
from nasarch.export.verify import verify
from tests.helpers.pooled_model import STD, Pooled, graph


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of `find_model`, which finds the model above."""
    seen = list[Any]()
    monkeypatch.setattr(verifier, "find_model", lambda *told: seen.append(told) or LoadedModel(Pooled().eval(), None, False))
    return seen


def written(path: Path, proto: onnx.ModelProto | None = None, **properties: str) -> Path:
    proto = graph(Pooled(), (3, 6, 8)) if proto is None else proto
    if properties:
        helper.set_model_props(proto, properties)
    onnx.save(proto, path)
    return path


def test_weights_of_another_digest_are_refused_and_none_stated_is_said(named: Any, tmp_path: Path) -> None:
    digest = verifier.digest(Pooled())
    path = written(tmp_path / "a.onnx", weights_sha256=digest)
    assert f"pooled with the weights of sha256 {digest[:12]}...\nchecked: logits within" in str(verify(path, model="x", checkpoint="w"))
    assert named == [("x", "w", None)]
    assert ", not stated\nchecked: " in str(verify(written(tmp_path / "b.onnx"), model="x"))
    other = "f" * 64
    with pytest.raises(ExportError, match=rf"was made of other weights \(sha256 {other[:12]}...\) than these \({digest[:12]}...\)"):
        verify(written(tmp_path / "c.onnx", weights_sha256=other), model="x")


def test_a_file_for_another_data_set_than_its_models_is_verified_with_the_labels_of_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `nasarch export onnx NAME --data digits` writes it."""

    def found(name: str, checkpoint: object, data: str | None) -> LoadedModel:
        model = Pooled().eval()
        model.num_classes = 3
        return LoadedModel(model, ("x", "y", "z") if data is None else ("0", "1", "2"), False)

    monkeypatch.setattr(verifier, "find_model", found)
    path = written(tmp_path / "a.onnx", class_names='["0", "1", "2"]')
    assert "properties equal to the model's: class_names" in str(verify(path, model="x", data="digits"))
    with pytest.raises(ExportError, match=r"class_names .*, of the model '\[\"x\", .*; give --data as at the export, or export it again$"):
        verify(path, model="x")
    with pytest.raises(ValueError, match="--data says what the weights of --model were trained on: name that model, or leave --data out"):
        verify(path, data="digits")


@pytest.mark.parametrize("multiple", [None, "2"])
def test_a_file_is_compared_at_the_sizes_that_it_says(
    multiple: str | None, named: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes, compared = list[Any](), verifier.compare
    monkeypatch.setattr(
        verifier, "compare", lambda twin, session, shape, *rest: shapes.append((shape, *rest)) or compared(twin, session, shape, *rest)
    )
    path = written(tmp_path / "a.onnx", graph(Pooled(), (3, 6, 8), multiple and 2), **({"size_multiple": multiple} if multiple else {}))  # type: ignore[arg-type]
    assert "checked: " in str(verify(path, model="x"))
    assert shapes == [((3, 6, 8), None, (1, 3))] if multiple is None else [((3, 6, 8), None, (1, 3)), ((3, 8, 6), None, (1, 3))]


@pytest.mark.parametrize(("batch", "batches"), [("n", (1, 3)), (1, (1,) * 4), (2, (2, 2)), (3, (3, 3)), (4, (4,)), (5, (5,))])
def test_a_file_of_a_fixed_batch_is_fed_such_batches_for_four_images_or_more(
    batch: Any, batches: tuple[int, ...], named: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    compared = verifier.compare
    monkeypatch.setattr(verifier, "compare", lambda *told: seen.append(told[4]) or compared(*told))
    proto = graph(Pooled(), (3, 6, 8))
    for end in (proto.graph.input[0], proto.graph.output[0]):
        dim = end.type.tensor_type.shape.dim[0]
        dim.ClearField("dim_param")
        dim.dim_value, dim.dim_param = (0, batch) if isinstance(batch, str) else (batch, "")
        if isinstance(batch, int):
            dim.ClearField("dim_param")
            dim.dim_value = batch
    verify(written(tmp_path / "a.onnx", proto), model="x")
    assert seen == [batches]


def test_a_float16_file_is_compared_as_one(named: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an error that only float16 may have."""
    proto = graph(Pooled(), (3, 6, 8))
    (bias,) = (tensor for tensor in proto.graph.initializer if tensor.name == "b")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.003), "b"))
    assert "checked: " in str(verify(written(tmp_path / "a.onnx", proto, precision="float16"), model="x"))
    with pytest.raises(ExportError, match="differ from PyTorch's"):
        verify(written(tmp_path / "b.onnx", proto, precision="float32"), model="x")


def test_a_file_with_its_preprocessing_inside_is_fed_pixels(named: Any, tmp_path: Path) -> None:
    right, wrong = (
        variants.with_pixels(graph(Pooled(), (3, 6, 8)), variants.scaling_of(Pooled(std=std), 3)) for std in (STD, (0.2, 0.5, 0.8))
    )
    assert "checked: " in str(verify(written(tmp_path / "a.onnx", right), model="x"))
    with pytest.raises(ExportError, match="differ from PyTorch's"):
        verify(written(tmp_path / "b.onnx", wrong), model="x")


def file_of(**properties: str) -> UntrustedModel:
    ends: dict[str, Any] = {"inputs": {"x": ("tensor(float)", ["batch", 3, 6, 8])}, "outputs": {}}
    return UntrustedModel(path=Path("a.onnx"), size_bytes=1, opset=18, ir_version=8, nodes=1, properties=properties, session=None, **ends)  # type: ignore[arg-type]


def test_the_preprocessing_that_a_file_states_becomes_the_models() -> None:
    stated = {"mean": "[0.3, 0.2, 0.1]", "std": "[1, 2, 3]", "input_size": "[3, 4, 10]", "crop_pct": "0.5"}
    model = verifier._prepared(Pooled().train(), file_of(**stated, interpolation="nearest", architecture="other"))
    expected = {
        "mean": [0.3, 0.2, 0.1],
        "std": [1, 2, 3],
        "input_size": [3, 4, 10],
        "crop_pct": 0.5,
        "interpolation": "nearest",
        "architecture": "other",
    }
    assert model.pretrained_cfg == expected and not model.training
    untold: Any = verifier._prepared(Pooled(), file_of())
    assert untold.pretrained_cfg == Pooled().pretrained_cfg


@pytest.mark.parametrize(
    ("key", "value", "legal"),
    [
        ("mean", [0.5] * 256, True),
        ("mean", [0.5] * 257, False),
        ("mean", [], False),
        ("mean", [True], False),
        ("mean", [1, 0.5], True),
        ("input_size", [3, 4, 5], True),
        ("input_size", [3, 4.0, 5], False),
        ("input_size", [3, 4], False),
        ("input_size", [3, 0, 5], False),
        ("input_size", [1, 2**13, 2**13 - 1], True),
        ("input_size", [1, 2**13, 2**13], False),
    ],
)
def test_numbers_of_a_property_are_few_and_make_no_huge_image(key: str, value: list[Any], legal: bool) -> None:
    file = file_of(**{key: json.dumps(value)})
    if legal:
        assert verifier._numbers(file, key) == value
    else:
        with pytest.raises(ExportError, match=f"has the property {key} .*export it again"):
            verifier._numbers(file, key)


@pytest.mark.parametrize(
    ("shape", "kind", "runs"),
    [
        (["n", 3, 6, 8], TensorProto.FLOAT, "[2, 3, 6, 8]"),
        ([5, 3, 6, 8], TensorProto.FLOAT, "[5, 3, 6, 8]"),
        (["n", 3, "h", 8], TensorProto.FLOAT, None),
        (["n", 3, 6, 8], TensorProto.DOUBLE, None),
        (["n", 3, 6], TensorProto.FLOAT, None),
    ],
)
def test_a_file_of_which_nothing_is_known_is_run_if_it_says_on_what(shape: list[Any], kind: int, runs: str | None, tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["x"], ["y"])]
    ends = [[helper.make_tensor_value_info(name, kind, shape)] for name in "xy"]
    proto = helper.make_model(helper.make_graph(nodes, "g", *ends), opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    said = verify(written(tmp_path / "a.onnx", proto)).found
    assert said[1:] == (() if runs is None else (f"it runs on images {runs} and gives {runs}, not finite",))
    assert said[0].startswith("it doesn't say what it is")


def test_the_weights_of_a_file_are_random_or_the_packages_or_have_to_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order, by their digest; a file that names its network takes a checkpoint, too."""
    first, shipped = Pooled(), Pooled()
    nn.init.ones_(shipped.fc.bias)
    monkeypatch.setattr(verifier, "_builder", lambda file: lambda: Pooled())
    monkeypatch.setattr(verifier.shipped, "names", lambda: ["a"])
    monkeypatch.setattr(verifier.timm, "create_model", lambda name, pretrained: shipped if (name, pretrained) == ("a", True) else None)
    for model in (first, shipped):
        found = verifier._model(file_of(weights_sha256=verifier.digest(model)), None, None, None)
        assert found is not None and verifier.digest(found) == verifier.digest(model)
    other = Pooled()
    nn.init.zeros_(other.fc.bias)
    stated = file_of(weights_sha256=verifier.digest(other), mean="[0.3, 0.2, 0.1]")
    with pytest.raises(ExportError, match="trained ones that only their owner has; give --checkpoint"):
        verifier._model(stated, None, None, None)
    safetensors.torch.save_file(other.state_dict(), tmp_path / "w.safetensors")
    given: Any = verifier._model(stated, None, tmp_path / "w.safetensors", None)
    assert verifier.digest(given) == verifier.digest(other) and given.pretrained_cfg["mean"] == [0.3, 0.2, 0.1]


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What was asked of the images that judge an int8 file."""
    seen = list[Any]()
    pixels = torch.randint(256, (24, 6, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = Calibration("mine", pixels[:4], pixels[4:], torch.zeros(20, dtype=torch.int64))
    monkeypatch.setattr(verifier, "calibration", lambda *told: seen.append(told) or images)
    yield seen


def test_an_int8_file_is_judged_by_the_held_back_images(digits: list[Any], named: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", precision="int8", class_names='["x", "y", "z"]')
    said = str(verify(path, model="x", images="these"))
    assert "checked: the class that float32 says for 100.0 % of 20 images of mine, accuracy" in said
    assert digits[0][0] == "these" and digits[0][2:] == ((3, 6, 8), ["x", "y", "z"])
    proto = graph(Pooled(), (3, 6, 8))
    (weight,) = (tensor for tensor in proto.graph.initializer if tensor.name == "w")
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), "w"))
    with pytest.raises(ExportError, match="refused: .* at least 95 % are needed"):
        verify(written(tmp_path / "b.onnx", proto, precision="int8"), model="x", images="these")


def test_a_classifier_takes_images_alone(named: Any, tmp_path: Path) -> None:
    proto = graph(Pooled(), (3, 6, 8))
    proto.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", 6]))
    with pytest.raises(ExportError, match="takes pixel_values, mask, and a classifier takes images alone"):
        verify(written(tmp_path / "a.onnx", proto), model="x")


def test_a_read_file_is_described_by_what_is_in_it(tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", a="1", b="x")
    file = read_onnx(path)
    assert (file.size_bytes, file.opset, file.ir_version, file.nodes) == (path.stat().st_size, 18, 8, 3)
    assert file.properties == {"a": "1", "b": "x"} and file.inputs == {"pixel_values": ("tensor(float)", ["batch", 3, 6, 8])}
    assert file.outputs == {"logits": ("tensor(float)", ["batch", 3])}
    proto = onnx.load(path)
    proto.graph.node[0].domain = "com.mine"
    proto.opset_import.append(helper.make_opsetid("com.mine", 1))
    with pytest.raises(ExportError, match="operator GlobalAveragePool of domain 'com.mine'"):
        read_onnx(written(tmp_path / "b.onnx", proto))
    body = [helper.make_node("GlobalAveragePool", ["u"], ["v"])]
    proto.functions.append(helper.make_function("com.mine", "GlobalAveragePool", ["u"], ["v"], body, [helper.make_opsetid("", 18)]))
    assert read_onnx(written(tmp_path / "c.onnx", proto)).nodes == 3, "it defines that operator itself"
    assert math.isfinite(float(open_session(tmp_path / "c.onnx").run(None, {"pixel_values": np.ones((1, 3, 6, 8), np.float32)})[0][0, 0]))
