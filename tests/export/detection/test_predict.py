"""Figures of a detector on its data; predictions are drawn and written down; what is no image leaves nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nasarch.cli.main import main
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.coco_metrics import EVALUATORS, FIGURES, coco_figures, detect, lines
from nasarch.export.detection.parts import with_classes
from nasarch.export.detection.predict import _summary, detections, picture, upright
from nasarch.export.ssd.detector import load, save, ssd
from tests.helpers.datasets import real
from tests.helpers.small_detector import data, rectangles

BOX = [10.0, 20.0, 30.0, 40.0]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector with random weights, whose classes are those of the rectangles."""

    import timm

    torch.manual_seed(0)
    model = ssd(timm.create_model("nas_224", genotype="pc_darts_imagenet", cells=3, channels=4), 3, size=64, extras=(16, 16))
    model.design = replace(model.design, class_names=("red", "blue"), category_ids=(3, 7))
    folder = tmp_path_factory.mktemp("detector")
    save(model, folder)
    return folder


def truth(*boxes: list[float], **more: Any) -> dict[str, Any]:
    annotations = [{"image_id": 1, "category_id": 5, "bbox": box, **more} for box in boxes]
    images = [{"id": 1, "width": 100, "height": 100, "file_name": "a.png"}]
    return {"images": images, "categories": [{"id": 5, "name": "x"}], "annotations": annotations}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def row(box: list[float], score: float = 0.9, category: int = 5) -> dict[str, Any]:
    return {"image_id": 1, "category_id": category, "bbox": box, "score": score}


@pytest.mark.parametrize("package", [name for name in EVALUATORS if find_spec(name)])
@pytest.mark.parametrize("ids", [(0, 1, 2), (7, 7, 7), (None, 0, 0), ("a", "a", [1])])
def test_a_perfect_detector_has_perfect_figures_however_annotations_are_numbered(package: str, ids: tuple[Any, ...]) -> None:
    boxes = [BOX, [60.0, 60.0, 30.0, 30.0], [50.0, 5.0, 20.0, 20.0]]
    known = truth(*boxes)
    for about, number in zip(known["annotations"], ids, strict=True):
        about |= {"id": number, "area": None, "iscrowd": None}
    found = coco_figures(known, [row(box) for box in boxes], package)
    assert [found[name] for name in ("AP", "AP50", "AP75", "AR10", "AR100")] == pytest.approx([1] * 5)
    assert [about["id"] for about in known["annotations"]] == [*ids]  # theirs are not changed


def test_boxes_without_an_area_are_not_missed_and_a_clipped_box_is_found_inside_the_image(tmp_path: Path) -> None:
    rectangles(tmp_path, "val", 1, seed=1)
    value = json.loads((tmp_path / "val.json").read_text())
    boxes = [[-40, 10, 60, 40], [90, 50, 60, 80], [10, 10, 0, 20], [500, 10, 20, 20], [30.0, 50.0, 20.0, 20.0]]
    value["annotations"] = [{"id": 0, "image_id": 10, "category_id": 3, "bbox": box} for box in boxes]
    (tmp_path / "val.json").write_text(json.dumps(value))
    part = load_scenes(tmp_path, "val")
    inside = [[0.0, 10.0, 20.0, 40.0], [90.0, 50.0, 30.0, 46.0], [30.0, 50.0, 20.0, 20.0]]
    found = coco_figures(part.truth, [{**row(box, category=3), "image_id": 10} for box in inside])
    assert found["AP"] == found["AR100"] == pytest.approx(1) and len(part.remarks) == 2


