"""Numerical check of an ONNX detector: the same boxes, scores and labels as torchvision's SSD, in whatever order.

Two detections are the same if they have one label, and boxes and scores that differ by no more than a tolerance, which is measured: ten
times the largest difference between the float32 and the float64 heads of the PyTorch model on the same images. Scores at the edge of what
is kept (the score threshold, or the last rank among the best D) may be in or out. So may a box that overlaps a better one by NMS'
threshold to rounding; how often that happens is measured too, between torchvision in float32 and in float64: between two runs in float32,
both of which round, there may be twice as many, and four.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import onnxruntime
import torch
from torch import Tensor
from torchvision.models.detection.ssd import SSD

from nasarch.export.errors import ExportError, first_line
from nasarch.export.onnx.uint8_input import PIXELS
from nasarch.export.samples import sample_pixels

from .graph import OUTPUTS, Detections

NOISE_FACTOR = 10
MIN_BOX_TOLERANCE, MIN_SCORE_TOLERANCE = 0.01, 1e-5  # pixels of the resized image; share
FLIPS = 4  # detections that NMS may decide otherwise where float64 decides none so: two boxes, each in the other's place
DetectionResult = Mapping[str, Tensor]  # boxes [N, 4], scores [N], labels [N]


class Tolerance(NamedTuple):
    """Of a box's corners, in pixels of the resized image, and of a score."""

    box: float
    score: float


class SsdAgreement(NamedTuple):
    """What was compared: detections of both sides, those without a partner, the largest differences of the others.

    `flips` is how many torchvision's float32 has that its float64 has not, and the other way round.
    """

    detections: int
    unmatched: int
    flips: int
    box: float
    score: float
    tolerance: Tolerance
    empty: int  # images without a detection

    @property
    def holds(self) -> bool:
        return self.unmatched <= 2 * self.flips + FLIPS

    def __str__(self) -> str:
        return (
            f"{self.detections:,} detections, {self.unmatched} without a partner (torchvision's float32 and float64: {self.flips}), "
            f"{self.empty} images without one; the others within {self.box:.1e} pixels (allowed {self.tolerance.box:.1e}) and "
            f"{self.score:.1e} of the score (allowed {self.tolerance.score:.1e})"
        )


def sample_batches(size: int) -> list[Tensor]:
    """Batches of images, uint8 [B, H, W, 3]: shapes and grain in two sizes, and grey ones with nothing in them."""
    grey = torch.full((1, size, size, 3), 128, dtype=torch.uint8)
    square, other = sample_pixels(2, 3, size, size), sample_pixels(2, 3, size + 40, size // 2 + 16)
    return [square[:1], torch.cat([square, grey]), other]


@torch.inference_mode()
def compare(model: SSD, session: onnxruntime.InferenceSession, batches: Iterable[Tensor]) -> SsdAgreement:
    """How the detections of `session` and those of `model`, in evaluation mode in float32, differ on batches of uint8 [B, H, W, 3].

    The batches are asked for twice: for the tolerance, and to compare.

    Raises:
        ExportError: onnxruntime can't run the file on them.
    """
    exact, limits = copy.deepcopy(model).double(), (model.score_thresh, model.detections_per_img)
    tolerance = measured(model, exact, batches)
    total = unmatched = flips = empty = 0
    box = score = 0.0
    for batch in batches:
        images = batch.permute(0, 3, 1, 2)
        eager, double = model([*(images.float() / 255)]), exact([*(images.double() / 255)])
        scale = max(batch.shape[1:3]) / model.design.size
        for onnx_outputs, eager_outputs, precise in zip(run(session, batch), eager, double, strict=True):
            missed = match(onnx_outputs, eager_outputs, tolerance, scale, *limits)
            flips += match(eager_outputs, precise, tolerance, scale, *limits).unmatched
            total += len(onnx_outputs["scores"]) + len(eager_outputs["scores"])
            unmatched += missed.unmatched
            empty += not len(eager_outputs["scores"])
            box, score = max(box, missed.box), max(score, missed.score)
    return SsdAgreement(total, unmatched, flips, box, score, tolerance, empty)


def measured(model: SSD, exact: SSD, batches: Iterable[Tensor]) -> Tolerance:
    """The tolerance that rounding in the PyTorch model itself asks for."""
    boxes = scores = 0.0
    for batch in batches:
        first, second = (_heads(Detections(net), batch) for net in (model, exact))
        shown = (second[1] > model.score_thresh).any(-1)
        differences = (first[0].double() - second[0]).abs()[shown]
        boxes = max(boxes, differences.max().item() if len(differences) else 0.0)
        scores = max(scores, (first[1].double() - second[1]).abs().max().item())
    return Tolerance(max(MIN_BOX_TOLERANCE, NOISE_FACTOR * boxes), max(MIN_SCORE_TOLERANCE, NOISE_FACTOR * scores))


def _heads(module: Detections, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes [B, N, 4] in the resized image, and the scores of the classes [B, N, C], before anything is chosen."""
    outputs = module.raw(batch)
    return module.decoded(outputs["bbox_regression"]), outputs["cls_logits"].softmax(-1)[..., 1:]


def run(session: onnxruntime.InferenceSession, batch: Tensor) -> list[DetectionResult]:
    """The detections of `session` in a batch, in torchvision's form.

    Raises:
        ExportError: onnxruntime fails.
    """
    try:
        counts, *values = session.run([*OUTPUTS], {PIXELS: batch.numpy()})
    except Exception as error:  # its errors share no other base
        raise ExportError(
            f"onnxruntime can't run the file on images {list(batch.shape)}: {first_line(error)}; try another version"
        ) from error
    tensors = [torch.from_numpy(value) for value in values]
    named = dict(zip(OUTPUTS[1:], tensors, strict=True))
    return [{name: value[i, :count] for name, value in named.items()} for i, count in enumerate(counts.tolist())]


class Matched(NamedTuple):
    """Detections of either side without a partner, and the largest differences of those with one."""

    unmatched: int
    box: float
    score: float


def match(first: DetectionResult, second: DetectionResult, tolerance: Tolerance, scale: float, least: float, most: int) -> Matched:
    """Pair the detections of two runs on one image, whatever their order; `scale`: pixels of the image to one of the resized image.

    Args:
        least: the score threshold; a score at it is at the edge.
        most: detections that an image has at most; where there are so many, the lowest score is at the edge.
    """
    used, alone, box, score = torch.zeros(len(second["scores"]), dtype=torch.bool), 0, 0.0, 0.0
    edge = max([least, *(output["scores"].min().item() for output in (first, second) if len(output["scores"]) == most)]) + tolerance.score
    for corners, one, label in zip(first["boxes"], first["scores"], first["labels"], strict=True):
        near = (second["boxes"] - corners).abs().amax(-1) / scale
        apart = (second["scores"] - one).abs()
        (fitting,) = torch.where(~used & (second["labels"] == label) & (near <= tolerance.box) & (apart <= tolerance.score))
        if not len(fitting):
            alone += bool(one > edge)
            continue
        best = fitting[near[fitting].argmin()]
        used[best] = True
        box, score = max(box, near[best].item()), max(score, apart[best].item())
    return Matched(alone + int((~used & (second["scores"] > edge)).sum()), box, score)
