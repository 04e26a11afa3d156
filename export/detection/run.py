"""Run of a detector's training in a folder: settings, metrics, the detector and its figures. Trains and evaluates by others.

| file | holds |
|---|---|
| config.json | backbone, settings, seed, data with digest, device, versions, command |
| metrics.jsonl | a line an epoch: losses, learning rate, images/s, memory, seconds |
| checkpoint.pt | the state after the last epoch, or where it was stopped, to resume from; removed at the end |
| model/ | config.json, model.safetensors, genotype.json: `nasarch.export.ssd.detector.load(DIR)` |
| result.json | COCO's twelve figures on the val part, by the weights after the last epoch; and all that led there |
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from timm.models import is_model_pretrained
from torchvision.models.detection.ssd import SSD

from nasarch.atomic import new_folder, write_text
from nasarch.compute import AUTOCAST_DTYPES, environment
from nasarch.export.ssd.backbone import RANDOM, TIMMS, Backbone, build_body
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import assemble, cost, normalization, save
from nasarch.runtime import distributed
from nasarch.runtime.json_files import CONFIG, check_types, read_object, reading, typed_keys
from nasarch.runtime.meter import peak_memory
from nasarch.runtime.options import to_dict, updated
from nasarch.runtime.recorded_data import with_absolute_paths
from nasarch.runtime.run_folder import CHECKPOINT, RESULT, RunFolder, as_json, finished

from .coco import Scenes, with_boxes
from .coco_metrics import coco_figures, detect, evaluator
from .learner import Learner, Progress, fit
from .loader import Epochs
from .settings import DetectOptions, DetectTraining

SAME = ("detector", "settings", "seed", "data", "amp", "processes")  # of config.json, to go on from a checkpoint


@dataclass(frozen=True, kw_only=True)
class DetectPlan:
    """A training in full. `words` is the command line, for the record."""

    backbone: Backbone
    settings: DetectTraining
    job: DetectOptions
    train: Scenes
    val: Scenes | None
    device: torch.device
    words: str


def run(plan: DetectPlan, model: SSD, path: Path, report: Callable[[Progress], None]) -> dict[str, Any]:
    """Train `model`, which `build` made, in the folder `path`, or finish what it holds of that. Returns what is in result.json.

    SIGINT and SIGTERM stop it after the present step with its state saved; a second signal stops it at once.

    Raises:
        ValueError: the checkpoint in the folder is damaged or of another training, or another process is running there; an image can't
            be decoded; the loss is no number.
        KeyboardInterrupt: it was stopped.
    """
    result = finished(path / RESULT, lambda: read_result(path))
    if result is not None:
        return result
    with RunFolder.begin(path, _config(plan, model), SAME) as folder:
        learner = Learner(model, plan.settings, AUTOCAST_DTYPES[plan.job.amp])
        steps = fit(learner, with_boxes(plan.train), plan.job.seed, plan.job.workers, folder.checkpoint)
        folder.follow(steps, report, lambda one: asdict(one) | {"loss": one.loss, "memory": peak_memory()})
        trained = learner.result().eval()
        distributed.run_on_main(lambda: _write_model(trained, path / "model"))  # whatever the evaluation may come to
        result = _result(plan, folder) | {"val": _figures(plan, trained), "cost": cost(trained)._asdict()}
        folder.finish(lambda: write_text(path / RESULT, as_json(result)))
    return result


def read_result(folder: Path) -> dict[str, Any]:
    """The result.json of a finished training in `folder`.

    Raises:
        ValueError: the file is damaged.
    """
    path, remedy = folder / RESULT, "remove it, and train again in another folder"
    result = read_object(path, remedy, train=dict, seconds=float)
    with reading(path, remedy):
        typed_keys(result["train"], loss=float)
        if result["val"] is not None:
            typed_keys(result["val"], images=int)
    return result


def build(plan: DetectPlan, folder: Path) -> SSD:
    """The detector with first weights drawn by the seed; those that the backbone brings are loaded unless `folder` has a checkpoint.

    Raises:
        ValueError: these can't be had or don't fit, or there are too few images for a batch.
    """
    settings, job, train = plan.settings, plan.job, plan.train
    Epochs(
        len(with_boxes(train)), settings.batch_size, job.seed, distributed.rank(), distributed.world_size()
    )  # says so if there are too few
    begins = distributed.broadcast_from_main(not (folder / CHECKPOINT).exists())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        body = build_body(plan.backbone, pretrained=begins and (job.pretrained or job.weights is not None))
        design = Design(
            backbone=plan.backbone.name,
            arguments=plan.backbone.arguments,
            class_names=train.class_names,
            category_ids=train.category_ids,
            size=settings.size,
            head=settings.head,
            extras=settings.extras,
            scales=settings.scales,
            **normalization(body),
        )
        return assemble(design, body).to(plan.device)


def _figures(plan: DetectPlan, trained: SSD) -> dict[str, Any] | None:
    """COCO's figures on the val part, if there is one."""
    if plan.val is None or not plan.job.evaluate:
        return None
    rows = detect(trained, plan.val, batch_size=max(1, plan.settings.batch_size // distributed.world_size()), workers=plan.job.workers)
    figures = coco_figures(plan.val.truth, rows) if distributed.is_main() else {}
    about = {"name": plan.val.name, "images": len(plan.val), "evaluator": evaluator(), "sha256": plan.val.sha256}
    return {**about, **distributed.broadcast_from_main(figures)}


def _write_model(model: SSD, folder: Path) -> None:
    """`folder` is only there when it is complete."""
    try:
        with new_folder(folder, replace=True) as partial:
            save(model, partial)
    except SafetensorError as error:  # of its own writer, on a full disk
        raise ValueError(f"can't write {folder} ({error}); free some space there, and resume the training") from error


def _config(plan: DetectPlan, model: SSD) -> dict[str, Any]:
    train = plan.train
    return {
        "detector": model.design.to_dict(),
        "settings": json.loads(json.dumps(asdict(plan.settings))),  # lists, as they are read back
        "seed": plan.job.seed,
        "amp": plan.job.amp,
        "tf32": plan.job.machine.tf32,
        "deterministic": plan.job.machine.deterministic,
        "processes": distributed.world_size(),
        "detect": with_absolute_paths(to_dict(plan.job)),
        "data": {"name": train.name, "images": len(train), "boxes": train.boxes, "sha256": train.sha256, "remarks": list(train.remarks)},
        **environment(plan.device, "torchvision"),
        "command": plan.words,
    }


def _result(plan: DetectPlan, folder: RunFolder) -> dict[str, Any]:
    last = folder.last
    copied = {
        key: folder.config[key]
        for key in ("settings", "seed", "amp", "tf32", "deterministic", "processes", "data", "device", "threads", "versions")
    }
    timms = plan.job.pretrained and is_model_pretrained(plan.backbone.name)
    weights = plan.backbone.weights
    return copied | {
        "backbone": plan.job.backbone,
        "began_with": f"weights of {weights.name}" if weights is not None else TIMMS if timms else RANDOM,
        "weights": "moving average" if plan.settings.ema else "last epoch",
        "train": {key: last[key] for key in ("classification", "localisation", "loss")},
        "seconds": last["seconds"],
    }


def resumed(folder: Path) -> tuple[DetectTraining, DetectOptions, Backbone]:
    """Settings, options and backbone of the training in `folder`.

    Raises:
        ValueError: there is none, or its config.json is damaged.
    """
    remedy = "give the folder of `nasarch detect train`, with its config.json"
    config = read_object(folder / CONFIG, remedy, settings=dict, detect=dict, detector=dict)
    with reading(folder / CONFIG, remedy):
        settings: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in config["settings"].items()}
        job = updated(DetectOptions(), config["detect"] | {"resume": folder})
        design = Design.from_dict(config["detector"])
        known = {"mean": design.mean, "std": design.std}
        backbone = Backbone(design.backbone, dict(design.arguments or {}), normalization=known)
        return check_types(DetectTraining(**settings)), check_types(job), backbone
