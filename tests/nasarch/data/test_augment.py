"""Random resized crops are those of torchvision's definition, and the same for an image in memory, in a file, and on disk."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional

from nasarch.data.augment import random_box
from nasarch.data.dataset import Augmentation
from nasarch.data.decoding import random_crop
from nasarch.data.image_files import File
from nasarch.data.loader import BatchLoader
from nasarch.data.sampler import EpochSampler
from tests.helpers.datasets import dataset, encoded, images

SIZES = [(224, 224), (375, 500), (96, 64), (40, 400)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_boxes_lie_inside_with_area_and_ratio_in_range(height: int, width: int) -> None:
    for seed in range(500):
        top, left, rows, columns = random_box(seed, height, width, (0.2, 0.7))
        assert 0 <= top <= height - rows and 0 <= left <= width - columns
        if height * 4 > width:  # else only the fallback fits, most of the time
            assert 0.2 * 0.95 < rows * columns / (height * width) < 0.7 * 1.05
        assert 3 / 4 * 0.93 < columns / rows < 4 / 3 * 1.07


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_boxes_are_distributed_as_torchvisions(height: int, width: int) -> None:
    torch.manual_seed(0)
    blank = torch.empty(3, height, width)
    theirs = torch.tensor([RandomResizedCrop.get_params(blank, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]).double()
    ours = torch.tensor([random_box(seed * 7919, height, width, (0.08, 1.0)) for seed in range(4000)]).double()
    for level in (0.1, 0.5, 0.9):  # of top, left, height and width
        assert (theirs.quantile(level, dim=0) - ours.quantile(level, dim=0)).abs().max() < 0.035 * max(height, width)
    for of in (lambda box: box[:, 2] * box[:, 3] / (height * width), lambda box: (box[:, 3] / box[:, 2]).log()):
        assert abs(float(of(theirs).mean() - of(ours).mean())) < 0.02 and abs(float(of(theirs).std() - of(ours).std())) < 0.02


def test_a_box_follows_its_seed() -> None:
    """A search with the same seed sees the same crops in every version."""
    assert [random_box(seed, 224, 224, (0.08, 1.0)) for seed in (0, 1, 2**47)] == [(13, 0, 193, 223), (102, 28, 91, 112), (10, 8, 175, 206)]


def test_an_image_that_no_box_fits_gives_the_largest_at_its_centre() -> None:
    assert random_box(0, 10, 100, (0.9, 1.0)) == (0, 43, 10, 13)
    assert random_box(0, 100, 10, (0.9, 1.0)) == (43, 0, 13, 10)


@pytest.mark.parametrize("size", [(64, 64), (20, 30)])
def test_a_crop_of_a_file_is_torchvisions_with_the_same_box(size: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(encoded(size=(80, 70)))
    whole = torch.from_numpy(np.array(Image.open(tmp_path / "0.png"))).permute(2, 0, 1)
    for seed in range(20):
        expected = functional.resized_crop(whole, *random_box(seed, 80, 70, (0.08, 1.0)), list(size))
        assert torch.equal(random_crop(File(str(tmp_path), "0.png"), seed, (0.08, 1.0), size), expected)


def test_batches_take_the_crops_of_their_seeds() -> None:
    data = dataset(images(size=(70, 66)), test=None)
    wanted = Augmentation(crop_scale=(0.2, 1.0), flip=True)
    draws = next(iter(EpochSampler(30, (70, 66), wanted, batch_size=30, seed=5)))
    x_BCHW, y_B = next(iter(BatchLoader(data.train, data, batch_size=30, seed=5, augmentation=wanted)))
    assert torch.equal(y_B, data.train.labels[draws.image]) and len(set(draws.seeds())) == 30
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    for x, image, seed, flipped in zip(x_BCHW, draws.image, draws.seeds(), draws.flip, strict=True):
        crop = functional.resized_crop(data.train.pixels[image], *random_box(seed, 70, 66, (0.2, 1.0)), [70, 66])
        expected = (crop.flip(2) if flipped else crop) / 255
        torch.testing.assert_close(x * std + mean, expected, rtol=0, atol=1e-5)


def test_a_large_jpeg_is_decoded_smaller_but_shows_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Image.open(io.BytesIO(encoded(size=(8, 10))))
    small.resize((1000, 800), Image.Resampling.BICUBIC).save(tmp_path / "0.jpg", quality=95)
    file = File(str(tmp_path), "0.jpg")
    reduced = [random_crop(file, seed, (0.5, 1.0), (64, 64)).int() for seed in range(8)]
    monkeypatch.setattr(Image.Image, "draft", lambda *arguments: None)
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *arguments: None)
    for seed, crop in enumerate(reduced):
        whole = random_crop(file, seed, (0.5, 1.0), (64, 64)).int()
        assert 0 < (crop - whole).abs().double().mean() < 6  # of 255
