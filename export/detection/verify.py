"""Whether an ONNX detector still finds what the detector in a folder finds: the check of the export, on any images at any time.

| images | are |
|---|---|
| none | those of the export: shapes and grain in two sizes, and grey ones |
| a data set, a folder or a .json file in COCO's format | those, and the images of its val part |
| any other folder | those, and the images in it |
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor, nn

from nasarch.export.onnx.check import ExportError
from nasarch.export.onnx.properties import digest
from nasarch.export.onnx.uint8_input import PIXELS
from nasarch.export.onnx.untrusted import UntrustedModel
from nasarch.export.ssd.check import compare, sample_batches
from nasarch.export.ssd.detector import load
from nasarch.export.ssd.graph import OUTPUTS

from .detect_images import find_images

THRESHOLDS = {"score_threshold": float, "nms_threshold": float, "detections": int}


def is_detector(file: UntrustedModel) -> bool:
    """Whether a file says that it was written by `nasarch export ssd`."""
    return {*THRESHOLDS} <= file.properties.keys()


def verify_detector(
    file: UntrustedModel, model: str, checkpoint: str | os.PathLike[str] | None = None, images: str | None = None
) -> tuple[str, ...]:
    """What was compared of `file` and the detector in the folder `model`, in words.

    Args:
        images: see the table.

    Raises:
        ValueError: no such detector or images; the file was made of other weights, can't be run, or finds something else.
    """
    if checkpoint is not None:
        raise ValueError("--checkpoint names the weights of a classifier; a detector's are in the folder that --model names: leave it out")
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
    found = [f"SSD on {detector.design.network} with the weights of sha256 {own[:12]}..."]
    for name, batches in _shown(detector.design.size, images):
        agreement = compare(detector, file.session, batches)
        if not agreement.holds:
            raise ExportError(f"refused: on {name} {file.path} finds something else than torchvision's SSD: {agreement}; export it again")
        found.append(f"checked on {name}: {agreement}")
    return tuple(found)


def _thresholds(file: UntrustedModel) -> dict[str, float]:
    try:
        return {name: kind(json.loads(file.properties[name])) for name, kind in THRESHOLDS.items()}
    except (ValueError, TypeError, RecursionError) as error:
        raise ExportError(f"{file.path} has thresholds that are no numbers ({error}); export it again") from error


def _shown(size: int, images: str | None) -> Iterator[tuple[str, Iterable[Tensor]]]:
    """Batches uint8 [B, H, W, 3], and what they are."""
    named = None if images is None else find_images(Path(images))
    yield "images made up", sample_batches(size)
    if named is not None:
        yield f"{len(named):,} images of {named.name}", named
