"""Flags of a detector's evaluation, prediction and export: changed one at a time, with the effect looked at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nasarch.cli.main import main
from nasarch.export.detection import export, predict
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.coco_metrics import detect
from nasarch.export.detection.export import SsdReport
from nasarch.export.ssd.check import SsdAgreement, Tolerance
from nasarch.export.ssd.detector import load, save
from tests.helpers.small_detector import random_detector, rectangles


class Finder(nn.Module):
    """Finds one box, whose place and score tell which image it saw, and of what size its batch was."""

    def __init__(self) -> None:
        super().__init__()
        self.design = random_detector().design
        self.parameter = nn.Parameter(torch.zeros(1))
        self.batches, self.seen = list[int](), list[torch.Tensor]()

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        assert not self.training and torch.is_inference_mode_enabled()
        self.batches.append(len(images))
        self.seen += images
        boxes = torch.tensor([[10.0, 20.0, 40.0, 70.0], [1.0, 2.0, 5.0, 4.0]])
        return [{"boxes": boxes, "labels": torch.tensor([2, 1]), "scores": torch.tensor([0.75, image.mean().item()])} for image in images]


def test_detections_are_told_as_coco_tells_them(tmp_path: Path) -> None:
    rectangles(tmp_path, "val", 5, seed=1)
    model, part = Finder().train(), load_scenes(tmp_path, "val")
    rows = detect(model, part, batch_size=2, workers=0)  # type: ignore[arg-type]
    assert model.batches == [2, 2, 1] and [row["image_id"] for row in rows] == [10, 10, 11, 11, 12, 12, 13, 13, 14, 14]
    assert rows[0] == {"image_id": 10, "category_id": 7, "bbox": [10.0, 20.0, 30.0, 50.0], "score": 0.75}
    assert rows[3]["category_id"] == 3 and rows[3]["bbox"] == [1.0, 2.0, 4.0, 2.0]
    for number, (image, row) in enumerate(zip(model.seen, rows[1::2], strict=True)):
        pixels = np.array(Image.open(tmp_path / "images" / f"val-{number}.png")).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(image.numpy(), pixels, atol=1e-6)
        assert row["score"] == pytest.approx(pixels.mean(), abs=1e-4)


def test_each_flag_of_the_evaluation_reaches_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    value = rectangles(tmp_path, "val", 3, seed=1)
    value["annotations"].append({"id": 99, "image_id": 10, "category_id": 3, "bbox": [5, 5, 0, 9]})
    (tmp_path / "val.json").write_text(json.dumps(value))
    (tmp_path / "images").rename(tmp_path / "moved")
    save(random_detector(), tmp_path)
    seen = list[Any]()

    def found(model: Any, part: Any, **told: Any) -> list[Any]:
        seen.append((model.design.class_names, part.scenes[0].file.path, told))
        return [{**about, "score": 0.5} for about in part.truth["annotations"]]

    monkeypatch.setattr(predict, "detect", found)
    monkeypatch.setattr(predict, "pick_device", lambda name: seen.append(name) or torch.device("cpu"))
    command = ["detect", "eval", str(tmp_path), "--data", str(tmp_path / "val.json"), "--images", str(tmp_path / "moved")]
    assert main([*command, "--batch", "5", "--workers", "0", "--device", "cuda:1", "--json"]) == 0
    assert seen == ["cuda:1", (("red", "blue"), str(tmp_path / "moved"), {"batch_size": 5, "workers": 0})]
    figures = json.loads(capsys.readouterr().out)
    assert figures["AP"] == pytest.approx(1) and len(figures) == 12
    assert main(command) == 0
    assert seen[2:] == ["auto", (("red", "blue"), str(tmp_path / "moved"), {"batch_size": 8, "workers": 2})]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("AP    100.00 %") and said[12].startswith("note: 1 annotation without an area: dropped")
    for flags, words in ((["--batch", "0"], "--batch 0"), (["--workers", "-1"], "--workers -1"), (["--device", "nowhere"], "")):
        monkeypatch.undo()
        assert main([*command, *flags]) == 2 and words in capsys.readouterr().err


def test_each_flag_of_a_prediction_reaches_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rectangles(tmp_path, "val", 1, seed=1)
    save(random_detector(), tmp_path)
    devices = list[str]()
    monkeypatch.setattr(predict, "pick_device", lambda name: devices.append(name) or torch.device("cpu"))
    image = str(tmp_path / "images" / "val-0.png")
    found = {}
    for number, flags in enumerate(([], ["--score", "0.1"], ["--score", "0.9", "--device", "cuda:2"])):
        assert main(["detect", "predict", str(tmp_path), image, "-o", str(tmp_path / f"out{number}"), *flags]) == 0
        found[number] = json.loads((tmp_path / f"out{number}" / "detections.json").read_text())["val-0.png"]
    assert devices == ["auto", "auto", "cuda:2"]
    all_of_them = found[1]
    assert len(found[0]) < len(all_of_them) and found[0] == [one for one in all_of_them if one["score"] > 0.4][: len(found[0])]
    assert min(one["score"] for one in found[0]) > 0.4 and all(one["score"] > 0.9 for one in found[2])
    scores = [one["score"] for one in all_of_them]
    assert scores == sorted(scores, reverse=True) and min(scores) < 0.4
    model = load(tmp_path, score_threshold=0.1)
    with torch.no_grad():
        (expected,) = model([torch.from_numpy(np.array(Image.open(image))).permute(2, 0, 1) / 255])
    for one, box, label, score in zip(all_of_them, *(expected[key].tolist() for key in ("boxes", "labels", "scores")), strict=True):
        assert one == {"label": label, "name": {1: "red", 2: "blue"}[label], "score": round(score, 4), "box": [round(v, 2) for v in box]}


@pytest.mark.parametrize(("score", "legal"), [("0", True), ("0.999", True), ("1", False), ("-0.001", False)])
def test_a_score_is_from_zero_to_below_one(score: str, legal: bool, tmp_path: Path) -> None:
    rectangles(tmp_path, "val", 1, seed=1)
    save(random_detector(), tmp_path)
    status = main(
        ["detect", "predict", str(tmp_path), str(tmp_path / "images" / "val-0.png"), "-o", str(tmp_path / "out"), "--score", score]
    )
    assert status == (0 if legal else 2)


@pytest.mark.parametrize("folder", [False, True])
def test_each_flag_of_a_detectors_export_reaches_its_file(folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the thresholds of the flags, the folder's config those of the training."""
    save(random_detector(), tmp_path)
    seen = list[Any]()

    def written(model: Any, path: Path) -> SsdReport:
        seen.append((path, model))
        path.write_text("no graph")
        agreement = SsdAgreement(1, 0, 0, 0.0, 0.0, Tolerance(1.0, 1.0), 0)
        return SsdReport(path=path, design=model.design, size_bytes=8, agreement=agreement, torch_ms=1.0, onnx_ms=1.0, threads=1)

    monkeypatch.setattr(export, "write_onnx", written)
    monkeypatch.setattr(export, "draw", lambda *_: None)
    for number, (flags, expected) in enumerate(
        [
            ([], (0.05, 0.55, 300)),
            (["--score", "0.3"], (0.3, 0.55, 300)),
            (["--nms", "0.25"], (0.05, 0.25, 300)),
            (["--detections", "7"], (0.05, 0.55, 7)),
        ]
    ):
        out = tmp_path / (f"out{number}" if folder else f"out{number}.onnx")
        assert main(["export", "ssd", str(tmp_path), "-o", str(out), *flags]) == 0
        path, model = seen.pop()
        design = model.design
        assert path.name == ("model.onnx" if folder else out.name)
        assert (design.score_threshold, design.nms_threshold, design.detections) == expected
        assert (model.score_thresh, model.nms_thresh, model.detections_per_img) == expected and not model.training
        if folder:
            kept = load(out).design
            assert (kept.score_threshold, kept.nms_threshold, kept.detections) == (0.001, 0.55, 300)
            assert f"scores above {expected[0]:g};" in (out / "README.md").read_text()
