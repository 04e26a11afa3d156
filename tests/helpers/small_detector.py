"""Detectors of seconds: drawn rectangles in COCO's format, a backbone of three cells, a training of them, and a detector without one."""

from __future__ import annotations

import atexit
import json
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image

from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.export import export_ssd
from nasarch.export.detection.run import DetectPlan
from nasarch.export.detection.settings import DetectOptions, DetectTraining
from nasarch.export.detection.train import _backbone
from nasarch.export.samples import sample_pixels
from nasarch.export.ssd.detector import save, ssd
from nasarch.runtime.options import updated

CATEGORIES = [{"id": 7, "name": "blue"}, {"id": 3, "name": "red"}]  # ids with gaps, not in order
COLOURS = {3: (220, 40, 40), 7: (40, 60, 220)}
SMALL: dict[str, Any] = {"size": 96, "cells": 3, "channels": 8, "extras": (32, 32, 32, 32)}
THRESHOLD = 0.95  # what grey images stay below
SETTINGS = DetectTraining(**SMALL, epochs=3, batch_size=4, lr=0.02, clip=5.0)


def rectangles(folder: Path, part: str, count: int, seed: int, size: tuple[int, int] = (96, 120)) -> dict[str, Any]:
    """Images of `size` (H, W) with one or two coloured rectangles on noise, in `folder`/images, and their annotations."""
    chance, images, annotations = np.random.default_rng(seed), [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = chance.integers(90, 140, (*size, 3), dtype=np.uint8)
        for half in range(chance.integers(1, 3)):
            category = int(chance.choice([3, 7]))
            width, height = (int(value) for value in chance.integers(24, 44, 2))
            x, y = int(chance.integers(0, size[1] // 2 - width)) + half * size[1] // 2, int(chance.integers(0, size[0] - height))
            pixels[y : y + height, x : x + width] = COLOURS[category]
            box = [x, y, width, height]
            annotations.append({"id": len(annotations) + 1, "image_id": 10 + number, "category_id": category, "bbox": box})
        name = f"{part}-{number}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        images.append({"id": 10 + number, "file_name": name, "height": size[0], "width": size[1]})
    value = {"images": images, "annotations": annotations, "categories": [dict(category) for category in CATEGORIES]}
    (folder / f"{part}.json").write_text(json.dumps(value))
    return value


def data(folder: Path, train: int = 16, val: int = 6) -> Path:
    """A folder with a train and a val part."""
    rectangles(folder, "train", train, seed=0)
    rectangles(folder, "val", val, seed=1)
    return folder


def job(data: Path, out: Path, **told: Any) -> DetectOptions:
    return updated(DetectOptions(), {"data": data, "out": out, "workers": 0, "device": "cpu"} | told)


def command(data: Path, out: Path, *more: str) -> list[str]:
    """The same on the command line."""
    flags = ["--size", "96", "--cells", "3", "--channels", "8", "--extras", "32", "32", "32", "32", "--batch-size", "4", "--clip", "5"]
    return ["detect", "train", "--data", str(data), "--out", str(out), *flags, "--workers", "0", "--device", "cpu", "--lr", "0.02", *more]


def plan(folder: Path, settings: DetectTraining = SETTINGS, **told: Any) -> DetectPlan:
    what, part = job(folder, folder / "run", **told), load_scenes(folder, "train")
    return DetectPlan(
        backbone=_backbone(settings, what), settings=settings, job=what, train=part, val=None, device=torch.device("cpu"), words="nasarch"
    )


def random_detector(**changes: Any) -> Any:
    """Of three cells and two classes, whose heads say something about the image."""
    torch.manual_seed(0)
    body = timm.create_model("nas_224", genotype="pc_darts_imagenet", cells=3, channels=4)
    model = telling(ssd(body, 3, size=64, extras=(16, 16), class_names=("red", "blue"), **changes))
    model.design = replace(model.design, category_ids=(3, 7))
    return model


@cache
def exported_detector() -> Path:
    """The folder for the Hub of that detector, made once in a process; its ONNX file finds nothing in grey images."""
    place = tempfile.TemporaryDirectory(prefix="detector")
    atexit.register(place.cleanup)
    (Path(place.name) / "trained").mkdir()
    save(random_detector(), Path(place.name) / "trained")
    report = export_ssd(Path(place.name) / "trained", Path(place.name) / "hub", score=THRESHOLD)
    assert report.agreement.holds and report.agreement.unmatched == 0 and f"{place.name}/hub" in str(report)
    return Path(place.name) / "hub"


def telling(model: Any) -> Any:
    """A random detector whose scores depend on the image, by the statistics of images and larger heads."""
    size = model.design.size
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # so that one pass gives it the statistics of images
    with torch.no_grad():
        model.train().head([*model.backbone(sample_pixels(16, 3, size, size).permute(0, 3, 1, 2).float() / 64 - 2).values()])
        for name, parameter in model.head.named_parameters():
            if name.endswith(".1.weight") and parameter.ndim == 4:
                parameter.mul_(8 if "classification" in name else 2)
    return model.eval()