def test_detections_are_in_pixels_of_the_image_and_in_the_files_categories(detector: Path, tmp_path: Path) -> None:
    rectangles(tmp_path, "val", 5, seed=1)
    model, part = load(detector), load_scenes(tmp_path, "val")
    rows = detect(model, part, batch_size=2, workers=0)
    assert {row["image_id"] for row in rows} == {10, 11, 12, 13, 14} and {row["category_id"] for row in rows} == {3, 7}
    (found,) = model([torch.from_numpy(pixels(tmp_path / "images" / "val-0.png")).permute(2, 0, 1) / 255])
    first = [row for row in rows if row["image_id"] == 10]
    assert len(first) == len(found["scores"]) and first[0]["score"] == pytest.approx(found["scores"][0].item(), abs=1e-5)
    assert max(row["bbox"][0] + row["bbox"][2] for row in rows) > 96  # wider than high


def test_eval_prints_the_twelve_figures(detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data(tmp_path, 2, 3)
    assert main(["detect", "eval", str(detector), "--data", str(tmp_path), "--workers", "0", "--device", "cpu", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [*figures] == [*FIGURES] and lines(figures)[0].startswith("AP ")
    assert main(["detect", "eval", str(detector), "--data", str(tmp_path / "val.json"), "--workers", "0", "--device", "cpu"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 12
    value = json.loads((tmp_path / "val.json").read_text())
    value["categories"].append({"id": 9, "name": "green"})
    (tmp_path / "val.json").write_text(json.dumps(value))
    assert main(["detect", "eval", str(detector), "--data", str(tmp_path)]) == 2
    assert "has other categories than the detector: the detector does not know 'green'; give annotations" in capsys.readouterr().err


@pytest.mark.parametrize("ids", [{3: 7, 7: 3}, {3: 1, 7: 2}, {3: 40, 7: 7}])
def test_categories_with_other_ids_are_matched_by_name(
    ids: dict[int, int], detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures are those of the same annotations with the detector's ids, and a note says what differs."""
    data(tmp_path, 2, 3)
    command = ["detect", "eval", str(detector), "--data", str(tmp_path), "--workers", "0", "--device", "cpu"]
    assert main([*command, "--json"]) == 0
    expected = capsys.readouterr().out
    value = json.loads((tmp_path / "val.json").read_text())
    for about in value["categories"]:
        about["id"] = ids[about["id"]]
    for about in value["annotations"]:
        about["category_id"] = ids[about["category_id"]]
    (tmp_path / "val.json").write_text(json.dumps(value))
    assert main([*command, "--json"]) == 0
    assert capsys.readouterr().out == expected
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "note: categories have other ids than those of the detector, matched by name" in out and f"'red' is {ids[3]}, there 3" in out
    part = load_scenes(tmp_path, "val")
    matched = with_classes(part, ("red", "blue"), (3, 7), "x")
    for before, after in zip(part.scenes, matched.scenes, strict=True):
        names = [[one.class_names[label - 1] for label in scene.labels] for one, scene in ((part, before), (matched, after))]
        assert names[0] == names[1]


def test_a_name_that_occurs_twice_is_not_matched(tmp_path: Path) -> None:
    part = load_scenes(data(tmp_path, 2, 3), "val")
    twice = replace(part, class_names=("red", "red"))
    assert with_classes(twice, ("red", "red"), (3, 7), "x") is twice
    with pytest.raises(ValueError, match="other categories than x: a name that occurs twice has other ids"):
        with_classes(twice, ("red", "red"), (3, 8), "x")


def test_predict_writes_pictures_and_what_was_found(detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rectangles(tmp_path, "val", 2, seed=1)
    one, two = tmp_path / "images" / "val-0.png", tmp_path / "photo.webp"
    Image.fromarray(pixels(tmp_path / "images" / "val-1.png")).save(two)
    out = tmp_path / "out"
    assert main(["detect", "predict", str(detector), str(one), str(two), "-o", str(out), "--score", "0.3", "--device", "cpu"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["detections.json", "photo.webp.png", "val-0.png"]
    found = json.loads((out / "detections.json").read_text())
    assert [*found] == ["val-0.png", "photo.webp"] and pixels(out / "val-0.png").shape == (96, 120, 3)
    assert all({*one} == {"label", "name", "score", "box"} and one["score"] >= 0.3 for rows in found.values() for one in rows)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_predict_replaces_no_image_of_its_own(detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rectangles(tmp_path, "val", 2, seed=1)
    folder = tmp_path / "images"
    (tmp_path / "link").symlink_to(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    flags = ["--score", "0.3", "--device", "cpu"]
    for out in (folder, tmp_path / "link"):
        images = [str(folder / f"val-{number}.png") for number in range(2)]
        assert main(["detect", "predict", str(detector), *images, "-o", str(out), *flags]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "val-0.png would take the place of that very image: give another folder with -o" in line
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_predict_turns_an_image_as_its_camera_says(detector: Path, tmp_path: Path) -> None:
    shown = np.zeros((60, 100, 3), np.uint8)
    shown[:, 50:] = (200, 30, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    Image.fromarray(np.ascontiguousarray(np.rot90(shown))).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    assert np.abs(np.array(upright(tmp_path / "photo.jpg")).astype(int) - shown).mean() < 4
    assert main(["detect", "predict", str(detector), str(tmp_path / "photo.jpg"), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    with Image.open(tmp_path / "out" / "photo.jpg") as picture:
        assert picture.size == (100, 60) and not picture.getexif()
    Image.fromarray(shown).save(tmp_path / "odd.jpg", exif=b"Exif\0\0II*\0damaged")
    assert upright(tmp_path / "odd.jpg").size == (100, 60)


def test_a_picture_shows_each_box_where_it_is(detector: Path) -> None:
    model, grey = load(detector), Image.new("RGB", (200, 100), (128, 128, 128))
    shown = np.array(picture(grey, [{"label": 2, "name": "blue", "score": 0.5, "box": [50.0, 40.0, 120.0, 90.0]}], model.design))
    changed = (shown != 128).any(-1)
    assert changed[65, 50] and changed[65, 120] and changed[90, 80] and not changed[65, 85] and not changed[:, 130:].any()
    assert np.array_equal(np.array(picture(grey, [], model.design)), np.array(grey))
    assert detections(load(detector, score_threshold=0.99), grey) == []


def test_of_two_boxes_in_one_place_the_surer_is_on_top_and_both_are_counted(detector: Path) -> None:
    model, grey = load(detector), Image.new("RGB", (200, 100), (128, 128, 128))
    one, other = (
        {"label": label, "name": name, "score": 0.5, "box": [50.0, 40.0, 120.0, 90.0]} for label, name in ((1, "red"), (2, "blue"))
    )
    frames = [np.array(picture(grey, found, model.design))[65, 50].tolist() for found in ([one], [other], [one, other], [other, one])]
    assert frames[0] != frames[1] and frames[2:] == frames[:2]
    assert _summary([one, other, one]) == "2 red, 1 blue" and _summary([]) == "nothing found"


def test_what_is_no_image_leaves_nothing(detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rectangles(tmp_path, "val", 1, seed=1)
    good, bad = tmp_path / "images" / "val-0.png", tmp_path / "bad.png"
    bad.write_text("no image")
    before = sorted(tmp_path.rglob("*"))
    for images, words in (
        ([good, bad], "bad.png can't be read as an image"),
        ([good, tmp_path / "none.png"], "none.png is missing"),
        ([good, good], "two images would give the picture val-0.png"),
    ):
        assert main(["detect", "predict", str(detector), *map(str, images), "-o", str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line and sorted(tmp_path.rglob("*")) == before
    assert main(["detect", "predict", str(detector), str(good), "-o", str(bad)]) == 2
    assert "can't write" in capsys.readouterr().err


@pytest.mark.slow
def test_an_untrained_detector_gets_through_bccd(detector: Path) -> None:
    part = load_scenes(real("bccd"), "val")
    assert part.category_ids == (1, 2, 3) and len(part) == 72
    rows = detect(load(detector, score_threshold=0.5), part, batch_size=8, workers=2)
    assert all({*row} == {"image_id", "category_id", "bbox", "score"} for row in rows)
