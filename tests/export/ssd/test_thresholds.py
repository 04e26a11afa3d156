"""The detector's thresholds and the tolerances of its check, each from both sides; what is chosen and left out, by a literal NMS."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from PIL import Image
from torch import Tensor, nn

import nasarch
from nasarch.export.detection import export, verify
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.verify import find_images
from nasarch.export.errors import ExportError
from nasarch.export.onnx.graph import translated
from nasarch.export.onnx.session import open_session
from nasarch.export.onnx.untrusted import UntrustedModel
from nasarch.export.samples import sample_pixels
from nasarch.export.source.config import digest
from nasarch.export.ssd.check import DetectionResult, SsdAgreement, Tolerance, compare, match, measured, run, sample_batches
from nasarch.export.ssd.detector import save
from nasarch.export.ssd.graph import OUTPUTS, Detections, _translations, properties, survivors
from tests.helpers.exported import bilinear
from tests.helpers.small_detector import random_detector, rectangles


def overlap(one: Any, other: Any) -> float:
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in range(2)]
    shared = max(sides[0], 0) * max(sides[1], 0)
    return shared / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared)


# --- what is chosen ----------------------------------------------------------------------------------------------------------


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


# --- the check ---------------------------------------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def model() -> Any:
    detector = random_detector()
    detector.score_thresh, detector.design = 0.6, replace(detector.design, score_threshold=0.6)
    return detector


def test_the_tolerance_is_ten_times_what_the_other_model_is_off_and_never_nothing(model: Any) -> None:
    """By torchvision's own decoding, of anchors of which any score counts; the other model is off by more than rounding here."""
    batches, other = [sample_pixels(2, 3, 64, 64)], _double(model)
    with torch.no_grad():
        for name, parameter in other.head.named_parameters():
            parameter.mul_(1.001 if "classification" in name else 1.01)
    told: list[tuple[np.ndarray, np.ndarray]] = []
    for net in (model, other):
        kind = next(net.parameters()).dtype
        pixels, _ = net.transform([*(batches[0].permute(0, 3, 1, 2).to(kind) / 255)])
        maps = [*net.backbone(pixels.tensors).values()]
        heads, anchors = net.head(maps), net.anchor_generator(pixels, maps)
        boxes = [net.box_coder.decode_single(*pair).clamp(0, 64) for pair in zip(heads["bbox_regression"], anchors, strict=True)]
        told.append((torch.stack(boxes).detach().double().numpy(), heads["cls_logits"].detach().double().softmax(-1)[..., 1:].numpy()))
    (first, one), (second, two) = told
    apart = np.abs(first - second).max(-1)
    strict = copy.deepcopy(model)
    strict.score_thresh = two.max(-1)[np.unravel_index(apart.argmax(), apart.shape)] + 1e-6  # that of the worst place doesn't count
    counts = (two > strict.score_thresh).any(-1)
    places, scores = apart[counts].max(), np.abs(one - two).max()
    assert apart.max() > 1.01 * places > 1e-3 and scores > 1e-5
    assert measured(strict, other, batches) == (pytest.approx(10 * places, rel=1e-3), pytest.approx(10 * scores, rel=1e-2))
    assert measured(model, model, batches) == (0.01, 1e-5)


def _double(model: Any) -> Any:
    return copy.deepcopy(model).double()


class Shifted:
    """A session that finds what PyTorch finds, but for one detection, which is moved or has another score."""

    def __init__(self, model: Any, move: float = 0.0, more: float = 0.0, times: int = 1) -> None:
        self.module, self.move, self.more, self.times, self.fed = Detections(model), move, more, times, list[tuple[int, ...]]()

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == ["num_detections", "boxes", "scores", "labels"] and [*feed] == ["pixels"]
        self.fed.append(feed["pixels"].shape)
        with torch.inference_mode():
            count, boxes, scores, labels = (value.clone() for value in self.module(torch.from_numpy(feed["pixels"])))
        if len(self.fed) == 1:
            boxes[0, : self.times, 0] += self.move
            scores[0, : self.times] += self.more
        return [value.numpy() for value in (count, boxes, scores, labels)]


