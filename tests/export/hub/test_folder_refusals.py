"""Folders for the Hub that are refused, before the work and after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from nasarch.export.hub import folder as exporter
from nasarch.export.hub.folder import export_hub
from tests.helpers.exported import new_cell, save, trained


@pytest.mark.parametrize("state", ["file", "not empty"])
def test_what_is_there_already_is_left_alone(tmp_path: Path, state: str) -> None:
    place = tmp_path / "out"
    if state == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "mine").touch()
    with pytest.raises(ValueError, match="is there already and .*; give a new folder"):
        export_hub("pc_darts_cifar", place)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_export_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "build", lambda *_: trained("pc_darts_cifar"))
    monkeypatch.setattr(exporter, "export_onnx", lambda *_, **__: (_ for _ in ()).throw(ValueError("refused")))
    with pytest.raises(ValueError, match="refused"):
        export_hub("pc_darts_cifar", tmp_path / "deep" / "out")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or path.name != "deep"]


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model = trained("pc_darts_cifar")
    nn.init.constant_(model.fc.weight, float("nan"))
    with pytest.raises(ValueError, match="other logits; look for NaN"):
        export_hub("pc_darts_cifar", tmp_path / "out", checkpoint=save(model, tmp_path / "w.safetensors"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"source": "pc_darts_cifra"}, "did you mean pc_darts_cifar"),
        ({"source": "resnet18"}, "resnet18 is not made of cells: give a name"),
        ({"source": "seeds"}, "has neither genotype.json nor a trained model; give one of its folders: seed-0, seed-1"),
        ({"source": "empty"}, "has neither genotype.json nor a trained model; give the folder of a finished"),
        ({"data": "flowers"}, "data 'flowers'; known are cifar10, "),
        ({"data": "cifar100"}, "data 'cifar100' hasn't 10 classes"),
        ({"size": 0}, "size 0 is too small for pc_darts_cifar; choose 4 or more"),
        ({"source": "broken"}, r"can't read .*result.json: .*; mend it"),
        ({"source": "list", "checkpoint": "w.safetensors"}, "can't read weights from w.safetensors"),
        ({"source": "training"}, "training holds no training of nasarch"),
        ({"source": "foreign"}, "resnet18 is not made of cells: give a name"),
        ({"source": "wrong"}, "result.json: result .* legal is"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("seeds/seed-0", "seeds/seed-1", "empty", "broken", "list", "wrong"):
        Path(name).mkdir(parents=True)
        if name != "empty":
            new_cell("my_cell", Path(name) / "genotype.json")
            Path(name, "model.safetensors").touch()
    Path("broken/result.json").write_text("{")
    Path("list/config.json").write_text("[]")
    for name, config in (("training", {"pretrained_cfg": {}}), ("foreign", {"pretrained_cfg": {}, "architecture": "resnet18"})):
        Path(name).mkdir()
        Path(name, "model.safetensors").touch()
        Path(name, "config.json").write_text(json.dumps(config))
    Path("wrong/result.json").write_text('{"results": [{"dataset": "x"}]}')
    if "checkpoint" not in options:
        monkeypatch.setattr(exporter, "build", lambda *_: trained("pc_darts_cifar"))
    source = options.pop("source", "pc_darts_cifar")
    with pytest.raises(ValueError, match=message):
        export_hub(source, "out", **options)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "no output folder: give --out"),
        ({"repository": "me/x"}, "no output folder: give --out"),
        ({"out": "out", "public": True}, "give --push OWNER/NAME with it"),
        ({"out": "out", "repository": "no-owner"}, "'no-owner' is no name on the Hub; legal is OWNER/NAME"),
    ],
)
def test_contradictions_are_refused_before_the_work(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str) -> None:
    monkeypatch.setattr(exporter, "export_hub", lambda *_, **__: pytest.fail("the export was begun"))
    with pytest.raises(ValueError, match=message):
        [*exporter.hub("pc_darts_cifar", **options)]
