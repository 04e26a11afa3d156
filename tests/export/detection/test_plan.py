"""Plan of a detector's training: each option reaches backbone, data, device and folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from nasarch.export.detection import train as detect_command
from nasarch.export.detection.run import DetectPlan, build
from nasarch.export.detection.settings import DetectOptions, DetectTraining
from nasarch.export.detection.train import train
from nasarch.runtime.options import updated
from tests.helpers.small_detector import SETTINGS, data, job, plan, rectangles


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data with a train and a val part, other val annotations whose images lie elsewhere, and a network with weights."""
    folder = data(tmp_path_factory.mktemp("data"), 4, 2)
    rectangles(folder / "other", "special", 3, seed=2)
    (folder / "other" / "images").rename(folder / "elsewhere")
    for path in (folder / "images").glob("train-*"):
        (folder / "copies").mkdir(exist_ok=True)
        (folder / "copies" / path.name).write_bytes(path.read_bytes())
    network = timm.create_model("nas_224", genotype="pc_darts_imagenet", cells=3, channels=8)
    (folder / "network").mkdir()
    safetensors.torch.save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / "network" / "model.safetensors")
    arguments = {"genotype": network.genotype.to_dict(), "cells": 3, "channels": 8}
    (folder / "network" / "config.json").write_text(json.dumps({"architecture": "nas_224", "model_args": arguments}))
    return folder


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From settings and a job to the plan and the folder, without the training."""
    seen = list[tuple[DetectPlan, Path]]()
    monkeypatch.setattr(detect_command, "_train", lambda *told: seen.append(told))

    def of(settings: DetectTraining, what: DetectOptions) -> tuple[DetectPlan, Path]:
        train(settings, what)
        return seen.pop()

    return of


def test_each_part_of_a_job_is_where_it_belongs_in_the_plan(
    place: Path, planned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["nasarch", "detect", "train", "--x"])
    usual = job(place, tmp_path / "run")
    found, folder = planned(SETTINGS, usual)
    assert folder == tmp_path / "run" and found.words == "nasarch detect train --x" and found.device.type == "cpu"
    assert (found.settings, found.job) == (SETTINGS, usual) and found.backbone.weights is None
    assert (found.train.path, len(found.train), found.train.scenes[0].file.path) == (place / "train.json", 4, str(place / "images"))
    assert (found.val.path, found.val.name, len(found.val)) == (place / "val.json", f"{place.name}/val", 2)
    copies, _ = planned(SETTINGS, replace(usual, images=place / "copies"))
    assert copies.train.scenes[0].file.path == str(place / "copies") and copies.val.scenes[0].file.path == str(place / "images")
    special, _ = planned(SETTINGS, replace(usual, val=place / "other" / "special.json", val_images=place / "elsewhere"))
    assert (special.val.name, len(special.val), special.val.scenes[0].file.path) == ("other/special", 3, str(place / "elsewhere"))
    with pytest.raises(ValueError, match="3 of 3 images are missing"):
        planned(SETTINGS, replace(usual, val=place / "other" / "special.json"))
    assert planned(SETTINGS, replace(usual, evaluate=False))[0].val is None
    one, _ = planned(SETTINGS, replace(usual, data=place / "train.json", evaluate=False))
    assert one.train.name == "train"
    monkeypatch.chdir(tmp_path)
    _, own = planned(SETTINGS, updated(usual, {"out": None}))
    assert own.parent == Path("runs") and own.name.startswith(f"detect-pc_darts_imagenet-{place.name.replace('-', '_')}-")


def test_the_backbone_has_the_size_and_the_weights_that_are_asked_for(place: Path, planned: Any, tmp_path: Path) -> None:
    usual = job(place, tmp_path / "run")
    named = planned(SETTINGS, usual)[0].backbone
    assert (named.name, named.arguments["genotype"]["name"]) == ("nas_224", "pc_darts_imagenet")
    assert (named.arguments["cells"], named.arguments["channels"]) == (3, 8)
    whole = planned(replace(SETTINGS, cells=None, channels=None), replace(usual, backbone="dots_imagenet"))[0].backbone
    assert (whole.arguments["genotype"]["name"], whole.arguments["cells"], whole.arguments["channels"]) == ("dots_imagenet", 14, 48)
    own, weights = replace(SETTINGS, cells=None, channels=None), place / "network" / "model.safetensors"
    for pretrained, given, expected in ((True, None, weights), (False, None, None), (False, tmp_path / "w", tmp_path / "w")):
        told = replace(usual, backbone=str(place / "network"), pretrained=pretrained, weights=given)
        assert planned(own, told)[0].backbone.weights == expected


def test_a_device_and_the_rounding_of_gpus_are_set_before_anything_else(
    place: Path, planned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    monkeypatch.setattr("nasarch.compute.set_tf32", seen.append)
    monkeypatch.setattr("nasarch.compute.pick_device", lambda name: seen.append(name) or torch.device("cpu"))
    for tf32 in (False, True):
        planned(SETTINGS, job(place, tmp_path / "run", tf32=tf32, device="cuda:3"))
    assert seen == ["cuda:3", False, "cuda:3", True]


def test_data_of_other_classes_and_a_folder_in_use_are_refused(place: Path, planned: Any, tmp_path: Path) -> None:
    value = json.loads((place / "val.json").read_text())
    value["categories"][0]["name"] = "green"
    (place / "other.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match="does not know 'green' and the file lacks 'blue'"):
        planned(SETTINGS, job(place, tmp_path / "run", val=place / "other.json"))
    (tmp_path / "run").mkdir()
    planned(SETTINGS, job(place, tmp_path / "run"))
    (tmp_path / "run" / "mine").touch()
    with pytest.raises(ValueError, match="run exists already"):
        planned(SETTINGS, job(place, tmp_path / "run"))


@pytest.mark.parametrize(
    ("given", "pretrained", "begun", "loads"),
    [(True, True, False, True), (True, False, False, True), (True, True, True, False), (False, False, False, False)],
)
def test_weights_are_loaded_unless_a_checkpoint_brings_them(
    given: bool, pretrained: bool, begun: bool, loads: bool, place: Path, tmp_path: Path
) -> None:
    if begun:
        (tmp_path / "checkpoint.pt").touch()
    weights = place / "network" / "model.safetensors"
    what = plan(place, pretrained=pretrained, weights=weights if given else None)
    kept = safetensors.torch.load_file(weights)
    model = build(what, tmp_path).backbone.body.model
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items()) == loads
