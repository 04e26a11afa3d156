"""Batches of a detector: EXIF orientations, tar files, broken images, augmentation, order; real data sets whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from nasarch.export.detection.coco import load_scenes
from nasarch.export.detection.loader import Draw, Drawn, Epochs, batches, check_images, transforms
from tests.helpers.datasets import as_tar, real
from tests.helpers.small_detector import data, rectangles


@pytest.mark.parametrize("kind", ["jpg", "png", "tiff", "webp"])
def test_images_with_an_exif_orientation_are_counted(kind: str, tmp_path: Path) -> None:
    value = rectangles(tmp_path, "train", 6, seed=0, size=(96, 96))
    for number, about in enumerate(value["images"][:5]):
        exif = Image.Exif()
        exif[0x112] = (3, 6, 1, 2, 9)[number]
        path = tmp_path / "images" / about["file_name"]
        about["file_name"] = f"{number}.{kind}"
        Image.open(path).save(tmp_path / "images" / about["file_name"], exif=exif)
    (tmp_path / "train.json").write_text(json.dumps(value))
    part = load_scenes(tmp_path, "train")
    check_images(part)
    (remark,) = part.remarks
    assert (
        remark.startswith("3 images have an EXIF orientation, which is not applied") and f"the first is '0.{kind}', orientation 3" in remark
    )


def test_annotations_of_turned_images_name_exif(tmp_path: Path) -> None:
    value = rectangles(tmp_path, "train", 1, seed=0)
    exif = Image.Exif()
    exif[0x112] = 6
    path = tmp_path / "images" / value["images"][0]["file_name"]
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    part = load_scenes(tmp_path, "train")
    with pytest.raises(ValueError, match="has 96x120 pixels, its annotations say 120x96: they are those of .* EXIF orientation 6 turns it"):
        check_images(part)
    Image.open(path).save(path)  # of the turned size, but no EXIF says so
    with pytest.raises(ValueError, match="has 96x120 pixels, its annotations say 120x96: their boxes are of another image"):
        check_images(load_scenes(tmp_path, "train"))


@pytest.mark.parametrize("prefix", ["", "./", "images/", "./images/", "pack/images/"])
def test_images_lie_in_a_tar_however_it_was_packed(prefix: str, tmp_path: Path) -> None:
    value = rectangles(tmp_path, "train", 3, seed=0)
    files = {f"{prefix}{path.name}": path.read_bytes() for path in sorted((tmp_path / "images").iterdir())}
    as_tar(tmp_path / "images.tar", files)
    shutil.rmtree(tmp_path / "images")
    for start in ("", "./"):
        for about in value["images"]:
            about["file_name"] = start + about["file_name"].removeprefix("./")
        (tmp_path / "train.json").write_text(json.dumps(value))
        part = load_scenes(tmp_path, "train")
        check_images(part)
        assert len(part) == 3


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
