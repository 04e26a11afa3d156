"""Run of a detector's training: design, initial weights, what is recorded and saved, and what a resumed run takes from its folder."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import nasarch
from nasarch.export.detection import coco_metrics, learner
from nasarch.export.detection import run as detect_run
from nasarch.export.detection import train as detect_command
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.coco_metrics import detect
from nasarch.export.detection.learner import Learner, Progress, fit
from nasarch.export.detection.loader import Drawn, transforms
from nasarch.export.detection.run import build, run
from nasarch.export.detection.settings import DetectOptions, DetectTraining
from nasarch.export.detection.train import train
from nasarch.export.ssd.detector import cost, load
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.options import updated
from tests.helpers.small_detector import SETTINGS, plan, random_detector, rectangles


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
    expected = {
        "seed": 4,
        "amp": "off",
        "tf32": False,
        "deterministic": False,
        "processes": 1,
        "threads": torch.get_num_threads(),
        "command": what.words,
    }
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
    said = ("settings", "seed", "amp", "tf32", "deterministic", "processes", "data", "device", "threads", "versions")
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
