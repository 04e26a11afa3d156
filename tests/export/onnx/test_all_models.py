"""Every model of the zoo leaves as ONNX with PyTorch's logits: all at full size in the slow run, kinds of cells made small in the other."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import nasarch
from nasarch.export.onnx.export import export_model
from nasarch.export.onnx.float32 import OnnxReport, export_onnx
from nasarch.export.verify import verify
from tests.helpers.exported import with_statistics
from tests.helpers.small_models import KINDS, small


@pytest.mark.parametrize("name", [name for name in KINDS if not name.startswith(("pc_darts", "ftso_nats"))])  # those are in other tests
def test_a_kind_of_cell_that_is_made_small_is_exported(name: str, tmp_path: Path) -> None:
    size = 64 if "224" in name or "imagenet" in name else 32
    report = export_onnx(with_statistics(small(name, cells=3), size), tmp_path / "a.onnx", size=size)  # normal and reduction cells
    assert report.agreement.holds and report.agreement.scale > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", nasarch.list_models())
def test_every_model_is_exported_and_verified(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    (report,) = export_model(name, path).reports
    assert isinstance(report, OnnxReport) and report.agreement.holds
    proto = onnx.load(path, load_external_data=False)
    assert proto.ir_version == 8 and [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 18)]
    assert "checked: logits within" in str(verify(path)), "random weights are made again from the properties alone"
