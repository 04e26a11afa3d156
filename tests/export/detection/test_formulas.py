"""SSD by the formulas of its paper, each computed once more: anchors, offsets, matches, losses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nasarch.export.detection.learner import Learner
from nasarch.export.detection.settings import DetectTraining
from nasarch.export.ssd.detector import assemble, default_boxes
from nasarch.export.ssd.graph import Detections
from tests.helpers.boxes import BOXES, MEAN, STD, batch_of
from tests.helpers.small_detector import random_detector


@pytest.fixture
def model() -> Any:
    """Of 64 pixels, with four maps of 4, 2, 1, 1 places a side, and colours that differ by channel."""
    found = random_detector()
    return assemble(replace(found.design, mean=MEAN, std=STD), found.backbone.body)


def anchors_of(maps: list[int], smallest: float, largest: float, size: int) -> np.ndarray:
    """Liu et al. 2016, sec. 2.2: s_k, and sqrt(s_k s_k+1) for one more square; proportions 1, 2, 1/2, 3, 1/3; corners in pixels."""
    shares = [smallest + (largest - smallest) / (len(maps) - 1) * k for k in range(len(maps))] + [1.0]
    found = []
    for k, places in enumerate(maps):
        side, between = shares[k], math.sqrt(shares[k] * shares[k + 1])
        shapes = [(side, side), (between, between)]
        for proportion in (2, 3):
            long, short = side * math.sqrt(proportion), side / math.sqrt(proportion)
            shapes += [(long, short), (short, long)]
        for i in range(places):
            for j in range(places):
                for width, height in shapes:
                    x, y, w, h = (j + 0.5) / places, (i + 0.5) / places, min(width, 1), min(height, 1)
                    found.append([size * v for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2)])
    return np.array(found)


@pytest.mark.parametrize(("size", "scales"), [(64, (0.2, 0.95)), (96, (0.1, 0.6))])
def test_anchors_are_those_of_the_papers_formula(size: int, scales: tuple[float, float]) -> None:
    found = random_detector()
    other = assemble(replace(found.design, size=size, scales=scales), found.backbone.body)
    maps = [math.ceil(size / 16), math.ceil(size / 32)]
    maps += [math.ceil(maps[1] / 2), math.ceil(maps[1] / 4)]
    mode = other.train().training
    np.testing.assert_allclose(default_boxes(other).numpy(), anchors_of(maps, *scales, size), atol=1e-4)
    assert other.training == mode


def test_a_design_is_what_the_detector_does(model: Any) -> None:
    changed = {"score_threshold": 0.11, "nms_threshold": 0.22, "candidates": 33, "detections": 44, "size": 72, "extras": (6, 10)}
    other = assemble(replace(model.design, **changed), model.backbone.body)
    assert (other.score_thresh, other.nms_thresh, other.topk_candidates, other.detections_per_img) == (0.11, 0.22, 33, 44)
    assert (other.transform.image_mean, other.transform.image_std) == ([*MEAN], [*STD]) and other.transform.fixed_size == (72, 72)
    assert other.neg_to_pos_ratio == 3 and other.proposal_matcher.high_threshold == other.proposal_matcher.low_threshold == 0.5
    maps = other.backbone.eval()(torch.zeros(1, 3, 72, 72))
    assert [(*found.shape[1:],) for found in maps.values()][2:] == [(6, 2, 2), (10, 1, 1)] and [*maps] == ["0", "1", "2", "3"]
    for block, (before, after) in zip(other.backbone.extra, ((other.backbone.out_channels[1], 6), (6, 10)), strict=True):
        kernels = [tuple(layer[0].weight.shape) for layer in block]
        assert kernels == [(after // 2, before, 1, 1), (after // 2, 1, 3, 3), (after, after // 2, 1, 1)]
        assert [layer[0].stride for layer in block] == [(1, 1), (2, 2), (1, 1)]
        assert all((layer[1].eps, layer[1].momentum) == (0.001, 0.03) and isinstance(layer[2], torch.nn.ReLU6) for layer in block)
    wide = assemble(replace(model.design, extras=(256, 256)), model.backbone.body)
    assert wide.backbone.extra[1][0][0].weight.std().item() == pytest.approx(0.03, rel=0.05)
    kinds = {"lite": {1, 16}, "dense": {1}}
    for head, groups in kinds.items():
        made = assemble(replace(model.design, head=head), model.backbone.body).head
        convolutions = [layer for layer in made.modules() if isinstance(layer, torch.nn.Conv2d)]
        assert {layer.groups for layer in convolutions if layer.in_channels in (1, 16)} == groups
        assert {layer.weight.shape[0] for layer in convolutions} >= {6 * 3, 6 * 4}
        norms = [layer for layer in made.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
        assert all((layer.eps, layer.momentum) == (0.001, 0.03) for layer in norms) and bool(norms) == (head == "lite")


def iou(one: np.ndarray, other: np.ndarray) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def matched(boxes: np.ndarray, anchors: np.ndarray) -> list[int]:
    """Each anchor to the box that it overlaps most, if by a half; and each box to the anchor that overlaps it most (sec. 2.2)."""
    table = np.array([[iou(box, anchor) for anchor in anchors] for box in boxes])
    found = [int(column.argmax()) if column.max() >= 0.5 else -1 for column in table.T]
    for number, line in enumerate(table):
        found[int(line.argmax())] = number
    return found


def offsets(box: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Eq. 2, with the variances 0.1 and 0.2 of the paper's code."""
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x, y = ((box[i] + box[i + 2] - anchor[i] - anchor[i + 2]) / 2 for i in range(2))
    wide, high = math.log((box[2] - box[0]) / width), math.log((box[3] - box[1]) / height)
    return np.array([x / width / 0.1, y / height / 0.1, wide / 0.2, high / 0.2])


