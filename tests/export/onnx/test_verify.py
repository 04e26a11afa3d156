"""A file is verified against the model that it says it is; what is foreign, damaged or altered is refused and never opened further."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
from onnx import TensorProto, helper, numpy_helper

from nasarch.cells.genotype import resolve
from nasarch.cli import main
from nasarch.compute import seeded
from nasarch.export.errors import ExportError
from nasarch.export.onnx import verify as module
from nasarch.export.onnx.export import ExportVariants, export_model
from nasarch.export.onnx.float32 import export_onnx
from nasarch.export.onnx.top1_agreement import correlation
from nasarch.export.onnx.uint8_input import scaling_of
from nasarch.export.onnx.untrusted import read_onnx
from nasarch.export.source.find import LoadedModel
from nasarch.export.source.network import rebuilt
from nasarch.export.verify import verify
from tests.helpers.exported import SIDE, Tiny, new_cell, reader_of_digits, reading, save


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained network: its model/, its weights, and onnx/ with all forms."""
    folder = tmp_path_factory.mktemp("forms")
    reading(folder / "model")
    export_model(folder / "model", folder, variants=ExportVariants(uint8_input=True, fp16=True, int8=True, calibrate="digits"))
    return folder


def altered(path: Path, new: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, new)
    return new


def property_of(proto: onnx.ModelProto, key: str, value: str | None) -> None:
    properties = {one.key: one.value for one in proto.metadata_props}
    del proto.metadata_props[:]
    helper.set_model_props(proto, {k: v for k, v in {**properties, key: value}.items() if v is not None})


# --- the model that it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.onnx", "model_uint8in.onnx", "model_fp16.onnx"])
@pytest.mark.parametrize("by", ["folder", "weights"])
def test_a_file_with_its_weights_is_found_to_be_the_model(forms: Path, name: str, by: str) -> None:
    given: dict[str, Any] = {"model": str(forms / "model")} if by == "folder" else {"checkpoint": forms / "model" / "model.safetensors"}
    text = str(verify(forms / "onnx" / name, **given))
    assert "opset 18, IR version 8" in text and "checked: logits within" in text and "ftso_nats_cifar with the weights of sha256" in text


def test_an_int8_file_is_judged_by_images(forms: Path) -> None:
    path, weights = forms / "onnx" / "model_quantized.onnx", forms / "model" / "model.safetensors"
    assert re.search(
        r"checked: a correlation of 0\.99\d with .* its classes by --images alone; it says", str(verify(path, checkpoint=weights))
    )
    text = str(verify(path, checkpoint=weights, images="digits"))
    assert "checked: the class that float32 says for" in text and "of 297 images of digits, accuracy 9" in text


@pytest.mark.parametrize("name", ["model.onnx", "model_uint8in.onnx", "model_fp16.onnx", "model_quantized.onnx"])
def test_a_file_with_another_weight_inside_is_refused(forms: Path, tmp_path: Path, name: str) -> None:
    wrong = altered(forms / "onnx" / name, tmp_path / "wrong.onnx", spoil)
    with pytest.raises(ExportError, match="refused: "):
        verify(wrong, model=str(forms / "model"), images="digits")


@pytest.mark.parametrize("change", ["noise", "one weight", "scales"])
def test_an_int8_file_with_other_numbers_is_refused_without_images_too(forms: Path, tmp_path: Path, change: str) -> None:
    wrong = altered(forms / "onnx" / "model_quantized.onnx", tmp_path / "wrong.onnx", spoil if change == "scales" else noise[change])
    with pytest.raises(ExportError, match="refused: .* gives a correlation of .* synthetic images, and at least 0.9 is needed"):
        verify(wrong, model=str(forms / "model"))


def _noise(proto: onnx.ModelProto, spread: float, most: int) -> None:
    """Noise of `spread` times their standard deviation in the first `most` int8 tensors."""
    generator = np.random.default_rng(0)
    tensors = [tensor for tensor in proto.graph.initializer if tensor.data_type == TensorProto.INT8 and len(tensor.dims) > 1]
    for tensor in tensors[:most]:
        weights = numpy_helper.to_array(tensor).astype(np.float64)
        other = np.clip(weights + spread * weights.std() * generator.normal(size=weights.shape), -128, 127)
        tensor.CopyFrom(numpy_helper.from_array(other.round().astype(np.int8), tensor.name))


noise = {"noise": partial(_noise, spread=0.5, most=999), "one weight": partial(_noise, spread=2.0, most=1)}


