"""Translation of a detector to one ONNX graph: uint8 images of any size and number in, boxes in their pixels out; NMS inside.

| step | as torchvision's SSD | in the graph |
|---|---|---|
| preprocessing | scale, normalise, resize bilinearly without antialiasing | resize, then scale and normalise: the same sum |
| heads | softmax over classes, the background among them | the same |
| decoding | offsets to anchors, clipped to the image | the same; the anchors are constants |
| candidates | a class: those above the score threshold, of them the best K | a class: the best K, of them those above the threshold |
| NMS | class by class | NonMaxSuppression, whose batches are the pairs of image and class |
| result | the best D | the best D, filled up with zeros: `num_detections` says how many count |

torch's exporter can't translate torchvision's `batched_nms`, whose path depends on how many boxes there are; so here the survivors of NMS
are an operator of its own, which PyTorch runs with `torchvision.ops.nms` and ONNX as NonMaxSuppression.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.ssd import SSD
from torchvision.ops import nms

import nasarch
from nasarch.cells.genotype import Genotype, public_genotype
from nasarch.export.errors import ExportError
from nasarch.export.onnx.graph import BATCH, HEIGHT, WIDTH, translated
from nasarch.export.onnx.uint8_input import PIXELS
from nasarch.export.source.config import digest

from .design import Design
from .detector import default_boxes

OUTPUTS = ("num_detections", "boxes", "scores", "labels")
MANY = 2**31 - 1


@torch.library.custom_op("nasarch::survivors", mutates_args=(), schema="(Tensor boxes, Tensor scores, float iou, float least) -> Tensor")
def survivors(boxes: Tensor, scores: Tensor, iou: float, least: float) -> Tensor:
    """The scores [R, K] where they are above `least` and their boxes [R, K, 4] survive the NMS of their row; 0 elsewhere."""
    surviving = torch.zeros_like(scores)
    for row in range(len(scores)):
        (above,) = torch.where(scores[row] > least)
        chosen = above[nms(boxes[row, above], scores[row, above], iou)]
        surviving[row, chosen] = scores[row, chosen]
    return surviving


@survivors.register_fake
def _(boxes: Tensor, scores: Tensor, iou: float, least: float) -> Tensor:
    return torch.empty_like(scores)


def _translations() -> dict[Any, Callable[..., Any]]:
    """What `survivors` is in ONNX."""
    from onnxscript import opset18 as op

    def in_onnx(boxes: Any, scores: Any, iou: float, least: float) -> Any:
        axis, many = op.Constant(value_ints=[1]), op.Constant(value_ints=[MANY])
        thresholds = (op.Constant(value_floats=[float(value)]) for value in (iou, least))
        chosen = op.NonMaxSuppression(boxes, op.Unsqueeze(scores, axis), many, *thresholds)  # rows of: batch, class (0), box
        indices = op.Gather(chosen, op.Constant(value_ints=[0, 2]), axis=1)
        return op.ScatterND(op.Sub(scores, scores), indices, op.GatherND(scores, indices))

    return {torch.ops.nasarch.survivors.default: in_onnx}


class Detections(nn.Module):
    """uint8 images [B, H, W, 3] -> num_detections [B], boxes [B, D, 4] (corners, pixels of the image), scores [B, D], labels [B, D].

    It shares the weights of `model`; labels and counts are int64, what is beyond the count is 0.
    """

    centres: Tensor
    shift_by: Tensor
    sides: Tensor
    stretch: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, model: SSD) -> None:
        super().__init__()
        self.backbone, self.head = model.backbone, model.head
        self.design: Design = model.design
        anchors, weights = default_boxes(model), torch.tensor(model.box_coder.weights)
        sides = anchors[:, 2:] - anchors[:, :2]
        self.register_buffer("centres", (anchors[:, :2] + anchors[:, 2:]) / 2)
        self.register_buffer("shift_by", sides / weights[:2].to(sides))
        self.register_buffer("sides", sides)
        self.register_buffer("stretch", 1 / weights[2:].to(sides))
        self.limit = model.box_coder.bbox_xform_clip
        mean, std = torch.tensor([self.design.mean, self.design.std], dtype=sides.dtype)[..., None, None]
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("offset", mean / std)
        self.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        outputs, kind = self.raw(pixels), self.scale.dtype
        height, width = pixels.shape[1:3]
        scale = torch.stack([torch.scalar_tensor(side, dtype=kind) for side in (width, height, width, height)]) / self.design.size
        return self.best(self.decoded(outputs["bbox_regression"]) * scale, outputs["cls_logits"])

    def raw(self, pixels: Tensor) -> dict[str, Tensor]:
        """What the heads say of the images: offsets and logits of all anchors."""
        size, kind = self.design.size, self.scale.dtype
        x = F.interpolate(pixels.permute(0, 3, 1, 2).to(kind), size=(size, size), mode="bilinear", align_corners=False)
        return self.head([*self.backbone(x * self.scale - self.offset).values()])

    def decoded(self, regression: Tensor) -> Tensor:
        """Offsets [B, N, 4] from the anchors as corners in the resized image, clipped to it (Liu et al. 2016, eq. 2, solved for l)."""
        centres = self.centres + regression[..., :2] * self.shift_by
        half = (regression[..., 2:] * self.stretch).clamp(max=self.limit).exp() * self.sides / 2
        return torch.cat([centres - half, centres + half], -1).clamp(0, self.design.size)

    def best(self, boxes: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What is left after NMS, class by class, of boxes [B, N, 4] with logits [B, N, 1 + C]."""
        design = self.design
        every = logits.softmax(-1).transpose(1, 2)[:, 1:]  # [B, C, N]
        every = every * (every > design.score_threshold)  # onnxruntime's TopK passes over equal values, so zeros are cheap
        scores, which = every.topk(min(design.candidates, boxes.shape[1]), sorted=False)  # [B, C, K]; NMS sorts by itself
        classes, count = scores.shape[1:]
        near = boxes.gather(1, which.flatten(1)[..., None].expand(-1, -1, 4))  # [B, C K, 4]
        survived = torch.ops.nasarch.survivors(
            near.reshape(-1, count, 4), scores.flatten(0, 1), design.nms_threshold, design.score_threshold
        )
        scores, which = survived.reshape(-1, classes * count).topk(min(design.detections, classes * count))  # [B, D]
        has_score = scores > 0
        chosen = near.gather(1, which[..., None].expand(-1, -1, 4)) * has_score[..., None]
        labels = torch.where(has_score, torch.div(which, count, rounding_mode="floor") + 1, 0)
        return has_score.sum(1), chosen, scores, labels


