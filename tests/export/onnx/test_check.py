"""Wrong graphs are told from right ones, and a file that fails its check is never left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import pytest
import timm
import torch
from onnx import numpy_helper
from torch import nn

from nasarch.export.onnx import check
from nasarch.export.onnx import float32 as exporter
from nasarch.export.onnx.check import compare
from nasarch.export.onnx.float32 import ExportError, export_onnx
from nasarch.export.onnx.session import open_session
from nasarch.export.samples import sample_images
from tests.helpers.exported import Tiny, logits, with_statistics


class Exported(NamedTuple):
    """A small model with statistics of images, and its file."""

    model: nn.Module
    path: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.manual_seed(0)
    model = with_statistics(timm.create_model("pc_darts_cifar", cells=5, channels=16), 32)
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(model, path)
    return Exported(model, path)


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
    reference = exporter.reference(model)
    assert compare(reference, open_session(path)).holds
    for change, number in changes:
        proto = onnx.load(path)
        change(proto, number)
        onnx.save(proto, path.with_name("wrong.onnx"))
        wrong = compare(reference, open_session(path.with_name("wrong.onnx")))
        path.with_name("wrong.onnx").unlink()
        assert not wrong.holds, (change.__name__, number)


def test_slightly_wrong_graphs_are_told_from_right_ones(exported: Exported) -> None:
    model, path = exported
    assert_changes_are_found(model, path, [*WRONG, *((_concat_in_another_order, number) for number in (0, 2, -1))])


def test_wrong_graphs_are_found_though_the_logits_hardly_depend_on_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("ftso_nats_cifar", cells=1, channels=8)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()  # of a network of other weights
    assert logits(model, sample_images(4, 3, 32, 32)).std(0).max() < 1e-3
    report = export_onnx(model, tmp_path / "fresh.onnx")
    assert report.agreement.scale > 0.01, "of images brighter than any, so no figure is told in the logits' own unit"
    assert f"logits within {report.agreement.difference / report.agreement.scale:.1e} of how much PyTorch's vary" in str(report)
    assert f"{report.agreement.difference:.1e}" not in str(report)
    assert_changes_are_found(model, tmp_path / "fresh.onnx", WRONG)


def test_another_class_is_refused_though_the_logits_are_within_the_tolerance(tmp_path: Path) -> None:
    """Two classes with the same weights: the first leads by its bias alone, small beside the tolerance and large beside rounding."""
    torch.manual_seed(0)
    model, path = Tiny(2).eval(), tmp_path / "a.onnx"
    model.fc.weight.data[1] = model.fc.weight.data[0]
    nn.init.zeros_(model.fc.bias)
    lead = 3e-5 * export_onnx(model, path, size=8).agreement.scale
    model.fc.bias.data[0] = lead
    right = export_onnx(model, path, size=8)
    assert (right.agreement.clear, right.agreement.other) == (4, 0)
    assert "the same class for 4 of 4 images that have a clear one" in str(right)
    model.fc.bias.data[0] = -lead
    seen = compare(model, open_session(path))
    assert seen.difference <= seen.tolerance and (seen.clear, seen.other) == (4, 4) and not seen.holds
    with pytest.raises(ExportError, match="differ from PyTorch's by .*, the same class for 0 of 4 images that have a clear one; try"):
        exporter.refuse(seen, "two classes")


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
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[onnx.ModelProto], None],
    message: str,
) -> None:
    model, path = exported
    proto = onnx.load(path)
    change(proto)
    monkeypatch.setattr(exporter, "graph", lambda *_: proto)
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
    monkeypatch.setattr(exporter, "graph", lambda *_: pytest.fail("the export was begun"))
    with pytest.raises(ValueError, match=f"can't write .*{place}.*choose"):
        export_onnx(Tiny(), tmp_path / place, size=8)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("factor", [1.0, 1e-7, 1e-20])
def test_images_are_bright_enough_that_the_logits_depend_on_them(factor: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    net[1].weight.data *= factor  # type: ignore[union-attr]
    images, logits = check._telling_images(net, 4, (3, 2, 2))
    assert check.variation(logits) >= check.MIN_VARIATION * logits.abs().max() and images.dtype == torch.float32
    torch.testing.assert_close(net(images.double()), logits, rtol=1e-4, atol=0)


def test_a_network_that_says_the_same_of_all_images_is_no_endless_search() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    nn.init.zeros_(net[1].weight)  # type: ignore[arg-type]
    images, logits = check._telling_images(net, 4, (3, 2, 2))
    assert images.isfinite().all() and check.variation(logits) == 0