def losses(targets: list[tuple[np.ndarray, list[int]]], outputs: dict[str, Tensor], anchors: np.ndarray) -> dict[str, float]:
    """Eq. 1 and 3: cross entropy of the matches and of three times as many others, the worst, of each image; smooth L1 of offsets."""
    classification = localisation = 0.0
    positives = 0
    for i, (boxes, labels) in enumerate(targets):
        found = matched(boxes, anchors) if len(boxes) else [-1] * len(anchors)
        logits, regression = (outputs[key][i].detach().double().numpy() for key in ("cls_logits", "bbox_regression"))
        wanted = [labels[one] if one >= 0 else 0 for one in found]
        entropy = np.log(np.exp(logits).sum(1)) - logits[range(len(anchors)), wanted]
        chosen = [k for k, one in enumerate(found) if one >= 0]
        others = sorted((entropy[k] for k, one in enumerate(found) if one < 0), reverse=True)
        classification += entropy[chosen].sum() + sum(others[: 3 * len(chosen)])
        for k in chosen:
            apart = np.abs(regression[k] - offsets(boxes[found[k]], anchors[k]))
            localisation += np.where(apart < 1, apart**2 / 2, apart - 0.5).sum()
        positives += len(chosen)
    return {"classification": classification / max(positives, 1), "bbox_regression": localisation / max(positives, 1)}


def test_the_losses_are_those_of_the_papers_formulas(model: Any) -> None:
    learner, batch = Learner(model.train(), DetectTraining()), batch_of()
    pixels = batch.images.double().numpy() / 255
    x = torch.from_numpy((pixels - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]).float()
    outputs = model.head([*model.backbone(x).values()])
    targets = [(np.array(boxes), labels) for boxes, labels in BOXES]
    expected = losses(targets, outputs, anchors_of([4, 2, 1, 1], 0.2, 0.95, 64))
    found = {name: value.item() for name, value in learner.losses(batch).items()}
    assert found == pytest.approx(expected, rel=1e-4) and min(expected.values()) > 0.1


@pytest.mark.parametrize(("height", "matches"), [(5.01, [0, 0, -1]), (4.99, [-1, 0, -1])])
def test_an_anchor_matches_a_box_from_an_overlap_of_a_half_on_and_each_box_has_one(height: float, matches: list[int], model: Any) -> None:
    learner = Learner(model, DetectTraining())
    learner.anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60]])
    box = torch.tensor([[0.0, 0.0, 10.0, height]])
    assert learner._matched(box).tolist() == matches
    far = torch.tensor([[0.0, 0.0, 10.0, height], [58.0, 58.0, 70.0, 70.0]])
    assert learner._matched(far).tolist() == [*matches[:2], 1], "the one that overlaps most, however little"
    assert learner._matched(torch.zeros(0, 4)).tolist() == [-1, -1, -1]
    both = torch.tensor([[0.0, 0.0, 10.0, 7.0], [0.0, 0.0, 10.0, 9.0]])
    learner.anchors = torch.tensor([[0.0, 0, 10, 8.5], [0, 0, 10, 7], [0, 0, 10, 9]])
    assert learner._matched(both).tolist() == [1, 0, 1], "of two boxes the one that overlaps more"


def test_offsets_are_turned_back_into_boxes(model: Any) -> None:
    module, anchors = Detections(model), anchors_of([4, 2, 1, 1], 0.2, 0.95, 64)
    boxes = np.array([[5.0, 8.0, 30.0, 31.0], [-20.0, 3.0, 90.0, 22.0]])
    told = torch.tensor(np.stack([[offsets(box, anchor) for anchor in anchors] for box in boxes])).float()
    found = module.decoded(told).numpy()
    np.testing.assert_allclose(found[0], np.broadcast_to(boxes[0], (len(anchors), 4)), atol=1e-3)
    np.testing.assert_allclose(found[1], np.broadcast_to([0.0, 3.0, 64.0, 22.0], (len(anchors), 4)), atol=1e-3)
    far = module.decoded(torch.tensor([-1e3, 0.0, 1e3, 0.0]).expand(1, len(anchors), 4))[0].numpy()
    assert not far[:, [0, 2]].any(), "100 widths to the left, and not wider than 62.5 times the anchor, as torchvision limits it"
    np.testing.assert_allclose(far[:, [1, 3]], anchors[:, [1, 3]].clip(0, 64), atol=1e-3)
