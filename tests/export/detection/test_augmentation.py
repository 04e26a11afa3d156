"""Augmentation of images and their boxes for SSD: resize, flip, crop, zoom out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from nasarch.data.image_files import File
from nasarch.export.detection.coco import Scene
from nasarch.export.detection.loader import Draw, Drawn, transforms
from tests.helpers.boxes import MEAN
from tests.helpers.exported import bilinear


@pytest.fixture
def picture(tmp_path: Path) -> Scene:
    """60 pixels wide and 40 high, of noise, with two boxes in no symmetry and one that will be as narrow as a pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    wide, narrow = ([30.0, 2.0, 30.0 + share * 60 / 32, 9.0] for share in (1.02, 0.98))
    boxes = torch.tensor([[3.0, 5.0, 21.0, 17.0], wide, [40.0, 10.0, 58.0, 39.0], narrow])
    return Scene(5, File(str(tmp_path), "a.png"), 40, 60, boxes, torch.tensor([2, 1, 3, 4]))


def draws(scene: Scene, augmentation: Any, count: int) -> list[Any]:
    drawn = Drawn([scene], transforms(augmentation, 32, MEAN), seed=9)
    return [drawn[Draw(epoch, 0)] for epoch in range(count)]


def seeded(epoch: int) -> None:
    torch.manual_seed(random.Random(f"9 {epoch} 0").getrandbits(63))


def test_a_resized_image_is_bilinear_and_its_boxes_are_scaled_and_those_below_a_pixel_are_gone(picture: Scene) -> None:
    (sample,) = draws(picture, "none", 1)
    pixels = np.array(Image.open(Path(picture.file.path) / "a.png")).transpose(2, 0, 1)[None].astype(np.float64)
    assert np.abs(sample["image"].numpy() - bilinear(pixels, 32, 32)[0]).max() < 1
    expected = picture.boxes.numpy()[:3] * np.array([32 / 60, 32 / 40] * 2)
    np.testing.assert_allclose(sample["boxes"].numpy(), expected, atol=1e-4)
    assert sample["labels"].tolist() == [2, 1, 3]


def test_a_flip_mirrors_image_and_boxes_in_half_of_the_draws(picture: Scene) -> None:
    (plain,), flipped = draws(picture, "none", 1), 0
    for epoch, sample in enumerate(draws(picture, "flip", 8)):
        seeded(epoch)
        if torch.rand(1).item() < 0.5:
            flipped += 1
            assert torch.equal(sample["image"], plain["image"].flip(-1))
            mirrored = [[32 - right, top, 32 - left, bottom] for left, top, right, bottom in plain["boxes"].tolist()]
            assert sample["boxes"].tolist() == [pytest.approx(box, abs=1e-5) for box in mirrored]
        else:
            assert torch.equal(sample["image"], plain["image"]) and torch.equal(sample["boxes"], plain["boxes"])
        assert sample["labels"].tolist() == [2, 1, 3]
    assert 0 < flipped < 8


RESIZE, FLIP, CLEAN = v2.Resize((32, 32), antialias=False), v2.RandomHorizontalFlip(0.5), v2.SanitizeBoundingBoxes(min_size=1)

CROP = v2.RandomIoUCrop(0.3, 1.0, 0.5, 2.0, [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0], 40)

ZOOM = v2.RandomZoomOut({tv_tensors.Image: [26, 102, 204], "others": 0}, (1.0, 4.0), 0.5)

STEPS = {"ssd": [ZOOM, CROP, RESIZE, FLIP, v2.RandomPhotometricDistort(), CLEAN], "ssdlite": [CROP, RESIZE, FLIP, CLEAN]}


@pytest.mark.parametrize("augmentation", STEPS)
def test_ssds_augmentations_are_those_of_the_table_in_its_order(augmentation: str, picture: Scene) -> None:
    """Constants of Liu et al., sec. 2.2: overlaps, proportions of 1/2 to 2, zooming out to 4 times a side in half of the draws."""
    compose, seen = v2.Compose(STEPS[augmentation]), set[int]()
    pixels = torch.from_numpy(np.array(Image.open(Path(picture.file.path) / "a.png"))).permute(2, 0, 1)
    state = torch.get_rng_state()
    for epoch, sample in enumerate(draws(picture, augmentation, 12)):
        assert torch.equal(torch.get_rng_state(), state), "nothing else that is random depends on it"
        with torch.random.fork_rng(devices=[]):
            seeded(epoch)
            boxes = tv_tensors.BoundingBoxes(picture.boxes, format="XYXY", canvas_size=(40, 60))  # type: ignore[call-overload]
            expected = compose({"image": tv_tensors.Image(pixels), "boxes": boxes, "labels": picture.labels})
        assert all(torch.equal(sample[key], expected[key]) for key in ("image", "boxes", "labels"))
        seen.add(len(expected["labels"]))
    assert len(seen) > 1


def test_the_rim_that_zooming_out_adds_has_the_mean_colour(picture: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2.RandomPhotometricDistort, "__init__", lambda self: v2.Identity.__init__(self))
    monkeypatch.setattr(v2.RandomPhotometricDistort, "forward", lambda self, *found: found[0])
    monkeypatch.setattr(v2.RandomIoUCrop, "forward", lambda self, *found: found[0])
    corners = [tuple(sample["image"][:, i, j].tolist()) for sample in draws(picture, "ssd", 6) for i in (0, -1) for j in (0, -1)]
    assert corners.count((26, 102, 204)) > 5