def test_detections_that_are_moved_or_surer_by_more_than_the_tolerance_are_counted(model: Any) -> None:
    batches = [sample_pixels(2, 3, 64, 64), sample_pixels(1, 3, 96, 40)]
    right = Shifted(model)
    agreement = compare(model, right, batches)  # type: ignore[arg-type]
    assert (
        (agreement.unmatched, agreement.flips, agreement.empty) == (0, 0, 0)
        and agreement.holds
        and right.fed == [(2, 64, 64, 3), (1, 96, 40, 3)]
    )
    with torch.inference_mode():
        counts = [len(one["scores"]) for batch in batches for one in model([*(batch.permute(0, 3, 1, 2).float() / 255)])]
    assert agreement.detections == 2 * sum(counts) and agreement.tolerance == measured(model, _double(model), batches)
    tolerance = agreement.tolerance
    for share, alone in ((0.9, 0), (1.1, 2)):
        moved = compare(model, Shifted(model, move=share * tolerance.box), batches)  # type: ignore[arg-type]
        surer = compare(model, Shifted(model, more=share * tolerance.score), batches)  # type: ignore[arg-type]
        assert (moved.unmatched, surer.unmatched) == (alone, alone)
        assert alone or (moved.box, surer.score) == (
            pytest.approx(0.9 * tolerance.box, rel=0.1),
            pytest.approx(0.9 * tolerance.score, rel=0.1),
        )
    for times, holds in ((2, True), (3, False)):
        seen = compare(model, Shifted(model, move=1.0, times=times), batches)  # type: ignore[arg-type]
        assert (seen.unmatched, seen.holds) == (2 * times, holds), "four may differ where PyTorch itself never does"


def test_a_session_that_fails_is_one_line_and_images_of_which_nothing_is_found_are_counted(model: Any) -> None:
    strict = random_detector()
    strict.score_thresh, strict.design = 0.999, replace(strict.design, score_threshold=0.999)
    agreement = compare(strict, Shifted(strict), sample_batches(64))  # type: ignore[arg-type]
    assert (agreement.empty, agreement.detections) == (6, 0) and agreement.tolerance.box == 0.01
    assert [tuple(batch.shape) for batch in sample_batches(64)] == [(1, 64, 64, 3), (3, 64, 64, 3), (2, 104, 48, 3)]
    assert bool((sample_batches(64)[1][2] == 128).all()) and torch.equal(sample_batches(64)[1][:1], sample_batches(64)[0])

    class Broken(Shifted):
        def run(self, *_: Any) -> Any:
            raise RuntimeError("no memory\nat all")

    with pytest.raises(ExportError, match=r"^onnxruntime can't run the file on images \[1, 64, 64, 3\]: no memory; try another version$"):
        run(Broken(model), sample_batches(64)[0])  # type: ignore[arg-type]


# --- what a file says --------------------------------------------------------------------------------------------------------


def test_the_properties_of_a_detectors_file_are_its_own() -> None:
    detector = random_detector()
    design = replace(detector.design, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), score_threshold=0.11, nms_threshold=0.22, detections=33)
    arguments = {**design.arguments, "genotype": {**design.genotype, "provenance": {"source": {"command": "nasarch search /mine/secret"}}}}
    detector.design = replace(design, arguments=arguments)
    module = Detections(detector)
    told = properties(module)
    genotype = json.loads(told.pop("genotype"))
    assert genotype["provenance"]["source"]["command"] == "nasarch search secret" and genotype["cells"] == design.genotype["cells"]
    assert told == {
        "architecture": "ssd, lite heads, on nas_224",
        "class_names": '["background", "red", "blue"]',
        "category_ids": "[0, 3, 7]",
        "input_size": "[3, 64, 64]",
        "mean": "[0.1, 0.2, 0.3]",
        "std": "[0.4, 0.5, 0.6]",
        "preprocessing": "inside",
        "score_threshold": "0.11",
        "nms_threshold": "0.22",
        "detections": "33",
        "weights_sha256": digest(nn.ModuleDict({"backbone": detector.backbone, "head": detector.head})),
        "nasarch_version": nasarch.__version__,
    }
    detector.design = replace(design, backbone="resnet18", arguments={})
    assert "genotype" not in properties(Detections(detector))


