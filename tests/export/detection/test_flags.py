"""Each flag of the commands around detectors reaches what it is for: changed one at a time, with the effect looked at."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from torch import nn

import nasarch
from nasarch.cli.main import main
from nasarch.export.detection import coco_metrics, export, learner, predict
from nasarch.export.detection import run as detect_run
from nasarch.export.detection import train as detect_command
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.coco_metrics import detect
from nasarch.export.detection.export import SsdReport
from nasarch.export.detection.learner import Learner, Progress, fit
from nasarch.export.detection.loader import Drawn, transforms
from nasarch.export.detection.run import DetectPlan, build, run
from nasarch.export.detection.settings import DetectOptions, DetectTraining
from nasarch.export.detection.train import train
from nasarch.export.ssd.check import SsdAgreement, Tolerance
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import cost, load, save
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.options import to_dict, updated
from tests.helpers.small_detector import SETTINGS, data, job, plan, random_detector, rectangles

# --- nasarch detect train: from flags to settings ----------------------------------------------------------------------------

SETTING: dict[str, tuple[list[str], Any]] = {
    "epochs": (["7"], 7),
    "batch_size": (["6"], 6),
    "lr": (["0.5"], 0.5),
    "warmup": (["0.25"], 0.25),
    "momentum": (["0.5"], 0.5),
    "weight_decay": (["0.125"], 0.125),
    "clip": (["3"], 3.0),
    "augmentation": (["flip"], "flip"),
    "ema": (["0.75"], 0.75),
    "size": (["64"], 64),
    "head": (["dense"], "dense"),
    "extras": (["8", "6"], (8, 6)),
    "scales": (["0.1", "0.5"], (0.1, 0.5)),
    "cells": (["5"], 5),
    "channels": (["12"], 12),
}
JOB: dict[str, tuple[list[str], Any]] = {
    "backbone": (["resnet18"], "resnet18"),
    "data": (["d"], Path("d")),
    "images": (["i"], Path("i")),
    "val": (["v.json"], Path("v.json")),
    "val_images": (["vi"], Path("vi")),
    "workers": (["0"], 0),
    "pretrained": ([], False),
    "weights": (["w.safetensors"], Path("w.safetensors")),
    "seed": (["3"], 3),
    "device": (["cpu"], "cpu"),
    "amp": (["bf16"], "bf16"),
    "tf32": ([], True),
    "evaluate": ([], False),
    "out": (["o"], Path("o")),
    "resume": (["r"], Path("r")),
}
DEFAULTS = {
    **{"epochs": 120, "batch_size": 24, "lr": 0.15 / 8, "warmup": 0.01, "momentum": 0.9, "weight_decay": 4e-5, "clip": 0.0, "ema": 0.0},
    **{"augmentation": "ssdlite", "size": 320, "head": "lite", "extras": (512, 256, 256, 128), "scales": (0.2, 0.95)},
    **{"cells": None, "channels": None},
}
DESIGN = {"score_threshold": 0.001, "nms_threshold": 0.55, "candidates": 300, "detections": 300, "size": 320, "head": "lite"}


def test_the_defaults_are_those_of_torchvisions_reference() -> None:
    """Its README for ssdlite320: 0.15 for 8 GPUs of 24 images, weight decay 0.00004; its model: threshold, NMS, candidates, detections."""
    assert asdict(DetectTraining()) == DEFAULTS
    found = asdict(Design(backbone="", arguments=None, class_names=("a",), category_ids=(1,)))
    assert {key: found[key] for key in DESIGN} == DESIGN and (found["extras"], found["scales"]) == (DEFAULTS["extras"], DEFAULTS["scales"])
    assert (found["mean"], found["std"]) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    told = {"backbone": "pc_darts_imagenet", "workers": 2, "pretrained": True, "seed": 0, "device": "auto", "amp": "off", "tf32": False}
    assert {key: value for key, value in to_dict(DetectOptions()).items() if value is not None} == {**told, "evaluate": True}


@pytest.mark.parametrize("name", [*SETTING, *JOB])
def test_a_flag_of_the_training_changes_its_own_setting_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*SETTING] == [one.name for one in fields(DetectTraining)] and JOB.keys() == to_dict(DetectOptions()).keys()
    seen = list[tuple[DetectTraining, DetectOptions]]()
    monkeypatch.setattr(detect_command, "train", lambda *told: seen.append(told))
    words, value = {**SETTING, **JOB}[name]
    flag = f"--{'no-' * (value is False)}{name.replace('_', '-')}"
    assert main(["detect", "train", flag, *words]) == 0
    assert seen == [
        (replace(DetectTraining(), **{name: value}), DetectOptions())
        if name in SETTING
        else (DetectTraining(), updated(DetectOptions(), {name: value}))
    ]


LIMITS = {
    "epochs": [(1, True), (0, False)],
    "batch_size": [(2, True), (1, False)],
    "lr": [(1e-9, True), (0.0, False), (float("inf"), False), (float("nan"), False)],
    **{name: [(0.0, True), (-1e-9, False), (1e9, True), (float("inf"), False)] for name in ("weight_decay", "clip")},
    **{name: [(0.0, True), (-1e-9, False), (0.999, True), (1.0, False)] for name in ("warmup", "momentum", "ema")},
}


@pytest.mark.parametrize("name", LIMITS)
def test_settings_end_where_they_mean_nothing(name: str) -> None:
    for value, legal in LIMITS[name]:
        if legal:
            assert getattr(DetectTraining(**{name: value}), name) == value
        else:
            with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} {value}: choose"):
                DetectTraining(**{name: value})
    assert DetectOptions(workers=0).workers == 0
    with pytest.raises(ValueError, match="--workers -1: choose 0 or more"):
        DetectOptions(workers=-1)


GOOD: dict[str, Any] = {"backbone": "resnet18", "arguments": {}, "class_names": ("a", "b"), "category_ids": (3, 7)}
EDGES: dict[str, tuple[list[Any], list[Any]]] = {
    "size": ([32, 4096], [31, 4097, 64.0]),
    "head": (["lite", "dense"], ["light"]),
    "extras": ([(2,), (4096,) * 6], [(), (1,), (4097,), (8,) * 7, (8.0,)]),
    "scales": ([(0.01, 0.02), (0.9, 1.0)], [(0.0, 0.5), (0.5, 0.5), (0.5, 1.01), (0.1, 0.2, 0.3)]),
    "std": ([(1e-9, 1.0, 1.0)], [(0.0, 1.0, 1.0), (1.0, 1.0)]),
    "mean": ([(0.0, 0.0, 0.0)], [(0.5,)]),
    **{name: ([0.0, 0.999], [-0.001, 1.0]) for name in ("score_threshold", "nms_threshold")},
    **{name: ([1, 10_000], [0, 10_001]) for name in ("candidates", "detections")},
    "class_names": ([("x", "y")], [(), ("x",)]),
    "category_ids": ([(0, 1)], [(1,), (1, 1)]),
    "backbone": (["vgg16"], ["hf-hub:a/b", "local-dir:x"]),
    "arguments": ([None, {"genotype": {}, "cells": 3, "channels": 4}], [{"file": "x"}]),
}


@pytest.mark.parametrize("name", EDGES)
def test_a_design_ends_where_it_means_nothing(name: str) -> None:
    good, bad = EDGES[name]
    for value in good:
        design = Design(**{**GOOD, name: value})
        assert getattr(design, name) == value and design.num_classes == 3
    for value in bad:
        with pytest.raises(ValueError):
            Design(**{**GOOD, name: value})


# --- from settings to a plan -------------------------------------------------------------------------------------------------


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
    value["categories"][0]["id"], value["annotations"] = 8, []
    (place / "other.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match="has other categories than"):
        planned(SETTINGS, job(place, tmp_path / "run", val=place / "other.json"))
    (tmp_path / "run").mkdir()
    planned(SETTINGS, job(place, tmp_path / "run"))
    (tmp_path / "run" / "mine").touch()
    with pytest.raises(ValueError, match="run exists already"):
        planned(SETTINGS, job(place, tmp_path / "run"))


# --- from a plan to a detector -----------------------------------------------------------------------------------------------


def test_the_design_is_that_of_the_settings_and_of_the_data(tmp_path: Path) -> None:
    rectangles(tmp_path, "train", 4, seed=0)
    settings = replace(SETTINGS, size=72, head="dense", extras=(10, 6), scales=(0.15, 0.6))
    design = build(plan(tmp_path, settings, seed=3), tmp_path / "new").design
    assert (design.size, design.head, design.extras, design.scales) == (72, "dense", (10, 6), (0.15, 0.6))
    assert (design.class_names, design.category_ids, design.backbone) == (("red", "blue"), (3, 7), "nas_224")
    assert (design.arguments["cells"], design.arguments["channels"]) == (3, 8)
    assert (design.score_threshold, design.nms_threshold, design.candidates, design.detections) == (0.001, 0.55, 300, 300)


def test_first_weights_are_drawn_by_the_seed_and_nothing_else_is(tmp_path: Path) -> None:
    rectangles(tmp_path, "train", 4, seed=0)
    state = torch.get_rng_state()
    found = build(plan(tmp_path, seed=5), tmp_path / "new")
    assert torch.equal(torch.get_rng_state(), state)
    other = build(plan(tmp_path, seed=6), tmp_path / "new")
    torch.manual_seed(5)
    timm.create_model("nas_224", features_only=True, **found.design.arguments)  # which asks for its maps
    body = timm.create_model("nas_224", features_only=True, out_indices=(3, 4), **found.design.arguments)
    expected = body.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in found.backbone.body.state_dict().items())
    assert not torch.equal(*(next(p for p in one.head.parameters() if p.ndim == 4) for one in (found, other)))


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


# --- a run -------------------------------------------------------------------------------------------------------------------


def test_what_a_run_writes_down_is_what_was_done(tmp_path: Path) -> None:
    """Every key of config.json and result.json, and the lines between, by hand."""
    rectangles(tmp_path, "train", 5, seed=0)
    rectangles(tmp_path, "val", 2, seed=1)
    value = json.loads((tmp_path / "train.json").read_text())
    value["images"].append({**value["images"][0], "id": 99})  # one without a box
    (tmp_path / "train.json").write_text(json.dumps(value))
    settings = replace(SETTINGS, epochs=2, batch_size=2, ema=0.5, size=64, extras=(16, 16), lr=0.01)
    what = replace(plan(tmp_path, settings, seed=4), val=load_scenes(tmp_path, "val"), words="nasarch detect train --me")
    model, folder, told = build(what, tmp_path / "run"), tmp_path / "run", list[Progress]()
    folder.mkdir()
    result = run(what, model, folder, told.append)
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"] == {**asdict(settings), "extras": [16, 16], "scales": [0.2, 0.95]}
    assert config["detector"] == json.loads(json.dumps(model.design.to_dict()))
    expected = {"seed": 4, "amp": "off", "tf32": False, "processes": 1, "threads": torch.get_num_threads(), "command": what.words}
    assert {key: config[key] for key in expected} == expected and config["detect"]["data"] == str(tmp_path)
    part = what.train
    assert config["data"] == {"name": part.name, "images": 6, "boxes": part.boxes, "sha256": part.sha256, "remarks": []}
    assert config["device"].startswith("CPU") and {*config["versions"]} == {"nasarch", "torch", "torchvision", "timm", "python"}
    assert config["versions"]["nasarch"] == nasarch.__version__ and torch.__version__.startswith(config["versions"]["torch"])
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    ends = [one for one in told if one.ends_epoch]
    assert [(line["epoch"], line["step"]) for line in lines] == [(1, 2), (2, 2)] == [(one.epoch, one.step) for one in ends]
    for line, one in zip(lines, ends, strict=True):
        assert {key: line[key] for key in asdict(one)} == asdict(one) and line["loss"] == one.classification + one.localisation
    assert 0 < lines[0]["seconds"] < lines[1]["seconds"] == result["seconds"] and "memory" in lines[0]
    assert result == json.loads((folder / "result.json").read_text()) and not (folder / "checkpoint.pt").exists()
    assert result["train"] == {key: lines[1][key] for key in ("classification", "localisation", "loss")}
    said = ("settings", "seed", "amp", "tf32", "processes", "data", "device", "threads", "versions")
    assert {key: result[key] for key in said} == {key: config[key] for key in said}
    assert (result["backbone"], result["began_with"], result["weights"]) == ("pc_darts_imagenet", "random weights", "moving average")
    assert result["cost"] == cost(model)._asdict() and result["val"]["images"] == 2 and result["val"]["name"].endswith("/val")
    assert result["val"]["sha256"] == load_scenes(tmp_path, "val").sha256 and result["val"]["evaluator"] == coco_metrics.evaluator()
    rows = detect(load(folder), load_scenes(tmp_path, "val"), batch_size=1, workers=0)
    assert result["val"]["AR100"] == pytest.approx(coco_metrics.coco_figures(what.val.truth, rows)["AR100"], abs=1e-6)  # type: ignore[union-attr]
    again = run(what, nn.Identity(), folder, told.append)  # type: ignore[arg-type]
    assert again == result, "a run that is over is not run again"


@pytest.mark.parametrize(("ema", "named"), [(0.0, "last epoch"), (0.9, "moving average")])
def test_what_is_saved_and_judged_is_the_average_where_there_is_one(
    ema: float, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rectangles(tmp_path, "train", 4, seed=0)
    learners, precisions = list[Learner](), list[Any]()

    class Watched(Learner):
        def __init__(self, model: Any, settings: DetectTraining, precision: Any = None) -> None:
            super().__init__(model, settings)
            learners.append(self)
            precisions.append(precision)

    monkeypatch.setattr(detect_run, "Learner", Watched)
    settings = replace(SETTINGS, epochs=3, size=64, extras=(16, 16), ema=ema)
    what = plan(tmp_path, settings, evaluate=False, amp="bf16" if ema else "off")
    (tmp_path / "run").mkdir()
    result = run(what, build(what, tmp_path / "run"), tmp_path / "run", lambda _: None)
    assert result["weights"] == named and result["val"] is None and precisions == [torch.bfloat16 if ema else None]
    kept, model = load(tmp_path / "run").state_dict(), learners[0].model.state_dict()
    average = learners[0].result().state_dict()
    assert all(torch.equal(value, average[key]) for key, value in kept.items())
    assert all(torch.equal(value, model[key]) for key, value in kept.items()) == (not ema)


def test_workers_augmentation_size_and_colours_reach_the_images_of_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rectangles(tmp_path, "train", 4, seed=0)
    seen, given, batches = list[Any](), list[Any](), learner.batches

    class Watched(Learner):
        def step(self, batch: Any, number: int, rate: float) -> torch.Tensor:
            seen.append(batch)
            return torch.zeros(2, dtype=torch.float64)

    def watched(scenes: Any, transform: Any, seed: int, draws: Any, workers: int) -> Iterator[Any]:
        given.append((seed, workers))
        return batches(scenes, transform, seed, draws, 0)

    monkeypatch.setattr(learner, "batches", watched)
    model = random_detector()
    model.design = replace(model.design, mean=(0.9, 0.1, 0.5))
    settings = DetectTraining(epochs=1, batch_size=2, augmentation="ssd", size=48)
    [*fit(Watched(model, settings), load_scenes(tmp_path, "train").scenes, 8, 5, Checkpoint(None, {}))]
    assert given == [(8, 5)]
    order = [0, 1, 2, 3]
    random.Random("8 0").shuffle(order)
    drawn = Drawn(load_scenes(tmp_path, "train").scenes, transforms("ssd", 48, (0.9, 0.1, 0.5)), 8)
    expected = [drawn[detect_train_draw(0, image)]["image"] for image in order]
    assert torch.equal(torch.cat([batch.images for batch in seen]), torch.stack([image.as_subclass(torch.Tensor) for image in expected]))


def detect_train_draw(epoch: int, image: int) -> Any:
    from nasarch.export.detection.loader import Draw

    return Draw(epoch, image)


def test_a_resumed_run_has_its_own_settings_whatever_is_said_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rectangles(tmp_path, "train", 4, seed=0)
    settings = replace(SETTINGS, epochs=1, size=64, extras=(16, 12), scales=(0.3, 0.8))
    what = plan(tmp_path, settings, evaluate=False, seed=7, workers=0, weights=None, images=tmp_path / "images")
    (tmp_path / "run").mkdir()
    run(what, build(what, tmp_path / "run"), tmp_path / "run", lambda _: None)
    found, told, backbone = detect_run.resumed(tmp_path / "run")
    assert found == settings and told == updated(what.job, {"resume": tmp_path / "run"})
    assert (backbone.name, backbone.arguments, backbone.weights) == ("nas_224", what.backbone.arguments, None)
    assert backbone.normalization == {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    seen = list[Any]()
    monkeypatch.setattr(detect_command, "_train", lambda *given: seen.append(given))
    beside = updated(DetectOptions(), {"resume": tmp_path / "run", "seed": 1})
    train(replace(SETTINGS, epochs=99), beside)
    assert seen[0][0].settings == settings and seen[0][0].job.seed == 7 and seen[0][1] == tmp_path / "run"
    with pytest.raises(ValueError, match="can't read the annotations .*other: No such file"):
        train(SETTINGS, updated(beside, {"data": tmp_path / "other"}))  # data that were moved
    assert len(seen) == 1


# --- nasarch detect eval -----------------------------------------------------------------------------------------------------


class Finder(nn.Module):
    """Finds one box, whose place and score tell which image it saw, and of what size its batch was."""

    def __init__(self) -> None:
        super().__init__()
        self.design = random_detector().design
        self.parameter = nn.Parameter(torch.zeros(1))
        self.batches, self.seen = list[int](), list[torch.Tensor]()

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        assert not self.training and torch.is_inference_mode_enabled()
        self.batches.append(len(images))
        self.seen += images
        boxes = torch.tensor([[10.0, 20.0, 40.0, 70.0], [1.0, 2.0, 5.0, 4.0]])
        return [{"boxes": boxes, "labels": torch.tensor([2, 1]), "scores": torch.tensor([0.75, image.mean().item()])} for image in images]


def test_detections_are_told_as_coco_tells_them(tmp_path: Path) -> None:
    rectangles(tmp_path, "val", 5, seed=1)
    model, part = Finder().train(), load_scenes(tmp_path, "val")
    rows = detect(model, part, batch_size=2, workers=0)  # type: ignore[arg-type]
    assert model.batches == [2, 2, 1] and [row["image_id"] for row in rows] == [10, 10, 11, 11, 12, 12, 13, 13, 14, 14]
    assert rows[0] == {"image_id": 10, "category_id": 7, "bbox": [10.0, 20.0, 30.0, 50.0], "score": 0.75}
    assert rows[3]["category_id"] == 3 and rows[3]["bbox"] == [1.0, 2.0, 4.0, 2.0]
    for number, (image, row) in enumerate(zip(model.seen, rows[1::2], strict=True)):
        pixels = np.array(Image.open(tmp_path / "images" / f"val-{number}.png")).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(image.numpy(), pixels, atol=1e-6)
        assert row["score"] == pytest.approx(pixels.mean(), abs=1e-4)


def test_each_flag_of_the_evaluation_reaches_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    value = rectangles(tmp_path, "val", 3, seed=1)
    value["annotations"].append({"id": 99, "image_id": 10, "category_id": 3, "bbox": [5, 5, 0, 9]})
    (tmp_path / "val.json").write_text(json.dumps(value))
    (tmp_path / "images").rename(tmp_path / "moved")
    save(random_detector(), tmp_path)
    seen = list[Any]()

    def found(model: Any, part: Any, **told: Any) -> list[Any]:
        seen.append((model.design.class_names, part.scenes[0].file.path, told))
        return [{**about, "score": 0.5} for about in part.truth["annotations"]]

    monkeypatch.setattr(predict, "detect", found)
    monkeypatch.setattr(predict, "pick_device", lambda name: seen.append(name) or torch.device("cpu"))
    command = ["detect", "eval", str(tmp_path), "--data", str(tmp_path / "val.json"), "--images", str(tmp_path / "moved")]
    assert main([*command, "--batch", "5", "--workers", "0", "--device", "cuda:1", "--json"]) == 0
    assert seen == ["cuda:1", (("red", "blue"), str(tmp_path / "moved"), {"batch_size": 5, "workers": 0})]
    figures = json.loads(capsys.readouterr().out)
    assert figures["AP"] == pytest.approx(1) and len(figures) == 12
    assert main(command) == 0
    assert seen[2:] == ["auto", (("red", "blue"), str(tmp_path / "moved"), {"batch_size": 8, "workers": 2})]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("AP    100.00 %") and said[12].startswith("note: 1 annotation without an area: dropped")
    for flags, words in ((["--batch", "0"], "--batch 0"), (["--workers", "-1"], "--workers -1"), (["--device", "nowhere"], "")):
        monkeypatch.undo()
        assert main([*command, *flags]) == 2 and words in capsys.readouterr().err


# --- nasarch detect predict --------------------------------------------------------------------------------------------------


def test_each_flag_of_a_prediction_reaches_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rectangles(tmp_path, "val", 1, seed=1)
    save(random_detector(), tmp_path)
    devices = list[str]()
    monkeypatch.setattr(predict, "pick_device", lambda name: devices.append(name) or torch.device("cpu"))
    image = str(tmp_path / "images" / "val-0.png")
    found = {}
    for number, flags in enumerate(([], ["--score", "0.1"], ["--score", "0.9", "--device", "cuda:2"])):
        assert main(["detect", "predict", str(tmp_path), image, "-o", str(tmp_path / f"out{number}"), *flags]) == 0
        found[number] = json.loads((tmp_path / f"out{number}" / "detections.json").read_text())["val-0.png"]
    assert devices == ["auto", "auto", "cuda:2"]
    all_of_them = found[1]
    assert len(found[0]) < len(all_of_them) and found[0] == [one for one in all_of_them if one["score"] > 0.4][: len(found[0])]
    assert min(one["score"] for one in found[0]) > 0.4 and all(one["score"] > 0.9 for one in found[2])
    scores = [one["score"] for one in all_of_them]
    assert scores == sorted(scores, reverse=True) and min(scores) < 0.4
    model = load(tmp_path, score_threshold=0.1)
    with torch.no_grad():
        (expected,) = model([torch.from_numpy(np.array(Image.open(image))).permute(2, 0, 1) / 255])
    for one, box, label, score in zip(all_of_them, *(expected[key].tolist() for key in ("boxes", "labels", "scores")), strict=True):
        assert one == {"label": label, "name": {1: "red", 2: "blue"}[label], "score": round(score, 4), "box": [round(v, 2) for v in box]}


@pytest.mark.parametrize(("score", "legal"), [("0", True), ("0.999", True), ("1", False), ("-0.001", False)])
def test_a_score_is_from_zero_to_below_one(score: str, legal: bool, tmp_path: Path) -> None:
    rectangles(tmp_path, "val", 1, seed=1)
    save(random_detector(), tmp_path)
    status = main(
        ["detect", "predict", str(tmp_path), str(tmp_path / "images" / "val-0.png"), "-o", str(tmp_path / "out"), "--score", score]
    )
    assert status == (0 if legal else 2)


# --- nasarch export ssd ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [False, True])
def test_each_flag_of_a_detectors_export_reaches_its_file(folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the thresholds of the flags, the folder's config those of the training."""
    save(random_detector(), tmp_path)
    seen = list[Any]()

    def written(model: Any, path: Path) -> SsdReport:
        seen.append((path, model))
        path.write_text("no graph")
        agreement = SsdAgreement(1, 0, 0, 0.0, 0.0, Tolerance(1.0, 1.0), 0)
        return SsdReport(path=path, design=model.design, size_bytes=8, agreement=agreement, torch_ms=1.0, onnx_ms=1.0, threads=1)

    monkeypatch.setattr(export, "write_onnx", written)
    monkeypatch.setattr(export, "draw", lambda *_: None)
    for number, (flags, expected) in enumerate(
        [
            ([], (0.05, 0.55, 300)),
            (["--score", "0.3"], (0.3, 0.55, 300)),
            (["--nms", "0.25"], (0.05, 0.25, 300)),
            (["--detections", "7"], (0.05, 0.55, 7)),
        ]
    ):
        out = tmp_path / (f"out{number}" if folder else f"out{number}.onnx")
        assert main(["export", "ssd", str(tmp_path), "-o", str(out), *flags]) == 0
        path, model = seen.pop()
        design = model.design
        assert path.name == ("model.onnx" if folder else out.name)
        assert (design.score_threshold, design.nms_threshold, design.detections) == expected
        assert (model.score_thresh, model.nms_thresh, model.detections_per_img) == expected and not model.training
        if folder:
            kept = load(out).design
            assert (kept.score_threshold, kept.nms_threshold, kept.detections) == (0.001, 0.55, 300)
            assert f"scores above {expected[0]:g};" in (out / "README.md").read_text()
