"""--opset and --symmetric: other versions of the operators, and the form of int8 for TensorRT and NPUs."""

import json
from pathlib import Path

import onnx
import onnxruntime
import pytest

from nasarch.export.errors import ExportError
from nasarch.export.onnx.export import ExportVariants, export_model
from nasarch.export.onnx.float32 import checked, export_onnx
from nasarch.export.onnx.graph import OPSETS, graph, with_opset
from nasarch.export.verify import verify
from tests.helpers.exported import Tiny, digit_files, reading, trained

OPSET_AND_IR = [(13, 7), (14, 7), (15, 8), (17, 8), (18, 8), (19, 8), (21, 8), (22, 8)]


@pytest.mark.parametrize(("opset", "ir_version"), OPSET_AND_IR)
def test_a_file_of_each_opset_gives_the_model_s_logits(opset: int, ir_version: int, tmp_path: Path) -> None:
    report = export_onnx(trained("amoebanet_a_cifar"), tmp_path / "model.onnx", size=16, opset=opset)
    proto = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert ({one.domain: one.version for one in proto.opset_import}, proto.ir_version) == ({"": opset}, ir_version)
    assert report.agreement.holds and f"opset {opset}, IR version {ir_version}" in str(report)
    read = {name for node in proto.graph.node for name in node.input}
    assert {tensor.name for tensor in proto.graph.initializer} <= read


def test_the_graph_of_opset_18_is_the_one_that_was_translated() -> None:
    model = trained("ftso_nats_cifar", cells=1)
    assert checked(model, size=16, opset=18).proto == with_opset(before := graph(model.eval(), (3, 16, 16)), 18) == before


@pytest.mark.parametrize("opset", [12, 23, 0, -1])
def test_other_opsets_are_refused(opset: int, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"^opset {opset}; choose one from {OPSETS[0]} to {OPSETS[-1]}$"):
        export_onnx(Tiny(), tmp_path / "model.onnx", size=8, opset=opset)
    assert not any(tmp_path.iterdir())


def test_what_an_older_opset_does_not_have_is_refused() -> None:
    proto = graph(trained("ftso_nats_cifar", cells=1).eval(), (3, 16, 16))
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute("of_no_opset", 1))
    with pytest.raises(ExportError, match=r"^the graph can't be converted to opset 13: [^\n]*; choose 18$"):
        with_opset(proto, 13)


def test_symmetric_int8_is_a_file_of_its_own_that_is_judged_and_verified(tmp_path: Path) -> None:
    images, model = digit_files(tmp_path / "images", 60), reading(tmp_path / "model")
    variants = ExportVariants(int8=True, symmetric=True, opset=17, calibrate=str(images))
    text = str(export_model(model, f"{tmp_path / 'out'}/", variants=variants))
    assert "int8, symmetric" in text and "% of 30 images" in text
    assert sorted(path.name for path in (tmp_path / "out" / "onnx").iterdir()) == ["model.onnx", "model_int8.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "out" / "onnx" / "model_int8.onnx")
    stated = session.get_modelmeta().custom_metadata_map
    assert stated["precision"] == "int8" and json.loads(stated["calibration"])["activations"] == "symmetric"
    assert {one.version for one in onnx.load(tmp_path / "out" / "onnx" / "model_int8.onnx").opset_import if one.domain == ""} == {17}
    found = verify(tmp_path / "out" / "onnx" / "model_int8.onnx", model=str(model), images=str(images))
    assert any(line.startswith("checked: the class that float32 says for") for line in found.found)


def test_symmetric_is_a_form_of_int8() -> None:
    with pytest.raises(ValueError, match="^--symmetric is a form of --int8; give that, too$"):
        ExportVariants(symmetric=True)