@pytest.fixture(scope="module")
def verified(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the detector, and with images."""
    folder = tmp_path_factory.mktemp("detector")
    save(model, folder)
    rectangles(folder, "val", 3, seed=1)
    return folder


LIMITS = {"score_threshold": "0.7", "nms_threshold": "0.3", "detections": "9"}


def file_of(model: Any, **changes: Any) -> UntrustedModel:
    """As `read_onnx` gives it, with other thresholds than the folder's."""
    told = dict(LIMITS)
    told["weights_sha256"] = digest(nn.ModuleDict({"backbone": model.backbone, "head": model.head}))
    ends: dict[str, Any] = {"inputs": {"pixels": ("tensor(uint8)", [])}, "outputs": {name: ("", []) for name in OUTPUTS}}
    values = {"path": Path("a.onnx"), "size_bytes": 1, "opset": 18, "ir_version": 8, "nodes": 1, "properties": told, "session": None}
    return UntrustedModel(**{**values, **ends, **changes})


def test_a_file_is_verified_with_its_own_thresholds_on_all_images_that_are_shown(
    model: Any, verified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    good = SsdAgreement(2, 0, 0, 0.0, 0.0, Tolerance(1.0, 1.0), 0)

    def compared(detector: Any, session: Any, batches: Any) -> SsdAgreement:
        design = detector.design
        seen.append(((design.score_threshold, design.nms_threshold, design.detections), detector.score_thresh, session, [*batches]))
        return good

    monkeypatch.setattr(verify, "compare", compared)
    file = file_of(model, session="a session")
    said = verify.verify_detector(file, str(verified), images=str(verified))
    assert [one[:3] for one in seen] == [((0.7, 0.3, 9), 0.7, "a session")] * 2 and len(said) == 3
    assert all(torch.equal(one, other) for one, other in zip(seen[0][3], sample_batches(64), strict=True))
    assert [tuple(one.shape) for one in seen[1][3]] == [(1, 96, 120, 3)] * 3
    pixels = np.array(Image.open(verified / "images" / "val-1.png"))
    assert np.array_equal(seen[1][3][1][0].numpy(), pixels)
    monkeypatch.setattr(verify, "compare", lambda *_: good._replace(unmatched=5))
    with pytest.raises(ExportError, match="refused: on images made up a.onnx finds something else"):
        verify.verify_detector(file, str(verified))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": {"image": ("", [])}}, "takes image and gives"),
        ({"outputs": {"boxes": ("", [])}}, "gives boxes, which no detector does"),
        ({"properties": {"score_threshold": "high", "nms_threshold": "0.3", "detections": "9"}}, "thresholds that are no numbers"),
        (
            {"properties": {"score_threshold": "0.7", "nms_threshold": "0.3", "detections": "9", "weights_sha256": "0" * 64}},
            "of other weights",
        ),
    ],
)
def test_a_file_that_is_no_detectors_is_refused(changes: dict[str, Any], words: str, model: Any, verified: Path) -> None:
    with pytest.raises(ExportError, match=words):
        verify.verify_detector(file_of(model, **changes), str(verified))


def test_a_file_says_that_it_is_a_detectors_if_it_has_all_thresholds(model: Any) -> None:
    whole = file_of(model)
    assert verify.is_detector(whole)
    for name in ("score_threshold", "nms_threshold", "detections"):
        assert not verify.is_detector(replace(whole, properties={k: v for k, v in whole.properties.items() if k != name}))


def test_images_of_a_folder_are_its_own_by_name_and_of_data_those_of_the_val_part(verified: Path, tmp_path: Path) -> None:
    part = load_scenes(verified, "val")
    assert [file for file in find_images(verified).files] == [scene.file for scene in part.scenes] and find_images(
        verified
    ).name == part.name
    assert len(find_images(verified / "val.json")) == 3
    for name in ("b.png", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "inner.png").mkdir()
    flat = find_images(tmp_path)
    assert [file.member for file in flat.files] == ["a.jpg", "b.png"] and flat.name == tmp_path.name
    with pytest.raises(ValueError, match="has no images in it"):
        find_images(tmp_path / "inner.png")


# --- the export --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unmatched", "holds"), [(4, True), (5, False)])
def test_a_file_is_kept_if_its_check_holds_and_else_nothing_is(
    unmatched: int, holds: bool, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Any]()
    agreement = SsdAgreement(20, unmatched, 0, 0.0, 0.0, Tolerance(1.0, 1.0), 0)
    proto = helper.make_model(helper.make_graph([], "none", [], []))
    monkeypatch.setattr(export, "graph", lambda module: seen.append(module.design) or proto)
    monkeypatch.setattr(export, "open_session", lambda path: seen.append(onnx.load(path)) or "a session")
    monkeypatch.setattr(export, "compare", lambda *told: seen.append(told) or agreement)
    monkeypatch.setattr(export, "latencies", lambda *calls: (2.0, 0.5))
    if holds:
        report = export.write_onnx(model, tmp_path / "a.onnx")
        assert (report.torch_ms, report.onnx_ms, report.agreement, report.design) == (2.0, 0.5, agreement, model.design)
        assert report.size_bytes == (tmp_path / "a.onnx").stat().st_size and "(4.0x)" in str(report)
    else:
        with pytest.raises(ExportError, match="refused: onnxruntime finds something else than torchvision: 20 detections, 5 without"):
            export.write_onnx(model, tmp_path / "a.onnx")
        assert not any(tmp_path.iterdir())
    assert seen[0] == model.design and seen[1] == proto and seen[2][:2] == (model, "a session")
    assert all(torch.equal(one, other) for one, other in zip(seen[2][2], sample_batches(64), strict=True))


def test_a_folder_of_which_the_twin_finds_something_else_is_refused(model: Any) -> None:
    twin = random_detector()
    twin.score_thresh = 0.6
    export._check_twin(model, twin)
    with torch.no_grad():
        next(p for p in twin.head.classification_head.parameters() if p.ndim == 1).add_(math.pi)
    with pytest.raises(ExportError, match="the detector that was written finds something else; look for NaN"):
        export._check_twin(model, twin)
