"""What a training of a detector leaves is kept whatever comes after it, and what its backbone was trained on is not forgotten."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
from timm.models import save_for_hf

from nasarch.cli.main import main
from nasarch.export.detection import run
from nasarch.export.detection.run import build
from nasarch.export.detection.train import train
from nasarch.export.ssd.detector import load
from tests.helpers.small_detector import SETTINGS, data, job, plan


def test_null_for_area_or_crowd_is_as_if_it_was_left_out(tmp_path: Path) -> None:
    data(tmp_path, 8, 4)
    value = json.loads((tmp_path / "val.json").read_text())
    for about in value["annotations"]:
        about |= {"id": 0, "area": None, "iscrowd": None}
    (tmp_path / "val.json").write_text(json.dumps(value))
    train(replace(SETTINGS, epochs=1), job(tmp_path, tmp_path / "run"))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert 0 <= result["val"]["AP"] <= 1 and result["val"]["name"].endswith("/val") and result["began_with"] == "random weights"


def test_an_evaluation_that_fails_does_not_cost_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data(tmp_path, 8, 2)

    def fails(*arguments: Any) -> Any:
        raise RuntimeError("no figures")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="no figures"):
        patched.setattr(run, "coco_figures", fails)
        train(replace(SETTINGS, epochs=1), job(tmp_path, tmp_path / "run"))
    weights = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    assert load(tmp_path / "run").design.class_names == ("red", "blue") and not (tmp_path / "run" / "result.json").exists()
    assert main(["detect", "train", "--resume", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "result.json").exists() and (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights


def test_a_training_on_a_folders_backbone_keeps_its_colours_and_goes_on(tmp_path: Path) -> None:
    data(tmp_path, 8, 2)
    colours = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    network = timm.create_model("nas_224", genotype="pc_darts_imagenet", cells=3, channels=4, pretrained_cfg_overlay=colours)
    arguments = {"genotype": network.genotype.to_dict(), "cells": 3, "channels": 4}
    save_for_hf(network, tmp_path / "backbone", model_args=arguments, safe_serialization=True)
    settings = replace(SETTINGS, cells=None, channels=None)
    what = plan(tmp_path, settings, backbone=str(tmp_path / "backbone"), evaluate=False)
    model = build(what, tmp_path / "run")
    assert (model.design.mean, model.design.std) == (colours["mean"], colours["std"])
    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt):
        run.run(what, model, tmp_path / "run", lambda progress: os.kill(os.getpid(), signal.SIGINT))
    assert main(["detect", "train", "--resume", str(tmp_path / "run")]) == 0
    assert load(tmp_path / "run").design.mean == colours["mean"]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["began_with"] == "weights of model.safetensors"
