"""PC-DARTS, sec. 4.5: trainval35k of several annotation files, test-dev without annotations, detections in COCO's results format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nasarch.cli.main import main
from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.coco_metrics import coco_figures
from nasarch.export.detection.image_files import find_files
from nasarch.export.detection.parts import training_part
from nasarch.export.ssd.detector import load, save
from tests.helpers.small_detector import command, random_detector, rectangles

IDS = {3: 70, 7: 30}  # of the categories in another file


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    save(random_detector(), folder)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def only(file: Path, target: Path, numbers: set[int]) -> Path:
    """The annotations of these images alone, with the categories' ids of `IDS`."""
    value = json.loads(file.read_text())
    value["images"] = [about for about in value["images"] if about["id"] in numbers]
    value["annotations"] = [
        about | {"category_id": IDS[about["category_id"]]} for about in value["annotations"] if about["image_id"] in numbers
    ]
    value["categories"] = [about | {"id": IDS[about["id"]]} for about in value["categories"]]
    target.write_text(json.dumps(value))
    return target


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """In COCO's layout: train2014, val2014 and its two parts, minival2014 (2 images) and valminusminival2014 (4); test-dev2015."""
    for part, count, seed in (("train2014", 5, 0), ("val2014", 6, 1), ("test2015", 3, 2)):
        rectangles(tmp_path / "made", part, count, seed)
        (tmp_path / part).mkdir()
        for image in (tmp_path / "made" / "images").glob(f"{part}-*"):
            image.rename(tmp_path / part / image.name)
    annotations = tmp_path / "annotations"
    annotations.mkdir()
    for part in ("train2014", "val2014"):
        (tmp_path / "made" / f"{part}.json").rename(annotations / f"instances_{part}.json")
    only(annotations / "instances_val2014.json", annotations / "instances_minival2014.json", {10, 13})
    only(annotations / "instances_val2014.json", annotations / "instances_valminusminival2014.json", {11, 12, 14, 15})
    value = json.loads((tmp_path / "made" / "test2015.json").read_text())
    del value["annotations"]
    (annotations / "image_info_test-dev2015.json").write_text(json.dumps(value))
    shutil.rmtree(tmp_path / "made")
    return annotations


def test_trainval35k_is_a_union_or_what_minival_leaves(coco: Path) -> None:
    train, minival = coco / "instances_train2014.json", coco / "instances_minival2014.json"
    union = training_part(train, also=coco / "instances_valminusminival2014.json")
    rest = training_part(train, also=coco / "instances_val2014.json", exclude=minival)
    first, val = load_scenes(train, "train"), load_scenes(coco / "instances_val2014.json", "val")
    expected = [*first.scenes, *(scene for scene in val.scenes if scene.number not in (10, 13))]
    for part in (union, rest):
        assert [scene.file for scene in part.scenes] == [scene.file for scene in expected] and len(part) == 9
        for scene, other in zip(part.scenes, expected, strict=True):
            assert torch.equal(scene.boxes, other.boxes) and torch.equal(scene.labels, other.labels)  # categories matched by name
        assert part.category_ids == first.category_ids and part.class_names == first.class_names
    assert union.name == "instances_train2014 + instances_valminusminival2014" and "matched by name" in union.changes[0]
    assert rest.changes == ("2 images of instances_minival2014.json are left out of the training",)
    assert len({first.sha256, union.sha256, rest.sha256}) == 3


def test_a_detector_trains_on_it_and_goes_on(coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--also", str(coco / "instances_val2014.json"), "--exclude", str(coco / "instances_minival2014.json")]
    whole = command(
        coco / "instances_train2014.json", tmp_path / "run", *files, "--epochs", "1", "--val", str(coco / "instances_minival2014.json")
    )
    assert main(whole) == 0
    said = capsys.readouterr().out
    assert (
        "instances_train2014 + instances_val2014 - instances_minival2014: 9 images" in said and "2 images of instances_minival2014" in said
    )
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["images"] == 9 and config["detect"]["exclude"] == str(coco / "instances_minival2014.json")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["val"]["images"] == 2
    assert main(["detect", "train", "--resume", str(tmp_path / "run")]) == 0


def test_files_with_an_image_in_common_and_a_file_that_leaves_out_nothing_are_refused(coco: Path, tmp_path: Path) -> None:
    val, minival = coco / "instances_val2014.json", coco / "instances_minival2014.json"
    with pytest.raises(ValueError, match=r"2 images are in both .*the first is 'val2014-0\.png'"):
        training_part(val, also=minival)
    with pytest.raises(ValueError, match="none of its images is to train on"):
        training_part(coco / "instances_train2014.json", exclude=minival)
    with pytest.raises(ValueError, match="it has all images that are to train on"):
        training_part(minival, exclude=val)


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("instances_minival2014", "val2014"),
        ("instances_valminusminival2014", "val2014"),
        ("image_info_test-dev2015", "test2015"),
        ("image_info_test2015", "test2015"),
    ],
)
def test_images_of_cocos_parts_are_found_in_cocos_folders(file: str, folder: str, tmp_path: Path) -> None:
    for name in ("annotations", "val2014", "test2015"):
        (tmp_path / name).mkdir()
    (tmp_path / folder / "a.jpg").touch()
    assert find_files(tmp_path / "annotations" / f"{file}.json", None, ["a.jpg"])["a.jpg"].path == str(tmp_path / folder)


EVAL = ["--workers", "0", "--device", "cpu"]


