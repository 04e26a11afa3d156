"""COCO's files are read as they are; what is wrong in them is counted and named, and stops what it has to stop."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from nasarch.export.detection.coco import find_annotations, load_scenes, with_boxes
from nasarch.export.detection.image_files import find_files, leads_out
from nasarch.export.detection.loader import check_images, pictures
from tests.helpers.datasets import as_tar, as_tree, encoded
from tests.helpers.small_detector import data, rectangles

Value = dict[str, Any]


def changed(folder: Path, change: Callable[[Value], Any]) -> Path:
    """A data set with changed annotations."""
    value = rectangles(folder, "train", 4, seed=0)
    change(value)
    (folder / "train.json").write_text(json.dumps(value))
    return folder


def test_classes_are_numbered_in_the_order_of_their_ids(tmp_path: Path) -> None:
    value = rectangles(tmp_path, "train", 4, seed=0)
    part = load_scenes(tmp_path, "train")
    assert (part.class_names, part.category_ids) == (("red", "blue"), (3, 7)) and part.remarks == ()
    assert part.boxes == len(value["annotations"]) and [scene.number for scene in part.scenes] == [10, 11, 12, 13]
    first = [about for about in value["annotations"] if about["image_id"] == 10]
    assert part.scenes[0].labels.tolist() == [{3: 1, 7: 2}[about["category_id"]] for about in first]
    x, y, width, height = first[0]["bbox"]
    assert part.scenes[0].boxes[0].tolist() == [x, y, x + width, y + height]


@pytest.mark.parametrize("layout", ["folder", "tar", "beside", "coco", "file", "named"])
def test_images_are_found_where_data_sets_have_them(layout: str, tmp_path: Path) -> None:
    rectangles(tmp_path, "train", 3, seed=0)
    place, images = tmp_path, None
    if layout == "tar":
        with tarfile.open(tmp_path / "images.tar", "w") as tar:
            for path in sorted((tmp_path / "images").iterdir()):
                tar.add(path, f"./{path.name}")
                path.unlink()
    elif layout == "beside":
        for path in (tmp_path / "images").iterdir():
            path.rename(tmp_path / path.name)
    elif layout == "coco":
        (tmp_path / "annotations").mkdir()
        (tmp_path / "train.json").rename(tmp_path / "annotations" / "instances_train2017.json")
        (tmp_path / "images").rename(tmp_path / "train2017")
    elif layout == "file":
        place = tmp_path / "train.json"
    elif layout == "named":
        images = (tmp_path / "images").rename(tmp_path / "elsewhere")
    part = load_scenes(place, "train", images)
    check_images(part)
    assert len(part) == 3 and [image.size for image, _ in pictures([scene.file for scene in part.scenes], 0)] == [(120, 96)] * 3


def test_boxes_beyond_the_image_are_clipped_and_those_without_an_area_dropped_and_both_are_named(tmp_path: Path) -> None:
    def change(value: Value) -> None:
        value["annotations"] = [
            {"id": 1, "image_id": 10, "category_id": 3, "bbox": [-5, 10, 30, 20]},
            {"id": 2, "image_id": 10, "category_id": 3, "bbox": [100, 80, 50, 50]},
            {"id": 3, "image_id": 11, "category_id": 7, "bbox": [10, 10, 0, 20]},
            {"id": 4, "image_id": 11, "category_id": 7, "bbox": [130, 10, 20, 20]},
            {"id": 5, "image_id": 11, "category_id": 7, "bbox": [10, 10, 110.2, 20]},
            {"id": 6, "image_id": 12, "category_id": 7, "bbox": [10, 10, 20, 20], "iscrowd": 1},
        ]

    part = load_scenes(changed(tmp_path, change), "train")
    assert [scene.boxes.tolist() for scene in part.scenes] == [[[0, 10, 25, 30], [100, 80, 120, 96]], [[10, 10, 120, 30]], [], []]
    kept = {about["id"]: about["bbox"] for about in part.truth["annotations"]}  # what is evaluated on is what is learnt, and crowds
    assert kept == {1: [0, 10, 25, 20], 2: [100, 80, 20, 16], 5: [10, 10, 110.2, 20], 6: [10, 10, 20, 20]}
    clipped, dropped = part.remarks
    assert clipped.startswith("2 annotations beyond the image's edge: clipped (the first is 1 in train-0.png, bbox [-5, 10, 30, 20]")
    assert dropped.startswith("2 annotations without an area: dropped (the first is 3 in train-1.png")
    assert [scene.number for scene in with_boxes(part)] == [10, 11]


@pytest.mark.parametrize(
    ("box", "learnt", "told"),
    [
        ([-0.5, 10.0, 30.0, 20.0], [0.0, 10.0, 29.5, 30.0], None),
        ([-0.51, 10.0, 30.0, 20.0], [0.0, 10.0, 29.49, 30.0], "clipped"),
        ([10.0, -0.51, 30.0, 20.0], [10.0, 0.0, 40.0, 19.49], "clipped"),
        ([90.0, 10.0, 30.5, 20.0], [90.0, 10.0, 120.0, 30.0], None),
        ([90.0, 10.0, 30.51, 20.0], [90.0, 10.0, 120.0, 30.0], "clipped"),
        ([90.0, 80.0, 9.0, 16.51], [90.0, 80.0, 99.0, 96.0], "clipped"),
        ([0.0, 0.0, 0.0011, 0.0011], [0.0, 0.0, 0.0011, 0.0011], None),
        ([0.0, 0.0, 0.0009, 5.0], None, "dropped"),
        ([0.0, 0.0, 5.0, 0.0009], None, "dropped"),
        ([10.0, 10.0, -5.0, 5.0], None, "dropped"),
        ([120.0, 10.0, 0.4, 5.0], None, "dropped"),
    ],
)
def test_boxes_may_reach_half_a_pixel_beyond_the_edge_and_have_a_thousandth_of_one(
    box: list[float], learnt: list[float] | None, told: str | None, tmp_path: Path
) -> None:
    """Of an image of 120 x 96 pixels; what is evaluated on is changed where that is said, and nowhere else."""
    about = {"id": 7, "image_id": 11, "category_id": 7, "bbox": box, "area": 1e6, "more": "mine"}
    part = load_scenes(changed(tmp_path, lambda value: value.update(annotations=[about])), "train")
    assert [scene.boxes.tolist() for scene in part.scenes] == [[], [] if learnt is None else [pytest.approx(learnt)], [], []]
    assert part.scenes[1].labels.tolist() == ([] if learnt is None else [2])
    assert [told or "" in remark for remark in part.remarks] == [told] * (told is not None)
    if told == "clipped":
        left, top, right, bottom = learnt  # type: ignore[misc]
        inside = {"bbox": pytest.approx([left, top, right - left, bottom - top]), "area": pytest.approx((right - left) * (bottom - top))}
        assert part.truth["annotations"] == [{**about, **inside}]
    else:
        assert part.truth["annotations"] == ([about] if told is None else [])


def test_the_area_of_a_clipped_box_is_that_of_its_outline_where_that_is_less(tmp_path: Path) -> None:
    for area, expected in ((50.0, 50.0), (1e6, 500.0), (None, 500.0), ("x", 500.0)):
        about = {"id": 7, "image_id": 11, "category_id": 7, "bbox": [-5.0, 10.0, 30.0, 20.0], "area": area}
        part = load_scenes(changed(tmp_path, lambda value, about=about: value.update(annotations=[about])), "train")
        assert part.truth["annotations"][0]["area"] == expected


@pytest.mark.parametrize(("number", "legal"), [(2**63 - 1, True), (2**63, False), (-(2**63) + 1, True), (10.0, False), (True, False)])
def test_an_image_has_a_whole_number_that_evaluators_can_count_with(number: Any, legal: bool, tmp_path: Path) -> None:
    def change(value: Value) -> None:
        value["images"][0]["id"], value["annotations"] = number, []

    if legal:
        assert load_scenes(changed(tmp_path, change), "train").scenes[0].number == number
    else:
        with pytest.raises(ValueError, match="lacks a whole id"):
            load_scenes(changed(tmp_path, change), "train")


@pytest.mark.parametrize(("width", "legal"), [(1, True), (0, False)])
def test_an_image_has_a_pixel_or_more(width: int, legal: bool, tmp_path: Path) -> None:
    def change(value: Value) -> None:
        value["images"][0]["width"], value["annotations"] = width, []

    if legal:
        assert load_scenes(changed(tmp_path, change), "train").scenes[0].width == 1
    else:
        with pytest.raises(ValueError, match="lacks a whole id, width, height"):
            load_scenes(changed(tmp_path, change), "train")


def test_a_part_is_its_file_with_digest_and_a_name_of_folder_and_file(tmp_path: Path) -> None:
    value = rectangles(tmp_path, "train", 4, seed=0)
    part = load_scenes(tmp_path, "train")
    assert (part.name, part.path) == (f"{tmp_path.name}/train", tmp_path / "train.json") and len(part) == 4
    assert part.sha256 == hashlib.sha256((tmp_path / "train.json").read_bytes()).hexdigest() and part.truth == value
    assert load_scenes(tmp_path / "train.json", "val").name == "train", "a file is what is asked for"
    assert (part.scenes[0].height, part.scenes[0].width, part.scenes[0].file.member) == (96, 120, "train-0.png")
    loose = json.loads((tmp_path / "train.json").read_text())
    for about in loose["annotations"]:
        about["image_id"], about["category_id"] = float(about["image_id"]), float(about["category_id"])
    (tmp_path / "train.json").write_text(json.dumps(loose))
    again = load_scenes(tmp_path, "train")
    assert all(
        torch.equal(one.boxes, other.boxes) and torch.equal(one.labels, other.labels)
        for one, other in zip(part.scenes, again.scenes, strict=True)
    )


ORDER = ["{}.json", "annotations/instances_{}2014.json", "annotations/instances_{}2017.json", "instances_{}.json"]


@pytest.mark.parametrize("part", ["train", "val"])
def test_annotations_are_looked_for_in_this_order(part: str, tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for name in (*ORDER, "annotations/captions_{}2017.json", "other_{}.json"):
        (tmp_path / name.format(part)).touch()
    for name in ORDER:
        assert find_annotations(tmp_path, part) == tmp_path / name.format(part)
        (tmp_path / name.format(part)).unlink()
    assert find_annotations(tmp_path, part) is None and find_annotations(tmp_path / "x.json", part) == tmp_path / "x.json"


PLACES = ["a/images.tar", "a/images", "a/val2017.tar", "a/val2017", "images.tar", "images", "val2017.tar", "val2017", "a"]


def test_images_are_looked_for_in_this_order_and_the_first_place_with_all_of_them_counts(tmp_path: Path) -> None:
    annotations = tmp_path / "a" / "instances_val2017.json"
    annotations.parent.mkdir()
    content = encoded(0)
    for place in PLACES:
        if place.endswith(".tar"):
            as_tar(tmp_path / place, {"./x.png": content, "in/y.png": content, "z.png": content})
        else:
            as_tree(tmp_path / place, {"x.png": content, "in/y.png": content})
    for place in PLACES:
        found = find_files(annotations, None, ["x.png", "in/y.png", "x.png"])
        assert {name: (file.path, file.member, file.offset >= 0) for name, file in found.items()} == {
            name: (str(tmp_path / place), name, place.endswith(".tar")) for name in ("x.png", "in/y.png")
        }
        assert found["x.png"].read() == content
        if place.endswith(".tar"):
            as_tar(tmp_path / place, {"x.png": content})
        else:
            (tmp_path / place / "in" / "y.png").unlink()
    with pytest.raises(ValueError, match=r"1 of 2 images are missing, the first is in/y.png \(looked in .*images.tar"):
        find_files(annotations, None, ["x.png", "in/y.png"])


@pytest.mark.parametrize("name", ["/x", "\\x", "..", "a/../x", "a\\..\\x", "../x"])
def test_names_that_climb_lead_out_and_dots_in_names_do_not(name: str) -> None:
    assert leads_out(name) and not leads_out("a/..x/y..png") and not leads_out("a\\b.png")


def _lose_category(value: Value) -> None:
    value["categories"] = value["categories"][:1]


def _first(**changes: Any) -> Callable[[Value], Any]:
    return lambda value: value["annotations"][0].update(changes)


BROKEN: dict[str, tuple[Callable[[Value], Any], str]] = {
    "a category that is not listed": (_lose_category, "without a category of the file's list, the first is"),
    "no category": (lambda value: value["annotations"][0].pop("category_id"), "1 annotation without a category"),
    "an image that is not listed": (_first(image_id=99), "1 annotation of an image that the file doesn't list, the first is 1 in image 99"),
    "three numbers": (_first(bbox=[1, 2, 3]), "bbox is not four finite numbers"),
    "no number": (_first(bbox=[1, 2, 3, float("nan")]), "bbox is not four finite numbers"),
    "a huge number": (_first(bbox=[1, 2, 3, 10**400]), "bbox is not four finite numbers"),
    "an image that is a list": (_first(image_id=[10]), "1 annotation of an image that the file doesn't list, the first is 1 in image [10]"),
    "a category that is an object": (_first(category_id={"id": 3}), "1 annotation without a category of the file's list"),
    "an annotation that is a number": (lambda value: value["annotations"].append(7), "doesn't list, the first is 7"),
    "a huge image": (lambda value: value["images"][0].update(width=10**400), "lacks a whole id, width, height"),
    "words": (_first(bbox=[1, 2, 3, "4"]), "bbox is not four finite numbers"),
    "no images": (lambda value: value.update(images=[]), "has no images"),
    "no categories": (lambda value: value.update(categories=[]), "has no categories"),
    "no annotations at all": (lambda value: value.pop("annotations"), "has no list 'annotations'"),
    "one id twice": (lambda value: value["images"].append(value["images"][0].copy()), "two images have the id 10"),
    "one category twice": (lambda value: value["categories"].append({"id": 3, "name": "x"}), "an id of its own"),
    "no size": (lambda value: value["images"][0].pop("width"), "lacks a whole id, width, height"),
    "a file elsewhere": (lambda value: value["images"][1].update(file_name="/etc/hostname"), "1 of 4 file names lead out of the folder"),
    "a file above": (lambda value: value["images"][0].update(file_name="a/../../x.png"), "the first is 'a/../../x.png'"),
    "a file above, with other strokes": (
        lambda value: value["images"][0].update(file_name="..\\x.png"),
        "lead out of the folder of images",
    ),
    "a missing file": (lambda value: value["images"][2].update(file_name="gone.png"), "1 of 4 images are missing, the first is gone.png"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_annotations_that_can_not_be_used_are_one_clear_line(what: str, tmp_path: Path) -> None:
    change, words = BROKEN[what]
    with pytest.raises(ValueError) as refused:
        load_scenes(changed(tmp_path, change), "train")
    assert words in str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) < 600


@pytest.mark.parametrize("climbs", [False, True])
def test_no_annotation_opens_a_file_outside_the_images(climbs: bool, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rectangles(tmp_path / "data", "train", 2, seed=0)
    (tmp_path / "data" / "images" / "train-0.png").rename(tmp_path / "secret.png")
    value = json.loads((tmp_path / "data" / "train.json").read_text())
    value["images"][0]["file_name"] = "../secret.png" if climbs else str(tmp_path / "secret.png")
    (tmp_path / "data" / "train.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match="lead out of the folder of images"):
        load_scenes(tmp_path / "data", "train", tmp_path / "data" / "images")


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    for place, words in ((tmp_path, "no annotations of a train part"), (tmp_path / "none.json", "can't read the annotations")):
        with pytest.raises(ValueError, match=words):
            load_scenes(place, "train")
    (tmp_path / "train.json").write_text("[")
    with pytest.raises(ValueError, match="is not JSON"):
        load_scenes(tmp_path, "train")
    with pytest.raises(ValueError, match="there is no folder or tar file"):
        load_scenes(changed(tmp_path, lambda _: None), "train", tmp_path / "nowhere")
    part = load_scenes(changed(tmp_path, lambda value: value["annotations"].clear()), "train")
    with pytest.raises(ValueError, match="4 images and no box to learn from"):
        with_boxes(part)


def test_an_image_that_is_none_or_of_another_size_is_named_before_anything_starts(tmp_path: Path) -> None:
    data(tmp_path, 3, 1)
    for width, height in ((119, 96), (120, 97), (96, 120)):
        Image.new("RGB", (width, height)).save(tmp_path / "images" / "train-1.png")
        words = f"train-1.png has {width}x{height} pixels, its annotations say 120x96: their boxes are of another image"
        with pytest.raises(ValueError, match=words):
            check_images(load_scenes(tmp_path, "train"))
    (tmp_path / "images" / "train-1.png").write_text("no image")
    part = load_scenes(tmp_path, "train")
    with pytest.raises(ValueError, match=r"train-1.png can't be read as an image \(no format that Pillow knows\); replace it"):
        check_images(part)
    (tmp_path / "images" / "train-1.png").unlink()
    with pytest.raises(ValueError, match="train-1.png is missing; put it back or check its name$"):
        check_images(part)


@pytest.mark.parametrize(("flag", "crowd"), [(0, False), (1, True), (False, False), (True, True), (None, False), (0.0, False), (1.0, True)])
def test_a_crowd_is_marked_by_value(flag: Any, crowd: bool, tmp_path: Path) -> None:
    """A text such as "0" is true in Python, and every box would be left out of training and of AP without a word."""

    def mark(value: Any, flag: Any = flag) -> None:
        value["annotations"][0]["iscrowd"] = flag

    whole = load_scenes(changed(tmp_path, lambda _: None), "train")
    part = load_scenes(changed(tmp_path, mark), "train")
    assert part.boxes == whole.boxes - crowd and len(part.truth["annotations"]) == len(whole.truth["annotations"])
    for text in ("0", "1", "false", "", "no", 2, [], [0], {}, float("nan")):
        with pytest.raises(ValueError, match="1 annotation whose iscrowd is not 0, 1, true, false or null, the first is"):
            load_scenes(changed(tmp_path, lambda value, text=text: mark(value, text)), "train")
