"""Non-maximum suppression against a literal one, and the matching of two detectors' detections, on both sides of their thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.onnx.graph import translated
from nasarch.export.onnx.session import open_session
from nasarch.export.ssd.check import DetectionResult, Tolerance, match
from nasarch.export.ssd.graph import Detections, _translations, survivors
from tests.helpers.exported import bilinear
from tests.helpers.small_detector import random_detector


def overlap(one: Any, other: Any) -> float:
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in range(2)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    return shared / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared)


def literally(boxes: np.ndarray, logits: np.ndarray, design: Any) -> list[tuple[float, int, tuple[float, ...]]]:
    """One image: score, label and box of what is left, the surest first."""
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = []
    for label in range(1, logits.shape[1]):
        above = [(shares[i, label], i) for i in range(len(boxes)) if shares[i, label] > design.score_threshold]
        kept: list[int] = []
        for score, i in sorted(above, reverse=True)[: design.candidates]:
            if all(overlap(boxes[i], boxes[j]) <= design.nms_threshold for j in kept):
                kept.append(i)
                found.append((score, label, (*boxes[i],)))
    return sorted(found, reverse=True)[: design.detections]


@pytest.mark.parametrize("changes", [{}, {"candidates": 5}, {"detections": 4}, {"nms_threshold": 0.1}, {"score_threshold": 0.4}])
def test_what_is_left_is_the_best_of_each_class_that_overlap_little_and_the_best_of_those(changes: dict[str, Any]) -> None:
    module, chance = Detections(random_detector()), np.random.default_rng(1)
    module.design = replace(module.design, **{"score_threshold": 0.2, "nms_threshold": 0.5, "candidates": 50, "detections": 60, **changes})
    corners = chance.uniform(0, 30, (2, 40, 2))
    boxes = np.concatenate([corners, corners + chance.uniform(5, 30, (2, 40, 2))], -1)
    logits = 2 * chance.normal(size=(2, 40, 3))
    counts, places, scores, labels = module.best(torch.from_numpy(boxes), torch.from_numpy(logits))
    assert (
        places.shape[1] == min(module.design.detections, 2 * min(module.design.candidates, 40))
        and counts.dtype == labels.dtype == torch.int64
    )
    for i in range(2):
        expected = literally(boxes[i], logits[i], module.design)
        count = int(counts[i])
        found = [(scores[i, k].item(), int(labels[i, k]), (*places[i, k].tolist(),)) for k in range(count)]
        assert count == len(expected) > 1
        for one, other in zip(found, expected, strict=True):
            assert one[1] == other[1] and one[0] == pytest.approx(other[0]) and one[2] == pytest.approx(other[2])
        assert not scores[i, count:].any() and not labels[i, count:].any() and not places[i, count:].any()


class Survivors(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.nasarch.survivors(x[..., :4], x[..., 4], 0.5, 0.3)


def test_nms_in_onnx_is_nms_in_pytorch_on_both_sides_of_its_thresholds() -> None:
    """Rows are classes of images. A box of 10 x 10, others that overlap it by 0.499 and 0.501, scores around 0.3 and at it."""
    whole, less, more = [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 4.99], [0.0, 0.0, 10.0, 5.01]
    rows = [
        [[*whole, 0.9], [*less, 0.8], [*more, 0.7], [50.0, 50.0, 60.0, 60.0, 0.3]],
        [[*more, 0.31], [*whole, 0.29], [50.0, 50.0, 60.0, 60.0, 0.3001], [50.0, 50.0, 60.0, 60.0, 0.2999]],
        [[*less, 0.1], [*whole, 0.9], [*more, 0.95], [50.0, 50.0, 60.0, 60.0, 0.0]],
    ]
    x, kept = torch.tensor(rows), torch.tensor([[0.9, 0.8, 0, 0], [0.31, 0, 0.3001, 0], [0, 0, 0.95, 0]])
    assert torch.equal(survivors(x[..., :4], x[..., 4], 0.5, 0.3), kept)
    proto = translated(Survivors().eval(), torch.zeros(2, 4, 5), "x", ["kept"], {0: "rows"}, _translations())
    session = open_session(proto.SerializeToString())
    assert torch.equal(torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), kept)
    with pytest.raises(ExportError):
        translated(Survivors().eval(), torch.zeros(2, 4, 5), "x", ["kept"], {0: "rows"})


def test_pixels_are_resized_without_antialiasing_then_scaled_by_channel() -> None:
    """Twice as many pixels a side and more: with antialiasing noise would be flat."""
    model = random_detector()
    model.design = replace(model.design, mean=(0.1, 0.4, 0.8), std=(0.2, 0.5, 0.9))
    module, seen = Detections(model), list[Tensor]()
    module.backbone.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 90, 150, 3), dtype=np.uint8)
    with torch.no_grad():
        module.raw(torch.from_numpy(pixels))
    resized = bilinear(pixels.transpose(0, 3, 1, 2).astype(np.float64), 64, 64) / 255
    expected = (resized - np.array([0.1, 0.4, 0.8])[:, None, None]) / np.array([0.2, 0.5, 0.9])[:, None, None]
    np.testing.assert_allclose(seen[0].numpy(), expected, atol=1e-4)


def found(*rows: tuple[float, float, int]) -> DetectionResult:
    """Boxes of 10 pixels that begin at a place, with a score and a label."""
    boxes = torch.tensor([[x, x, x + 10, x + 10] for x, _, _ in rows], dtype=torch.float64).reshape(-1, 4)
    return {
        "boxes": boxes,
        "scores": torch.tensor([score for _, score, _ in rows], dtype=torch.float64),
        "labels": torch.tensor([label for *_, label in rows], dtype=torch.int64),
    }


@pytest.mark.parametrize(
    ("other", "alone"),
    [
        ((0.199, 0.8, 1), 0),
        ((0.201, 0.8, 1), 2),
        ((0.0, 0.8009, 1), 0),
        ((0.0, 0.8011, 1), 2),
        ((0.0, 0.7991, 1), 0),
        ((0.0, 0.7989, 1), 2),
        ((0.0, 0.8, 2), 2),
    ],
)
def test_two_detections_are_one_within_the_tolerance_of_place_and_score(other: tuple[float, float, int], alone: int) -> None:
    """A tolerance of 0.1 of the resized image, whose pixels are two of this one."""
    seen = match(found((0.0, 0.8, 1)), found(other), Tolerance(0.1, 1e-3), 2.0, 0.05, 300)
    assert seen.unmatched == alone
    if not alone:
        assert (seen.box, seen.score) == (pytest.approx(other[0] / 2), pytest.approx(abs(other[1] - 0.8)))
    assert match(found(other), found((0.0, 0.8, 1)), Tolerance(0.1, 1e-3), 2.0, 0.05, 300).unmatched == alone


@pytest.mark.parametrize(("score", "most", "alone"), [(0.3009, 9, 0), (0.3011, 9, 1), (0.5009, 3, 0), (0.5011, 3, 1), (0.5009, 4, 1)])
def test_what_one_side_alone_has_is_no_difference_at_the_edge_of_what_is_kept(score: float, most: int, alone: int) -> None:
    """The score threshold is 0.3 and the tolerance 0.001; where an image has as many as it may, the edge is its lowest score."""
    one, other = found((0.0, 0.9, 1), (50.0, score, 1)), found((0.0, 0.9, 1), (100.0, 0.7, 1), (150.0, 0.5, 1))
    rest = 1 if most == 3 else 2
    for pair in ((one, other), (other, one)):
        assert match(*pair, Tolerance(0.1, 1e-3), 1.0, 0.3, most).unmatched == alone + rest


def test_of_several_partners_the_nearest_is_taken_and_none_twice() -> None:
    first, second = found((0.0, 0.8, 1), (0.08, 0.8, 1)), found((0.05, 0.8, 1), (0.01, 0.8, 1))
    assert match(first, second, Tolerance(0.1, 1e-3), 1.0, 0.05, 300) == (0, pytest.approx(0.03), 0.0)
    assert match(found((0.0, 0.8, 1), (0.01, 0.8, 1)), found((0.0, 0.8, 1)), Tolerance(0.1, 1e-3), 1.0, 0.05, 300).unmatched == 1
    assert match(found(), found(), Tolerance(0.1, 1e-3), 1.0, 0.05, 300) == (0, 0.0, 0.0)
