"""Flags of `nasarch export onnx`, `verify` and `export hub`: each changes its own argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nasarch.cli.main import main
from nasarch.export import verify as command
from nasarch.export.hub import folder
from nasarch.export.onnx import export as module
from nasarch.export.onnx.export import ExportVariants, export_model

ONNX: dict[str, tuple[list[str], dict[str, Any]]] = {
    "nothing": ([], {}),
    "checkpoint": (["--checkpoint", "w"], {"checkpoint": Path("w")}),
    "data": (["--data", "cifar10"], {"data": "cifar10"}),
    "size": (["--size", "48"], {"size": 48}),
    "dynamic size": (["--dynamic-size"], {"variants": ExportVariants(dynamic_size=True)}),
    "uint8 input": (["--uint8-input"], {"variants": ExportVariants(uint8_input=True)}),
    "fp16": (["--fp16"], {"variants": ExportVariants(fp16=True)}),
    "int8": (["--int8", "--calibrate", "digits"], {"variants": ExportVariants(int8=True, calibrate="digits")}),
    "symmetric": (["--int8", "--symmetric", "--calibrate", "x"], {"variants": ExportVariants(int8=True, symmetric=True, calibrate="x")}),
    "any size": (["--any-size"], {"variants": ExportVariants(any_size=True)}),
    "opset": (["--opset", "17"], {"variants": ExportVariants(opset=17)}),
    "calibrate": (["--fp16", "--calibrate", "x"], {"variants": ExportVariants(fp16=True, calibrate="x")}),
    "force": (["--force"], {"variants": ExportVariants(force=True)}),
}


@pytest.mark.parametrize("flag", ONNX)
def test_a_flag_of_export_onnx_changes_its_own_argument_alone(flag: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    seen = list[Any]()
    monkeypatch.setattr(module, "export_model", lambda *told, **more: seen.append((told, more)) or "what was written")
    words, changed = ONNX[flag]
    assert main(["export", "onnx", "a model", "-o", "there", *words]) == 0
    usual = {"checkpoint": None, "data": None, "size": None, "variants": ExportVariants()}
    assert seen == [(("a model", "there"), {**usual, **changed})] and capsys.readouterr().out == "what was written\n"


@pytest.mark.parametrize("flag", ["model", "checkpoint", "data", "images"])
def test_a_flag_of_verify_changes_its_own_argument_alone(flag: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    seen = list[Any]()
    monkeypatch.setattr(command, "verify_isolated", lambda *told, **more: seen.append((told, more)) or "what was found")
    assert main(["export", "verify", "a.onnx", f"--{flag}", "x"]) == 0
    usual = {"model": None, "checkpoint": None, "data": None, "images": None, "timeout": 20.0, "memory": 4.0}
    assert seen == [((Path("a.onnx"),), {**usual, flag: Path("x") if flag == "checkpoint" else "x"})]
    assert capsys.readouterr().out == "what was found\n"


HUB: dict[str, tuple[list[str], dict[str, Any]]] = {
    "out": (["--out", "o"], {"out": Path("o")}),
    "checkpoint": (["--checkpoint", "w"], {"checkpoint": Path("w")}),
    "data": (["--data", "digits"], {"data": "digits"}),
    "size": (["--size", "48"], {"size": 48}),
    "push": (["--push", "me/x"], {"repository": "me/x"}),
    "public": (["--public"], {"public": True}),
}


@pytest.mark.parametrize("flag", HUB)
def test_a_flag_of_export_hub_changes_its_own_argument_alone(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    monkeypatch.setattr(folder, "hub", lambda *told, **more: seen.append((told, more)) or [])
    words, changed = HUB[flag]
    assert main(["export", "hub", "a model", *words]) == 0
    usual = {"out": None, "checkpoint": None, "data": None, "size": None, "repository": None, "public": False}
    assert seen == [(("a model",), {**usual, **changed})]


@pytest.mark.parametrize("given", [{"checkpoint": "w"}, {"data": "cifar10"}, {"size": 9}, {}])
def test_a_model_is_found_by_source_weights_and_data_and_exported_at_its_size(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    monkeypatch.setattr(module, "find_model", lambda *told: seen.append(told) or "a subject")
    monkeypatch.setattr(module, "export_variants", lambda *told, **more: seen.append((told, more)))
    forms = ExportVariants(fp16=True)
    export_model("a model", "there", variants=forms, **given)
    assert seen == [
        ("a model", given.get("checkpoint"), given.get("data")),
        (("a subject", "there"), {"size": given.get("size"), "variants": forms}),
    ]
    seen.clear()
    export_model("a model", "there")
    assert seen[1][1]["variants"] == ExportVariants()


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_for_the_hub_is_written_then_pushed(named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    monkeypatch.setattr(folder, "export_hub", lambda *told, **more: seen.append((told, more)) or "written")
    monkeypatch.setattr(folder, "_name_in_card", lambda *told: seen.append(told))
    monkeypatch.setattr(folder, "push", lambda *told, **more: seen.append((told, more)) or "pushed")
    flags: dict[str, Any] = {"checkpoint": "w", "data": "cifar10", "size": 9, "repository": "me/x" if named else None}
    done = [*folder.hub("a model", out=tmp_path / "o", public=named, **flags)]
    pushed = [(tmp_path / "o" / "README.md", "me/x"), ((tmp_path / "o", "me/x"), {"public": True})]
    assert seen == [(("a model", tmp_path / "o"), flags), *(pushed if named else [])]
    assert done == ["written", *["pushed"] * named]
