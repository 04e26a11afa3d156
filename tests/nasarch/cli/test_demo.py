"""`make demo` in a test: the whole line leaves what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import onnxruntime
import pytest

from nasarch.cells.genotype import Genotype
from nasarch.cli.main import main


def test_the_demo_searches_trains_tests_and_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    assert "summary" in printed and "4,701,718" in printed  # all sep_conv_3x3: the count does not depend on the topology
    assert Genotype.load(tmp_path / "demo" / "search" / "genotype.json").provenance["searched_on"] == "digits"
    figures = {one["metric"]: one for one in json.loads((tmp_path / "demo" / "result.json").read_text())["figures"]}
    assert figures["test error"]["reported"] == 2.48 and figures["test error"]["measured"] < 60, "chance is 90 %"
    assert "<figure" in (tmp_path / "demo" / "report" / "index.html").read_text()
    session = onnxruntime.InferenceSession(tmp_path / "demo" / "model.onnx")
    assert [output.name for output in session.get_outputs()] == ["logits"]
    assert (tmp_path / "demo" / "cell.svg").read_text().startswith("<?xml")
