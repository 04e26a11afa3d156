"""`nasarch detect train`: plan, training and report of a detector."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from torchvision.models.detection.ssd import SSD

from nasarch.compute import device_name, keep_freed_memory
from nasarch.console import command_line
from nasarch.console import console as plain_console
from nasarch.export.ssd.backbone import Backbone, find_backbone
from nasarch.export.ssd.detector import cost
from nasarch.runtime import distributed
from nasarch.runtime.claim import claimed
from nasarch.runtime.progress import ProgressDisplay, duration
from nasarch.runtime.recorded_data import check_digest, moved_data, recorded_data
from nasarch.runtime.seeds import run_seeds

from .coco import Scenes, find_annotations, load_scenes, with_boxes
from .coco_metrics import evaluator
from .coco_metrics import lines as figure_lines
from .learner import Progress
from .loader import check_images
from .parts import training_part, with_classes
from .run import DetectPlan, build, resumed, run
from .settings import DetectOptions, DetectTraining


def train(settings: DetectTraining, job: DetectOptions) -> None:
    """Train a detector, or finish that."""
    kept: Backbone | None = None
    if job.output.resume is not None:
        asked = job
        settings, job, kept = resumed(job.output.resume)
        job = moved_data(job, asked, DetectOptions(), ("data", "also", "exclude", "images", "val", "val_images"))
    if job.data is None:
        raise ValueError("no data: give --data DIR with train.json, or a .json file with annotations in COCO's format")
    with job.machine.started() as device:
        backbone = _backbone(settings, job) if kept is None else kept._replace(weights=_weights(job))
        with claimed(job.output.resume, job.output.out, "detect", job.backbone, job.data) as folder:
            part = training_part(job.data, job.images, job.also, job.exclude)
            if job.output.resume is not None:
                known = recorded_data(folder)
                check_digest(part.sha256, known, folder)
                part = replace(part, name=known["name"])
            val = _val(job, part)
            for scenes in (part, val):
                if scenes is not None:
                    check_images(scenes)
            words = command_line()
            _train(DetectPlan(backbone=backbone, settings=settings, job=job, train=part, val=val, device=device, words=words), folder)


def _backbone(settings: DetectTraining, job: DetectOptions) -> Backbone:
    return find_backbone(job.backbone, cells=settings.cells, channels=settings.channels)._replace(weights=_weights(job))


def _weights(job: DetectOptions) -> Path | None:
    """The file with the backbone's weights, if one is named or lies in the backbone's folder."""
    if job.weights is not None or not job.pretrained or not Path(job.backbone).is_dir():
        return job.weights
    return find_backbone(job.backbone).weights


def _val(job: DetectOptions, train: Scenes) -> Scenes | None:
    """Validation part, which has to have the classes that are trained.

    Raises:
        ValueError: there is none, it has other classes, or nothing is installed that could evaluate.
    """
    if not job.evaluate:
        return None
    assert job.data is not None
    path = job.val or (find_annotations(job.data, "val") if job.data.is_dir() else None)
    if path is None:
        raise ValueError(f"{job.data} has no val part to evaluate on: give --val FILE.json, or train all the same with --no-evaluate")
    evaluator()
    scenes = load_scenes(path, "val", job.val_images)
    scenes = with_classes(scenes, train.class_names, train.category_ids, str(train.path))
    return replace(scenes, name=f"{path.parent.name}/{path.stem}")


def _train(plan: DetectPlan, folder: Path) -> None:
    if plan.device.type == "cpu":
        keep_freed_memory()
    console = plain_console(quiet=not distributed.is_main())
    model = build(plan, folder)
    _introduce(plan, str(cost(model)), console)
    (result,) = run_seeds(
        lambda seed, path: _one(plan, model, path, console), [plan.job.seed], folder, config={}, command="detect train", console=console
    )
    console.print(f"loss {result['train']['loss']:.3f} in the last epoch; {duration(result['seconds'])}", soft_wrap=True)
    if result["val"] is not None:
        name = "the val part" if plan.val is None else plan.val.name
        figures = {name: value for name, value in result["val"].items() if isinstance(value, float)}
        console.print("\n".join([f"on the {result['val']['images']} images of {name}:", *figure_lines(figures)]), soft_wrap=True)
    use = command_line("detect", "predict", folder, "IMAGE", "-o", "DIR"), command_line("export", "ssd", folder, "-o", "model.onnx")
    console.print(f"result: {folder / 'result.json'}\nnext:   {'; '.join(use)}", soft_wrap=True)


def _one(plan: DetectPlan, model: SSD, folder: Path, console: Console) -> dict[str, Any]:
    with ProgressDisplay(console) as display:
        return run(plan, model, folder, partial(report, display))


def _introduce(plan: DetectPlan, costs: str, console: Console) -> None:
    """Print detector, data and cost before the training."""
    part, settings, where = plan.train, plan.settings, device_name(plan.device)
    processes = f", {distributed.world_size()} processes" if distributed.world_size() > 1 else ""
    learning = len(with_boxes(part))
    left_out = f", {len(part) - learning} without a box left out" if learning < len(part) else ""
    console.print(f"SSD on {plan.job.backbone}, {settings.size}x{settings.size}, {settings.head} heads; {where}{processes}", soft_wrap=True)
    console.print(f"{part.name}: {learning:,} images, {part.boxes:,} boxes, {len(part.class_names)} classes{left_out}", soft_wrap=True)
    console.print(costs, soft_wrap=True)
    remarks: list[Any] = [*part.remarks, *(() if plan.val is None else plan.val.remarks)]
    for words in remarks:
        console.print(f"note: {words}", soft_wrap=True)


def report(display: ProgressDisplay, progress: Progress) -> None:
    """Show the epoch, the step and the losses of a training."""
    losses = f"loss {progress.loss:.3f} (classes {progress.classification:.3f}, boxes {progress.localisation:.3f})"
    display.say(
        f"epoch {progress.epoch} of {progress.epochs}",
        f"{losses}, {progress.images_per_second:,.0f} images/s",
        (progress.epoch - 1) * progress.steps + progress.step,
        progress.steps * progress.epochs,
        ends=progress.ends_epoch,
        step=f", step {progress.step} of {progress.steps}",
    )
