"""A detector on the simulated device: its training through `detect_train.fit`, and what it finds in images (`detect_eval.detect`).

Where values decide how many there are, all are taken: every anchor matches a box, every class of every anchor is above the threshold and
survives the suppression. Not run: the suppression class by class, which torchvision takes on a GPU from 25,000 boxes an image on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from nasarch.export.detection import learner as detect_train
from nasarch.export.detection.coco import load_scenes, with_boxes
from nasarch.export.detection.coco_metrics import detect
from nasarch.export.detection.learner import Learner
from nasarch.export.detection.run import build
from nasarch.export.detection.settings import DetectTraining
from nasarch.runtime.checkpoint import Checkpoint
from tests.helpers.small_detector import SETTINGS, data, plan
from tests.simulated_cuda.searches import cuda_during
from tests.simulated_cuda.steps import STEP
from tests.simulated_cuda.watch import SimulatedCuda

IMAGES, FOUND_IN = 8, 3
STEPS = 2 * IMAGES // SETTINGS.batch_size  # two epochs
PLAIN = replace(SETTINGS, epochs=2, clip=0.0)


def training(settings: DetectTraining, precision: torch.dtype | None, cuda: SimulatedCuda) -> None:
    """All steps of a training, with a report after each."""
    with tempfile.TemporaryDirectory() as folder:
        told = replace(plan(data(Path(folder), IMAGES, FOUND_IN), settings), device=torch.device("cuda"))
        learner = Learner(build(told, Path(folder)), settings, precision)
        step = learner.step
        with (
            mock.patch.object(learner, "step", lambda *told: cuda_during(cuda, STEP, step, *told)),
            mock.patch("nasarch.runtime.loop.INTERVAL", 0.0),
        ):
            reports = [*detect_train.fit(learner, with_boxes(told.train), 0, 0, Checkpoint())]
    assert len(reports) == STEPS and reports[-1].ends_epoch
    assert {x.device.type for x in [*learner.result().parameters(), *learner.result().buffers()]} == {"cuda"}


def prediction(cuda: SimulatedCuda) -> None:
    with tempfile.TemporaryDirectory() as folder:
        told = replace(plan(data(Path(folder), IMAGES, FOUND_IN), PLAIN), device=torch.device("cuda"))
        model = build(told, Path(folder))
        with cuda.during(STEP):
            rows = detect(model, load_scenes(Path(folder), "val"), batch_size=2, workers=0)
    assert len(rows) == FOUND_IN * model.detections_per_img


def cases() -> dict[str, Callable[[SimulatedCuda], None]]:
    return {
        "plain": partial(training, PLAIN, None),
        "clipping, moving average": partial(training, replace(PLAIN, clip=5.0, ema=0.9), None),
        "dense heads, bf16": partial(training, replace(PLAIN, head="dense"), torch.bfloat16),
        "prediction": prediction,
    }