def test_an_int8_file_of_which_nothing_can_be_compared_says_so_and_no_digest_as_a_finding(
    forms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network may say the same of all synthetic images."""
    fresh: Any = timm.create_model("ftso_nats_cifar", cells=1, channels=8).eval()
    torch.nn.init.zeros_(fresh.fc.weight)
    scaling, file = scaling_of(fresh, 3), forms / "onnx" / "model_quantized.onnx"
    assert correlation(fresh, fresh, (3, SIDE, SIDE), scaling) is None
    trained = reader_of_digits()
    assert correlation(trained, trained, (3, SIDE, SIDE), scaling) == pytest.approx(1)
    monkeypatch.setattr(module, "correlation", lambda *_: None)
    text = str(verify(file, model=str(forms / "model")))
    assert "not checked: it says that it is ftso_nats_cifar with the weights of" in text and "nothing in it was compared; name" in text
    assert "\nchecked" not in text and "\nftso_nats_cifar with" not in text


def spoil(proto: onnx.ModelProto) -> None:
    """Turn every ReLU, or where quantising took them in every scale of activations, into another."""
    for node in proto.graph.node:
        node.op_type = "Abs" if node.op_type == "Relu" else node.op_type
    for tensor in proto.graph.initializer:
        if tensor.name.endswith("_scale") and not tensor.dims:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(0.3), tensor.name))


def test_other_weights_than_the_files_are_refused(forms: Path, tmp_path: Path) -> None:
    other = save(timm.create_model("ftso_nats_cifar", cells=1, channels=8), tmp_path / "w.safetensors")
    with pytest.raises(ExportError, match=r"was made of other weights \(sha256 \w{12}\.\.\.\) than these"):
        verify(forms / "onnx" / "model.onnx", checkpoint=other)
    misfit = save(timm.create_model("ftso_nats_cifar", cells=1, channels=4), tmp_path / "w2.safetensors")
    with pytest.raises(ValueError, match="doesn't fit nas_bench_201.* of another shape"):
        verify(forms / "onnx" / "model.onnx", checkpoint=misfit)


def test_trained_weights_are_asked_for(forms: Path) -> None:
    with pytest.raises(ExportError, match="trained ones that only their owner has; give --checkpoint"):
        verify(forms / "onnx" / "model.onnx")


def test_random_weights_need_no_file_though_the_cell_is_in_no_zoo(tmp_path: Path) -> None:
    cell = new_cell("mine", tmp_path / "cell.json", searched_on="cifar10")
    network = {"name": "nas_cifar", "cells": 3, "channels": 4, "in_chans": 3, "num_classes": 7}
    with seeded(0):
        model = rebuilt(network, cell.to_dict())
    export_onnx(model, tmp_path / "m.onnx", size=16)
    assert "checked: logits within" in str(verify(tmp_path / "m.onnx"))


def test_what_stands_in_the_properties_is_not_believed(forms: Path, tmp_path: Path) -> None:
    path = forms / "onnx" / "model.onnx"
    weights = forms / "model" / "model.safetensors"
    lies = {
        "genotype": '{"name": 3}',
        "network": json.dumps({"name": "nas_cifar", "cells": 10**6, "channels": 4, "in_chans": 3, "num_classes": 10}),
        "input_size": "[3, 1000000, 1000000]",
        "mean": "[[]]",
        "std": "no JSON",
    }
    for key, value in lies.items():
        lying = altered(path, tmp_path / "lying.onnx", lambda proto, key=key, value=value: property_of(proto, key, value))  # type: ignore[misc]
        with pytest.raises(ValueError, match="model|export it again") as refusal:
            verify(lying, checkpoint=weights)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "network", [{}, [], {"name": "resnet18"}, {"cells": True}, {"channels": 0}, {"global_pool": "x"}, {"in_chans": "3"}]
)
def test_a_network_that_can_not_be_is_not_built(network: Any) -> None:
    good = {"name": "nas_cifar", "cells": 3, "channels": 4, "in_chans": 3, "num_classes": 10}
    bad = {**good, **network} if isinstance(network, dict) and network else network
    with pytest.raises(ValueError, match="can't be built; give the model by --model"):
        rebuilt(bad, resolve("pc_darts_cifar").to_dict())
    assert rebuilt(good, resolve("pc_darts_cifar").to_dict()).num_classes == 10


# --- files of others ---------------------------------------------------------------------------------------------------------


def foreign(path: Path, *, batch: int | str = "n", domain: str = "", **properties: Any) -> Path:
    """A convolution and a mean: a classifier of three classes that others wrote."""
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["maps"]),
        helper.make_node("ReduceMean", ["maps"], ["scores"], axes=[2, 3], keepdims=0),
    ]
    nodes[0].domain = domain
    ends = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 8, 8])]
    graph = helper.make_graph(nodes, "g", ends, [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])], [weight])
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path, **properties)
    return path


def test_of_a_file_of_others_its_structure_is_told(tmp_path: Path) -> None:
    text = str(verify(foreign(tmp_path / "theirs.onnx")))
    assert "opset 17, IR version 8, 2 nodes" in text and "image tensor(float) ['n', 3, 8, 8] -> scores" in text
    assert "it runs on images [2, 3, 8, 8] and gives [2, 3], finite" in text and "doesn't say what it is" in text
    with pytest.raises(ExportError, match="doesn't say which network the weights are for; name it by --model"):
        verify(tmp_path / "theirs.onnx", checkpoint=tmp_path / "any.safetensors")


class Theirs(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(1, keepdim=True).expand(-1, 3, -1, -1).mean((2, 3))


@pytest.mark.parametrize("batch", ["n", 1, 2])
def test_a_file_of_others_is_compared_with_a_model_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int | str) -> None:
    path = foreign(tmp_path / "theirs.onnx", batch=batch)
    for model, fits in ((Theirs(), True), (Tiny(3), False)):
        monkeypatch.setattr(module, "find_model", lambda *_, model=model: LoadedModel(model.eval(), None, False))
        model.pretrained_cfg = {"input_size": (3, 8, 8)}
        if fits:
            assert "checked: logits within" in str(verify(path, model="named"))
        else:
            with pytest.raises(ExportError, match="differ from PyTorch's"):
                verify(path, model="named")


def outside(proto: onnx.ModelProto, location: str) -> None:
    """A tensor that lies elsewhere: in the graph, or in an attribute of a branch."""
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


@pytest.mark.parametrize("location", ["weights.bin", "../secret", "/etc/passwd"])
def test_tensors_outside_a_file_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    (tmp_path / "weights.bin").write_bytes(np.ones(9, np.float32).tobytes())
    path = altered(foreign(tmp_path / "theirs.onnx"), tmp_path / "outside.onnx", lambda proto: outside(proto, location))
    from nasarch.export.onnx import untrusted as module

    monkeypatch.setattr(module, "open_session", lambda *_: pytest.fail("the file was run"))
    with pytest.raises(ExportError, match=rf"keeps the tensor 'w' in '{location}', outside itself, and nothing outside is opened"):
        read_onnx(path)


def test_tensors_outside_are_found_in_attributes_too(tmp_path: Path) -> None:
    def hide(proto: onnx.ModelProto) -> None:
        value = helper.make_tensor("hidden", TensorProto.FLOAT, [1], [1.0])
        value.ClearField("float_data")
        value.data_location = TensorProto.EXTERNAL
        value.external_data.add(key="location", value="elsewhere")
        branch = helper.make_graph([helper.make_node("Constant", [], ["c"], value=value)], "b", [], [])
        proto.graph.node.append(helper.make_node("If", ["image"], ["c2"], then_branch=branch, else_branch=branch))

    proto = onnx.load(foreign(tmp_path / "theirs.onnx"))
    hide(proto)
    (tmp_path / "hidden.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ExportError, match="keeps the tensor 'hidden' in 'elsewhere'"):
        read_onnx(tmp_path / "hidden.onnx")


def test_operators_of_unknown_domains_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="operator Conv of domain 'com.evil', which needs code from elsewhere"):
        read_onnx(foreign(tmp_path / "a.onnx", domain="com.evil"))


def test_damaged_files_are_refused_in_one_line(forms: Path, tmp_path: Path) -> None:
    content = (forms / "onnx" / "model.onnx").read_bytes()
    damaged = tmp_path / "damaged.onnx"
    for bad in (b"", b"no ONNX file", b"\x00" * 100, *(content[: len(content) * part // 7] for part in range(1, 7)), content[:-1]):
        damaged.write_bytes(bad)
        with pytest.raises(ExportError, match=r"damaged.onnx is (no ONNX file, or a damaged one|not legal ONNX)") as refusal:
            read_onnx(damaged)
        assert "\n" not in str(refusal.value)


def test_places_that_hold_no_file_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(ExportError, match=f"can't read {place}: .*; give the path of an .onnx file"):
            read_onnx(place)


def test_the_command_prints_what_was_found_or_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = foreign(tmp_path / "theirs.onnx")
    assert main.main(["export", "verify", str(path)]) == 0 and "opset 17" in capsys.readouterr().out
    path.write_bytes(b"no file")
    assert main.main(["export", "verify", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("nasarch: error: ") and printed.err.count("\n") == 1
