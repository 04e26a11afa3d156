"""ONNX files of others: they neither hang nor fill nor forge what is printed, and every property is compared or named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnx
import pytest
import timm
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

from nasarch.cells.genotype import resolve
from nasarch.console import printable_line
from nasarch.export.errors import ExportError
from nasarch.export.onnx import verify as verifier
from nasarch.export.onnx.float32 import export_onnx
from nasarch.export.onnx.untrusted import TimedSession, UntrustedModel
from nasarch.export.source.find import LoadedModel
from nasarch.export.source.network import parameters_of, rebuilt
from nasarch.export.verify import Verified, verify, verify_isolated

SHAPE = ["b", 3, 32, 32]
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 3])
ESCAPES = "x\x1b[2J\x1b[H\nchecked: logits within 1e-06, the same class for 4 of 4 images\u202e"


def written(path: Path, nodes: list[Any], output: Any = None, *, name: str = "x", constants: Any = (), **properties: str) -> Path:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE)]
    output = output or helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)
    graph = helper.make_graph(nodes, "g", ends, [output], [*constants])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(proto, properties)
    onnx.save(proto, path)
    return path


def test_a_loop_without_end_is_stopped(tmp_path: Path) -> None:
    value, scalar = helper.make_tensor_value_info, []
    body = helper.make_graph(
        [helper.make_node("Identity", ["ci"], ["co"]), helper.make_node("Add", ["vi", "vi"], ["vo"])],
        "body",
        [value("i", TensorProto.INT64, scalar), value("ci", TensorProto.BOOL, scalar), value("vi", TensorProto.FLOAT, SHAPE)],
        [value("co", TensorProto.BOOL, scalar), value("vo", TensorProto.FLOAT, SHAPE)],
    )
    constants = [helper.make_tensor("M", TensorProto.INT64, [], [2**62]), helper.make_tensor("C", TensorProto.BOOL, [], [True])]
    nodes = [helper.make_node("Loop", ["M", "C", "x"], ["y"], body=body)]
    path = written(tmp_path / "loop.onnx", nodes, value("y", TensorProto.FLOAT, SHAPE), constants=constants)
    with pytest.raises(ExportError, match=r"loop.onnx: a step took more than 3 s and was stopped; --timeout SECONDS allows more"):
        verify_isolated(path, timeout=3)


def test_a_file_can_not_fill_the_memory(tmp_path: Path) -> None:
    size = helper.make_tensor("n", TensorProto.INT64, [1], [2**29])  # floats: 2 GiB
    nodes = [helper.make_node("ConstantOfShape", ["n"], ["much"]), helper.make_node("ReduceSum", ["much"], ["sum"], keepdims=0)]
    nodes.append(helper.make_node("Add", ["x", "sum"], ["y"]))
    path = written(tmp_path / "large.onnx", nodes, constants=[size])
    with pytest.raises(ExportError, match="large.onnx|onnxruntime can't"):
        verify_isolated(path, memory=1, timeout=60)


def test_each_run_is_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to = list[float]()
    monkeypatch.setattr("signal.setitimer", lambda kind, seconds: set_to.append(seconds))

    class Session:
        def run(self, *given: Any) -> Any:
            set_to.append(-1)
            return given

        def get_inputs(self) -> str:
            return "inputs"

    session: Any = TimedSession(Session(), 7.0)  # type: ignore[arg-type]
    assert session.run(1, 2) == (1, 2) and session.get_inputs() == "inputs" and set_to == [7.0, -1, 7.0]


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"timeout": float("nan")}, {"memory": -1}, {"memory": float("inf")}])
def test_limits_are_positive_numbers(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="choose more than 0 seconds and GiB"):
        verify_isolated("a.onnx", **limits)


def test_names_of_others_are_printed_in_one_line_without_control_characters(tmp_path: Path) -> None:
    path = written(tmp_path / "e.onnx", [helper.make_node("Identity", [ESCAPES], ["y"])], name=ESCAPES, **{ESCAPES: ESCAPES})
    text = verify_isolated(path)
    assert all(one.isprintable() for one in text.replace("\n", "")) and not re.search("^checked", text, re.MULTILINE)
    assert "x\\x1b[2J\\x1b[H\\nchecked" in text and "\\u202e" in text
    wrong = written(tmp_path / "f.onnx", [helper.make_node(ESCAPES, ["x"], ["y"], domain="a.b")])
    proto = onnx.load(wrong)
    proto.opset_import.append(helper.make_opsetid("a.b", 1))
    onnx.save(proto, wrong)
    with pytest.raises(ExportError, match="needs code from elsewhere") as refusal:
        verify_isolated(wrong)
    assert str(refusal.value).isprintable()
    file = UntrustedModel(
        path=Path("a"),
        size_bytes=1,
        opset=1,
        ir_version=1,
        nodes=1,
        inputs={},
        outputs={},
        properties={},
        session=None,  # type: ignore[arg-type]
    )
    assert str(Verified(file, ("a\nb", "c"))).splitlines()[2:] == ["a\\nb", "c"]
    assert printable_line("ä 中 \x00\ud800") == "ä 中 \\x00\\ud800"


@pytest.mark.parametrize(
    ("nodes", "output", "kind"),
    [
        ([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)], (TensorProto.STRING, SHAPE), "tensor(string)"),
        ([helper.make_node("SequenceConstruct", ["x"], ["y"])], None, "seq(tensor(float))"),
    ],
)
def test_outputs_that_are_no_tensors_of_numbers_are_named(nodes: Any, output: Any, kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    end = helper.make_tensor_value_info("y", *output) if output else helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    path = written(tmp_path / "a.onnx", nodes, end)
    assert f"it runs on images [2, 3, 32, 32] and gives {kind}, no tensor of numbers" in str(verify(path))
    model: Any = torch.nn.Flatten().eval()
    model.pretrained_cfg = {"input_size": (3, 32, 32)}
    monkeypatch.setattr(verifier, "find_model", lambda *_: LoadedModel(model, None, False))
    with pytest.raises(ExportError, match=re.escape(f"gives {kind}, no tensor of numbers first")):
        verify(path, model="named")


def test_a_network_is_counted_before_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genotype = resolve("pc_darts_cifar").to_dict()
    huge = {"name": "nas_cifar", "cells": 40, "channels": 2048, "in_chans": 3, "num_classes": 10}
    assert parameters_of(huge, genotype) > 10**10
    small = {**huge, "cells": 3, "channels": 4}
    assert parameters_of(small, genotype) == sum(one.numel() for one in rebuilt(small, genotype).parameters())
    monkeypatch.setattr(verifier, "seeded", lambda seed: pytest.fail("it was built"))
    stated = {"genotype": json.dumps(genotype), "network": json.dumps(huge), "weights_sha256": "0"}
    path = written(tmp_path / "a.onnx", [helper.make_node("Identity", ["x"], ["y"])], **stated)
    with pytest.raises(ExportError, match=r"asks for a network of [\d,]{13,} parameters, which its [\d,]+ bytes can't hold"):
        verify(path)


def test_each_property_is_compared_with_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only the properties say is named as not compared where no model is."""
    torch.manual_seed(0)
    model: Any = timm.create_model("pc_darts_cifar", cells=3, channels=4, num_classes=3).eval()
    names = ("a", "b", "c")
    export_onnx(model, tmp_path / "m.onnx", class_names=names)
    monkeypatch.setattr(verifier, "find_model", lambda *_: LoadedModel(model, names, False))
    *_, line = verify(tmp_path / "m.onnx", model="x").found[:-1]
    compared = "architecture, num_classes, class_names, input_size, mean, std, interpolation, crop_pct, crop_mode, genotype, network"
    assert line == f"properties equal to the model's: {compared}, weights_sha256"
    changed = {"mean": "[0, 0, 0]", "class_names": '["b", "a", "c"]', "num_classes": "4", "crop_pct": "0.5", "interpolation": "nearest"}
    changed |= {"input_size": "[3, 16, 16]", "network": "{}", "genotype": resolve_text("dots_cifar"), "std": "[1, 1]", "architecture": "y"}
    for key, value in changed.items():
        proto = onnx.load(tmp_path / "m.onnx")
        properties = {one.key: one.value for one in proto.metadata_props} | {key: value}
        del proto.metadata_props[:]
        helper.set_model_props(proto, properties | {"more\x07": "mine"})
        onnx.save(proto, tmp_path / "changed.onnx")
        with pytest.raises(ExportError, match=f"refused: .* states other properties than the model has: {key} "):
            verify(tmp_path / "changed.onnx", model="x")
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    *_, equal, rest = verify(tmp_path / "m.onnx", checkpoint=tmp_path / "w.safetensors").found
    assert equal == "properties equal to the model's: num_classes, input_size, genotype, network, weights_sha256"
    unknown = "architecture, class_names, mean, std, interpolation, crop_pct, crop_mode"
    assert sorted(rest.removeprefix("properties that nothing was compared with: ").split(", ")) == sorted(
        [*unknown.split(", "), "precision", "nasarch_version"]
    )


def resolve_text(name: str) -> str:
    return json.dumps(resolve(name).to_dict())


def test_a_file_that_is_in_order_runs_in_the_child_process(tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)], Y)
    assert "it runs on images [2, 3, 32, 32] and gives [2, 3], finite" in verify_isolated(path)