def graph(module: Detections) -> onnx.ModelProto:
    """The ONNX model of `module`, any number and size of images, in opset 18 and IR version 8, and what it says about itself.

    Raises:
        ExportError: torch can't export it, or not in plain ONNX of this opset.
    """
    example = torch.zeros(2, module.design.size + 40, module.design.size + 8, 3, dtype=torch.uint8)
    try:
        proto = translated(module, example, PIXELS, OUTPUTS, {0: BATCH, 1: HEIGHT, 2: WIDTH}, _translations())
    except ExportError as error:
        raise ExportError(f"torch can't export the detector: {error}; try another version of torch") from error
    onnx.helper.set_model_props(proto, properties(module))
    return proto


def properties(module: Detections) -> dict[str, str]:
    """What tells a stranger what the file is: classes, size, thresholds, cells, version, digest."""
    design = module.design
    known: dict[str, Any] = {
        "architecture": f"ssd, {design.head} heads, on {design.backbone}",
        "class_names": ["background", *design.class_names],
        "category_ids": [0, *design.category_ids],
        "input_size": [3, design.size, design.size],
        "mean": design.mean,
        "std": design.std,
        "preprocessing": "inside",
        "score_threshold": design.score_threshold,
        "nms_threshold": design.nms_threshold,
        "detections": design.detections,
        "weights_sha256": digest(nn.ModuleDict({"backbone": module.backbone, "head": module.head})),
        "nasarch_version": nasarch.__version__,
    }
    if design.genotype is not None:
        known["genotype"] = public_genotype(Genotype.from_dict(design.genotype)).to_dict()
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in known.items()}
