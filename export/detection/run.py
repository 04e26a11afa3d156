"""A training of a detector that leaves a folder: settings, metrics, the detector and its figures. Trains and evaluates by others.

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
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from timm.models import is_model_pretrained
from torchvision.models.detection.ssd import SSD

from nasarch.atomic import write_text
from nasarch.compute import AUTOCAST_DTYPES, device_name
from nasarch.export.ssd.backbone import RANDOM, TIMMS, Backbone, build_body
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import assemble, cost, normalization, save
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint, shared_checkpoint
from nasarch.runtime.meter import peak_memory
from nasarch.runtime.options import to_dict, updated
from nasarch.runtime.run_folder import JsonLines, as_json
from nasarch.search.runs.run import stopping_at_signals

from .coco import Scenes, with_boxes
from .coco_metrics import coco_figures, detect, evaluator
from .learner import Learner, Progress, fit
from .loader import Epochs
from .settings import DetectOptions, DetectTraining

PACKAGES = ("nasarch", "torch", "torchvision", "timm")
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


def run(plan: DetectPlan, model: SSD, folder: Path, report: Callable[[Progress], None]) -> dict[str, Any]:
    """Train `model`, which `build` made, or finish what `folder` holds of that. Returns what is in result.json.

    SIGINT and SIGTERM stop it after the present step with everything kept; a second signal stops it at once.

    Raises:
        ValueError: the checkpoint in the folder is damaged or of another training; an image can't be decoded; the loss is no number.
        KeyboardInterrupt: it was stopped.
    """
    if (finished := distributed.run_on_main(lambda: _finished(folder))) is not None:
        return finished
    config = _config(plan, model)
    checkpoint = shared_checkpoint(folder / "checkpoint.pt", {key: config[key] for key in SAME})
    if distributed.is_main():
        write_text(folder / "config.json", as_json(config))
    learner = Learner(model, plan.settings, AUTOCAST_DTYPES[plan.job.amp])
    with stopping_at_signals(checkpoint):
        last = _follow(learner, plan, checkpoint, folder, report)
    trained = learner.result().eval()
    distributed.run_on_main(lambda: _write_model(trained, folder / "model"))  # whatever the evaluation may come to
    result = _result(plan, config, last) | {"val": _figures(plan, trained), "cost": cost(trained)._asdict()}
    if distributed.is_main():
        write_text(folder / "result.json", as_json(result))
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    return result


def _finished(folder: Path) -> dict[str, Any] | None:
    """What a training that is over gave."""
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): remove it, and train again in another folder") from error


def build(plan: DetectPlan, folder: Path) -> SSD:
    """The detector with first weights drawn by the seed; those that the backbone brings are loaded unless `folder` has a checkpoint.

    Raises:
        ValueError: these can't be had or don't fit, or there are too few images for a batch.
    """
    settings, job, train = plan.settings, plan.job, plan.train
    Epochs(
        len(with_boxes(train)), settings.batch_size, job.seed, distributed.rank(), distributed.world_size()
    )  # says so if there are too few
    begins = distributed.broadcast_from_main(not (folder / "checkpoint.pt").exists())
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


def _follow(learner: Learner, plan: DetectPlan, checkpoint: Checkpoint, folder: Path, report: Callable[[Progress], None]) -> dict[str, Any]:
    """Drive the training to its end, writing down every epoch; what was written of epochs to be trained again is dropped."""
    scenes, begun = with_boxes(plan.train), checkpoint.epochs
    lines, start = JsonLines(folder / "metrics.jsonl", begun), time.perf_counter()
    before = json.loads(lines.lines[-1])["seconds"] if lines.lines else 0.0
    for progress in fit(learner, scenes, plan.job.seed, plan.job.workers, checkpoint):
        if not distributed.is_main():
            continue
        report(progress)
        if progress.ends_epoch:
            seconds = round(before + time.perf_counter() - start, 3)
            lines.add(asdict(progress) | {"loss": progress.loss, "memory": peak_memory(), "seconds": seconds})
    return distributed.broadcast_from_main(json.loads(lines.lines[-1]) if distributed.is_main() else {})


def _figures(plan: DetectPlan, trained: SSD) -> dict[str, Any] | None:
    """COCO's figures on the val part, if there is one."""
    if plan.val is None or not plan.job.evaluate:
        return None
    rows = detect(trained, plan.val, batch_size=max(1, plan.settings.batch_size // distributed.world_size()), workers=plan.job.workers)
    found = coco_figures(plan.val.truth, rows) if distributed.is_main() else {}
    about = {"name": plan.val.name, "images": len(plan.val), "evaluator": evaluator(), "sha256": plan.val.sha256}
    return {**about, **distributed.broadcast_from_main(found)}


def _write_model(model: SSD, folder: Path) -> None:
    """`folder` is only there when it is complete."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        save(model, partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        raise ValueError(f"can't write {folder}: {error.strerror or error}; free some space there, and resume the training") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _config(plan: DetectPlan, model: SSD) -> dict[str, Any]:
    train = plan.train
    return {
        "detector": model.design.to_dict(),
        "settings": json.loads(json.dumps(asdict(plan.settings))),  # lists, as they are read back
        "seed": plan.job.seed,
        "amp": plan.job.amp,
        "tf32": plan.job.machine.tf32,
        "processes": distributed.world_size(),
        "detect": to_dict(plan.job),
        "data": {"name": train.name, "images": len(train), "boxes": train.boxes, "sha256": train.sha256, "remarks": list(train.remarks)},
        "device": device_name(plan.device),
        "threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
        "command": plan.words,
    }


def _result(plan: DetectPlan, config: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    said = {key: config[key] for key in ("settings", "seed", "amp", "tf32", "processes", "data", "device", "threads", "versions")}
    return said | {
        "backbone": plan.job.backbone,
        "began_with": _began_with(plan),
        "weights": "moving average" if plan.settings.ema else "last epoch",
        "train": {key: last[key] for key in ("classification", "localisation", "loss")},
        "seconds": last["seconds"],
    }


def _began_with(plan: DetectPlan) -> str:
    """Where the backbone's first weights were from."""
    if plan.backbone.weights is not None:
        return f"weights of {plan.backbone.weights.name}"
    return TIMMS if plan.job.pretrained and is_model_pretrained(plan.backbone.name) else RANDOM


def told_before(folder: Path) -> tuple[DetectTraining, DetectOptions, Backbone]:
    """Settings, job and backbone of the training in `folder`.

    Raises:
        ValueError: there is none.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in config["settings"].items()}
        job = updated(DetectOptions(), config["detect"] | {"resume": folder})
        design = Design.from_dict(config["detector"])
        known = {"mean": design.mean, "std": design.std}
        return DetectTraining(**settings), job, Backbone(design.backbone, dict(design.arguments or {}), normalization=known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"no training to resume in {folder} ({error}): give the folder of `nasarch detect train`, with its config.json"
        ) from error
