"""Tolerances of a detector's check and the thresholds of its file, each from both sides."""

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
from torch import nn

import nasarch
from nasarch.export.detection import export, verify
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.verify import find_images
from nasarch.export.errors import ExportError
from nasarch.export.onnx.untrusted import UntrustedModel
from nasarch.export.samples import sample_pixels
from nasarch.export.source.config import digest
from nasarch.export.ssd.check import SsdAgreement, Tolerance, compare, measured, run, sample_batches
from nasarch.export.ssd.detector import save
from nasarch.export.ssd.graph import OUTPUTS, Detections, properties
from tests.helpers.small_detector import random_detector, rectangles


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
    assert [one[:3] for one in seen] == [((0.7, 0.3, 9), 0.7, "a session")] * 2 and len(said) == 4
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
        ({"properties": LIMITS | {"class_names": '["background", "blue", "red"]'}}, "states other properties .* class_names"),
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
