"""COCO's files are read as they are; what is wrong in them is counted and named, and stops what it has to stop."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from nasarch.export.detect_batches import Draw, Drawn, Epochs, batches, check_images, pictures, transforms
from nasarch.export.detect_data import load_scenes, with_boxes
from tests.data_sets import real
from tests.detect_small import data, rectangles

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
    part = load_scenes(tmp_path, "train")
    Image.new("RGB", (50, 50)).save(tmp_path / "images" / "train-1.png")
    with pytest.raises(ValueError, match="train-1.png has 50x50 pixels, its annotations say 120x96"):
        check_images(part)
    (tmp_path / "images" / "train-1.png").write_text("no image")
    with pytest.raises(ValueError, match=r"train-1.png can't be read as an image \(no format that Pillow knows\); replace it"):
        check_images(part)
    (tmp_path / "images" / "train-1.png").unlink()
    with pytest.raises(ValueError, match="train-1.png is missing; put it back or check its name$"):
        check_images(part)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_breaks_off_is_one_clear_line(workers: int, tmp_path: Path) -> None:
    data(tmp_path, 4, 1)
    scenes = load_scenes(tmp_path, "train").scenes
    whole = (tmp_path / "images" / "train-2.png").read_bytes()
    (tmp_path / "images" / "train-2.png").write_bytes(whole[: len(whole) // 2])
    draws = Epochs(4, 4, seed=0).draws(range(1), 0)
    with pytest.raises(ValueError, match="^[^\n]*train-2.png can't be read as an image[^\n]*$"):
        list(batches(scenes, transforms("none", 32, (0.5,) * 3), 0, draws, workers))


@pytest.mark.parametrize("augmentation", ["ssd", "ssdlite", "flip", "none"])
def test_boxes_follow_their_objects_through_every_augmentation(augmentation: Any, tmp_path: Path) -> None:
    data(tmp_path, 6, 1)
    scenes = load_scenes(tmp_path, "train").scenes
    drawn = Drawn(scenes, transforms(augmentation, 96, (0.5,) * 3), seed=3)
    seen = 0
    for draw in (Draw(epoch, image) for epoch in range(5) for image in range(6)):
        sample = drawn[draw]
        assert sample["image"].shape == (3, 96, 96) and sample["image"].dtype == torch.uint8
        for (left, top, right, bottom), label in zip(sample["boxes"].round().int().tolist(), sample["labels"].tolist(), strict=True):
            if right - left < 8 or bottom - top < 8:
                continue
            inside = sample["image"][:, top + 2 : bottom - 2, left + 2 : right - 2].float()
            red, blue = inside[0].mean(), inside[2].mean()
            if augmentation != "ssd":  # which turns hues
                assert (red > blue) == (label == 1)
            assert (inside.amax((1, 2)) - inside.amin((1, 2))).max() < 40  # of one colour
            seen += 1
    assert seen > 20


def test_order_and_draws_depend_on_seed_and_epoch_alone_and_processes_share_each_batch(tmp_path: Path) -> None:
    data(tmp_path, 10, 1)
    scenes, transform = load_scenes(tmp_path, "train").scenes, transforms("ssd", 48, (0.5,) * 3)
    whole = list(batches(scenes, transform, 5, Epochs(10, 4, 5).draws(range(3), 0), 0))
    later = list(batches(scenes, transform, 5, Epochs(10, 4, 5).draws(range(1, 3), 1), 2))
    assert len(whole) == 6 and len(later) == 3
    for first, second in zip(whole[3:], later, strict=True):
        assert torch.equal(first.images, second.images)
        assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(first.targets, second.targets, strict=True))
    assert not torch.equal(whole[0].images, whole[2].images)
    orders = [list(Epochs(10, 4, 5, rank, 2).draws(range(3), 0)) for rank in range(2)]
    for batch, first, second in zip(Epochs(10, 4, 5).draws(range(3), 0), *orders, strict=True):
        assert batch[0::2] == first and batch[1::2] == second
    for count, size, ranks in ((3, 4, 1), (10, 1, 1), (10, 5, 2), (10, 2, 2)):
        with pytest.raises(ValueError, match=f"batch size {size}: there are {count} images with boxes"):
            Epochs(count, size, 0, 0, ranks)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "train", "val", "classes"), [("bccd", 3941, 945, 3), ("coco128", 929, 898, 80)])
def test_real_data_sets_are_read_whole(name: str, train: int, val: int, classes: int) -> None:
    for part, boxes in (("train", train), ("val", val)):
        found = load_scenes(real(name), part)
        check_images(found)
        assert found.boxes == boxes and len(found.class_names) == classes and found.remarks == ()
