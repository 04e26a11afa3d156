"""Verify an ONNX detector against the detector in a folder: the check of the export, on any images at any time.

| images | are |
|---|---|
| none | those of the export: shapes and grain in two sizes, and grey ones |
| a data set, a folder or a .json file in COCO's format | those, and the images of its val part |
| any other folder | those, and the images in it |
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nasarch.data.decoding import open_image
from nasarch.data.folders import SUFFIXES
from nasarch.data.image_files import File
from nasarch.export.errors import ExportError
from nasarch.export.onnx.properties import checked_properties
from nasarch.export.onnx.uint8_input import PIXELS
from nasarch.export.onnx.untrusted import UntrustedModel
from nasarch.export.source.config import digest
from nasarch.export.ssd.check import compare, sample_batches
from nasarch.export.ssd.detector import load
from nasarch.export.ssd.graph import OUTPUTS, Detections, properties

from .coco import find_annotations, load_scenes

THRESHOLDS = {"score_threshold": float, "nms_threshold": float, "detections": int}


def is_detector(file: UntrustedModel) -> bool:
    """Whether a file says that it was written by `nasarch export ssd`."""
    return {*THRESHOLDS} <= file.properties.keys()


def verify_detector(
    file: UntrustedModel,
    model: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    images: str | None = None,
) -> tuple[str, ...]:
    """Compare the detections of an ONNX file with those of the detector in the folder `model`; the findings, a line each.

    Args:
        model: None compares nothing.
        images: see the table.

    Raises:
        ValueError: no such detector or images; the file was made of other weights, can't be run, or finds something else.
    """
    if checkpoint is not None or data is not None:
        flag, what = ("--data", "data set") if checkpoint is None else ("--checkpoint", "weights")
        raise ValueError(f"{flag} names the {what} of a classifier; a detector's are in the folder that --model names: leave it out")
    if model is None:
        return (f"a detector ({file.properties.get('architecture')}), here only read: --model RUN|FOLDER compares what it finds",)
    if [*file.inputs] != [PIXELS] or not {*OUTPUTS} <= file.outputs.keys():
        raise ExportError(
            f"{file.path} takes {', '.join(file.inputs)} and gives {', '.join(file.outputs)}, which no detector does; export it again"
        )
    detector = load(model, **_thresholds(file))
    own = digest(nn.ModuleDict({"backbone": detector.backbone, "head": detector.head}))
    stated = file.properties.get("weights_sha256", own)
    if stated != own:
        raise ExportError(
            f"{file.path} was made of other weights (sha256 {stated[:12]}...) than {model} has ({own[:12]}...); give its own by --model"
        )
    equal = checked_properties(file, {k: v for k, v in properties(Detections(detector)).items() if k != "nasarch_version"})
    checks = [f"SSD on {detector.design.network} with the weights of sha256 {own[:12]}..."]
    shown: dict[str, Iterable[Tensor]] = {"images made up": sample_batches(detector.design.size)}
    if images is not None:
        named = find_images(Path(images))
        shown[f"{len(named):,} images of {named.name}"] = named
    for name, batches in shown.items():
        agreement = compare(detector, file.session, batches)
        if not agreement.holds:
            raise ExportError(f"refused: on {name} {file.path} finds something else than torchvision's SSD: {agreement}; export it again")
        checks.append(f"checked on {name}: {agreement}")
    return (*checks, *equal)


def _thresholds(file: UntrustedModel) -> dict[str, float]:
    try:
        return {name: kind(json.loads(file.properties[name])) for name, kind in THRESHOLDS.items()}
    except (ValueError, TypeError, RecursionError) as error:
        raise ExportError(f"{file.path} has thresholds that are no numbers ({error}); export it again") from error


# ---- the images


@dataclass(frozen=True, kw_only=True)
class Images:
    """Iterating decodes them anew: uint8 [1, H, W, 3], or ValueError where one is no image."""

    name: str
    files: Sequence[File]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Tensor]:
        return (torch.from_numpy(np.array(open_image(file)))[None] for file in self.files)


def find_images(path: Path) -> Images:
    """The images of the val part of `path`, a folder or a .json file in COCO's format; of any other folder those in it, sorted by name.

    Raises:
        ValueError: there is no such path, no image in it, or its annotations can't be used.
    """
    if path.is_file() or (path.is_dir() and find_annotations(path, "val") is not None):
        part = load_scenes(path, "val")
        return Images(name=part.name, files=[scene.file for scene in part.scenes])
    names = _names(path)
    if not names:
        raise ValueError(f"{path} has no images in it; give a folder of images, or a data set with val.json")
    return Images(name=path.resolve().name, files=[File(str(path), name) for name in names])


def _names(folder: Path) -> list[str]:
    """Names of the image files in a folder."""
    try:
        images = sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and entry.name.lower().endswith(SUFFIXES))
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"can't read {folder}: {reason}; give a folder of images, or a data set with val.json") from error
    return [name for name in images if not name.startswith(".")]
