"""Stage export: what a model on the GPU becomes as an ONNX file, and a detector's step and prediction there.

Differences are relative: of logits to how much they vary between images, of heads and losses to their own size. The CPU's side is PyTorch
for the detector, in float64 for its prediction, and onnxruntime for the classifier.
"""

from __future__ import annotations

import copy
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor

from nasarch.export.detection.learner import Learner
from nasarch.export.detection.loader import Batch
from nasarch.export.detection.predict import detections
from nasarch.export.detection.settings import DetectTraining
from nasarch.export.onnx.check import variation
from nasarch.export.onnx.float32 import export_onnx
from nasarch.export.onnx.session import open_session
from nasarch.export.onnx.session import run as run_onnx
from nasarch.export.samples import sample_images, sample_pixels
from nasarch.export.ssd.detector import ssd

from .context import Context

MODELS = ("pc_darts_cifar_shallow", "ftso_cifar_shallow")  # trained weights that the package holds, so that images differ in their logits
IMAGES, CLASSES = 32, 4
SIZE, BATCH = 320, 8
SMALL_SIZE, SMALL_BATCH = 96, 2
SMALL_BACKBONE: dict[str, Any] = {"genotype": "pc_darts_imagenet", "cells": 3, "channels": 8}


def run(context: Context) -> None:
    """The files, then the detector."""
    for name in MODELS[: 1 if context.small else None]:
        context.attempt(f"onnx, {name}", partial(exported, context.device, name))
    context.attempt("ssd, step", partial(detector_step, context))
    context.attempt("ssd, prediction", partial(prediction, context))


def exported(device: str, name: str) -> dict[str, Any]:
    """The file of a model on the device, and its logits in onnxruntime against the model's own there."""
    model = timm.create_model(name, pretrained=True).to(device).eval()
    with tempfile.TemporaryDirectory() as folder:
        report = export_onnx(model, Path(folder) / "model.onnx")
        session = open_session(report.path)
    images = sample_images(IMAGES, *report.input_size)
    with torch.inference_mode():
        ours = model(images.to(device)).cpu()
    theirs = run_onnx(session, images)
    return {
        "bytes": report.size_bytes,
        "difference": float((ours - theirs).abs().max()) / variation(theirs),
        "same_class": float((ours.argmax(1) == theirs.argmax(1)).float().mean()),
        "classes": len(set(theirs.argmax(1).tolist())),
        "check_difference": report.agreement.difference / report.agreement.scale,
        "still_on": next(model.parameters()).device.type,
    }


def detector(context: Context) -> Any:
    """With random weights, on the CPU; its BN has the statistics of images."""
    torch.manual_seed(0)
    if context.small:
        model = ssd(timm.create_model("nas_224", **SMALL_BACKBONE), CLASSES, size=SMALL_SIZE, extras=(32, 32, 32, 32))
    else:
        model = ssd("pc_darts_imagenet", CLASSES, size=SIZE)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        heads(model.train(), images(context))
    return model.eval()


def images(context: Context) -> Tensor:
    """uint8 [B, 3, size, size]."""
    size, count = (SMALL_SIZE, SMALL_BATCH) if context.small else (SIZE, BATCH)
    return sample_pixels(count, 3, size, size).permute(0, 3, 1, 2).contiguous()


def heads(model: Any, pixels: Tensor) -> dict[str, Tensor]:
    """What the detector's heads say of the images."""
    x = pixels.to(next(model.parameters())) / 64 - 2
    return model.head([*model.backbone(x).values()])


def detector_step(context: Context) -> dict[str, Any]:
    """The losses of a training step on the device, against the CPU's of the same weights; and that the step moves the weights."""
    model, pixels = detector(context), images(context)
    size = float(pixels.shape[-1])
    boxes = torch.tensor([[0.1, 0.1, 0.6, 0.5], [0.5, 0.4, 0.9, 0.9]]) * size
    batch = Batch(pixels, [{"boxes": boxes, "labels": torch.tensor([1, 2])} for _ in pixels])
    settings = DetectTraining(size=int(size), batch_size=len(pixels), lr=0.01)
    there = Learner(copy.deepcopy(model).to(context.device).train(), settings)
    truth = float(sum(Learner(copy.deepcopy(model).train(), settings).losses(batch).values()).detach())
    before = [p.detach().clone() for p in there.model.parameters()]
    losses = [float(there.step(batch, number, settings.lr).sum()) for number in range(3)]
    moved = sum(not torch.equal(a, b) for a, b in zip(before, there.model.parameters(), strict=True))
    return {"losses": losses, "difference": abs(losses[0] - truth) / truth, "moved": moved, "weights": len(before)}


@torch.inference_mode()
def prediction(context: Context) -> dict[str, Any]:
    """What the heads say on the device, against float64 on the CPU; and the boxes of an image."""
    model, pixels = detector(context), images(context)
    there = copy.deepcopy(model).to(context.device)
    truth, ours = heads(copy.deepcopy(model).double(), pixels), heads(there, pixels)
    apart = {name: float((ours[name].cpu() - value).norm() / value.norm()) for name, value in truth.items()}
    image = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
    found = detections(there, image)
    inside = all(0 <= a <= image.width for one in found for a in one["box"])
    return {"difference": max(apart.values()), "boxes": len(found), "inside": inside, "boxes_on_cpu": len(detections(model, image))}