def test_eval_writes_results_with_the_ids_of_the_file(
    detector: Path, coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = coco / "instances_minival2014.json", tmp_path / "results.json"
    assert main(["detect", "eval", str(detector), "--data", str(file), "--results", str(results), *EVAL, "--json"]) == 0
    figures, rows = json.loads(capsys.readouterr().out), json.loads(results.read_text())
    assert rows and all(list(row) == ["image_id", "category_id", "bbox", "score"] for row in rows)
    assert {row["image_id"] for row in rows} == {10, 13} and {row["category_id"] for row in rows} == {70, 30}
    assert coco_figures(json.loads(file.read_text()), rows) == pytest.approx(figures, abs=2e-3)  # rounded coordinates
    model, (scene, *_) = load(detector), load_scenes(file, "val").scenes
    with Image.open(coco.parent / "val2014" / scene.file.member) as image:
        (found,) = model([torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255])
    own = [row for row in rows if row["image_id"] == scene.number]
    assert len(own) == len(found["scores"])
    left, top, right, bottom = found["boxes"][0].tolist()
    assert own[0]["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=0.011)
    assert own[0]["category_id"] == {1: 70, 2: 30}[int(found["labels"][0])]  # red and blue
    assert main(["detect", "eval", str(detector), "--data", str(file), "--results", str(results), *EVAL]) == 0
    assert f"note: {len(rows):,} detections in 2 images: {results}" in capsys.readouterr().out


def test_test_dev_has_detections_and_no_figures(detector: Path, coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, results = coco / "image_info_test-dev2015.json", tmp_path / "results.json"
    assert "has no list 'annotations'" in refused(capsys, "detect", "eval", str(detector), "--data", str(file), *EVAL)
    assert main(["detect", "eval", str(detector), "--data", str(file), "--results", str(results), *EVAL]) == 0
    said = capsys.readouterr().out
    assert "has no annotations, so there are no figures" in said and "AP" not in said
    assert {row["image_id"] for row in json.loads(results.read_text())} == {10, 11, 12}
    assert "has no list 'annotations'" in refused(capsys, *command(coco / "instances_train2014.json", tmp_path / "run", "--val", str(file)))


def test_predict_writes_results_by_the_file_or_by_the_names(detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rectangles(tmp_path, "val", 3, seed=1)
    images = [str(tmp_path / "images" / f"val-{number}.png") for number in (2, 0)]
    flags = ["-o", str(tmp_path / "out"), "--score", "0", "--device", "cpu", "--results", str(tmp_path / "results.json")]
    assert main(["detect", "predict", str(detector), *images, *flags]) == 0
    by_name = json.loads((tmp_path / "results.json").read_text())
    assert f"{len(by_name):,} detections in COCO's results format" in capsys.readouterr().out
    assert list(dict.fromkeys(row["image_id"] for row in by_name)) == [2, 0] and {row["category_id"] for row in by_name} == {3, 7}
    other = only(tmp_path / "val.json", tmp_path / "other.json", {10, 11, 12})
    assert main(["detect", "predict", str(detector), *images, *flags, "--annotations", str(other)]) == 0
    by_file = json.loads((tmp_path / "results.json").read_text())
    assert by_file == [row | {"image_id": 10 + row["image_id"], "category_id": IDS[row["category_id"]]} for row in by_name]
    found = json.loads((tmp_path / "out" / "detections.json").read_text())["val-2.png"]
    x1, y1, x2, y2 = found[0]["box"]
    assert by_file[0]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.011) and by_file[0]["score"] == found[0]["score"]


def test_results_are_in_pixels_of_stored_images(detector: Path, tmp_path: Path) -> None:
    """COCO's boxes are; pictures of `detect predict` are otherwise turned as viewers show them."""
    rectangles(tmp_path, "val", 1, seed=1, size=(80, 120))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    with Image.open(tmp_path / "images" / "val-0.png") as image:
        image.save(tmp_path / "turned-0.png", exif=exif)
    flags = ["-o", str(tmp_path / "out"), "--score", "0", "--device", "cpu"]
    for more, size in (([], (80, 120)), (["--results", str(tmp_path / "results.json")], (120, 80))):
        assert main(["detect", "predict", str(detector), str(tmp_path / "turned-0.png"), *flags, *more]) == 0
        with Image.open(tmp_path / "out" / "turned-0.png") as picture:
            assert picture.size == size
    rows = json.loads((tmp_path / "results.json").read_text())
    assert max(row["bbox"][0] + row["bbox"][2] for row in rows) > 80


@pytest.mark.parametrize(
    ("names", "more", "words"),
    [
        (["a.png"], [], "no image_id for a.png: its name doesn't end in a number: give the file that lists it with --annotations"),
        (["a1.png", "b1.png"], [], "a1.png and b1.png are both image 1"),
        (["c7.png"], ["--annotations", "val.json"], "no image_id for c7.png: val.json doesn't list it"),
        (["val-0.png"], ["--annotations", "green.json"], "green.json has no one category for blue"),
    ],
    ids=["no number", "one number twice", "not listed", "other classes"],
)
def test_what_has_no_ids_is_refused_before_anything_is_written(
    names: list[str], more: list[str], words: str, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    value = rectangles(tmp_path, "val", 1, seed=1)
    value["categories"][0]["name"] = "green"
    Path("green.json").write_text(json.dumps(value | {"annotations": []}))
    for name in names:
        shutil.copy(tmp_path / "images" / "val-0.png", name)
    files = ["-o", "out", "--results", "results.json"]
    assert words in refused(capsys, "detect", "predict", str(detector), *names, *files, *more, "--device", "cpu")
    assert not Path("out").exists() and not Path("results.json").exists()
    assert "give both, or none" in refused(capsys, "detect", "predict", str(detector), *names, "-o", "out", "--annotations", "val.json")
