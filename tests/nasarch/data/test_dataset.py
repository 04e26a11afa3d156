"""Data sets: values refuse what does not fit, splits are balanced, and a name gives the same data everywhere."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch

from nasarch.data.dataset import Augmentation, Images, halves, split, split_indices
from nasarch.data.load import cache_folder, load
from nasarch.data.loader import in_order
from tests.helpers.datasets import dataset, images, real

# ---- values


@pytest.mark.parametrize(
    ("pixels", "labels", "named"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2).long(), "torch.float32"),
        (torch.zeros(2, 1, 4, 4).byte(), torch.zeros(2).long(), r"\[2, 1, 4, 4\]"),
        (torch.zeros(2, 3, 4, 4).byte(), torch.zeros(3).long(), r"\[3\] for 2 images"),
        (torch.zeros(2, 3, 4, 4).byte(), torch.zeros(2), "torch.float32"),
    ],
)
def test_images_of_another_type_or_shape_are_refused(pixels: torch.Tensor, labels: torch.Tensor, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Images(pixels, labels)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"class_names": ("a",)}, "at least two"),
        ({"class_names": ("a", "b")}, "labels 0 to 1"),
        ({"test": images(9, size=(8, 8))}, r"\(8, 8\).*\(10, 12\)"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        dataset(**changes)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"padding": -1}, "padding=-1"),
        ({"crop_scale": (0.0, 1.0)}, r"crop_scale=\(0.0, 1.0\): pass the least and the largest share"),
        ({"crop_scale": (0.5, 0.4)}, "above 0 to 1"),
        ({"crop_scale": (0.5, 1.1)}, "above 0 to 1"),
        ({"crop_scale": (0.5, 1.0), "padding": 4}, "cropped in one way"),
    ],
)
def test_impossible_augmentation_is_refused(wanted: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Augmentation(**wanted)


def test_images_show_at_most_themselves() -> None:
    with pytest.raises(ValueError, match=r"images of \[10, 12\] pixels can't show \[11, 12\]"):
        replace(images(), shown=(11, 12))


@pytest.mark.parametrize("names", [("a",), ("a",) * 30, ()])
def test_names_are_one_for_each_image(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"{len(names)} names for 30 training images"):
        dataset(names=names)


def test_mean_and_std_are_those_of_the_training_pixels() -> None:
    data = dataset()
    pixels = data.train.pixels.numpy().astype(np.float64) / 255
    np.testing.assert_allclose(data.mean, pixels.mean((0, 2, 3)), atol=5.1e-5)
    np.testing.assert_allclose(data.std, pixels.std((0, 2, 3)), atol=5.1e-5)


def test_a_channel_of_one_level_can_be_normalised() -> None:
    gray = Images(torch.full((4, 3, 8, 8), 7, dtype=torch.uint8), torch.arange(4) % 2)
    x, _ = next(in_order(gray, dataset(gray, test=None), batch_size=4))
    assert x.abs().max() < 0.05


def test_the_digest_of_known_data_never_changes() -> None:
    pixels = torch.arange(2 * 3 * 2 * 2, dtype=torch.uint8).view(2, 3, 2, 2)
    data = dataset(Images(pixels, torch.tensor([1, 0])), test=None)
    assert data.digest == "4d4a32888b86412243a5ae69288a2a75aad193fa79757972ca523caab6b12b2b"


def test_the_digest_tells_any_change_of_pixels_labels_or_parts() -> None:
    part, other = images(), images()
    other.pixels[7, 1, 2, 3] ^= 1
    relabelled = Images(part.pixels, part.labels.flip(0))
    test = images(9, seed=1)
    variants = [dataset(part), dataset(other), dataset(relabelled), dataset(part, test=None), dataset(test, test=part)]
    assert len({data.digest for data in variants}) == len(variants)
    assert dataset(part).digest == dataset(images(), name="another name").digest


# ---- splits


def test_halves_are_disjoint_cover_all_and_balance_every_class() -> None:
    labels = torch.tensor([0] * 10 + [1] * 11 + [2] * 31)[torch.randperm(52, generator=torch.Generator().manual_seed(3))]
    first, second = split_indices(labels, (0.5, 0.5), seed=0)
    assert sorted(first.tolist() + second.tolist()) == list(range(52))
    counts = torch.stack([labels[first].bincount(), labels[second].bincount()])
    assert (counts[0] - counts[1]).abs().max() <= 1


@pytest.mark.parametrize("fractions", [(0.1, 0.025), (0.05, 0.05), (0.2,), (0.3, 0.3, 0.4), (0.1,) * 10])
def test_each_part_has_its_fraction_of_every_class_and_no_image_twice(fractions: tuple[float, ...]) -> None:
    labels = torch.arange(1200) % 3
    parts = split_indices(labels, fractions, seed=1)
    assert torch.cat(parts).unique().numel() == sum(map(len, parts))
    for part, fraction in zip(parts, fractions, strict=True):
        assert labels[part].bincount().tolist() == [round(400 * fraction)] * 3


def test_a_split_follows_its_seed() -> None:
    labels = torch.arange(300) % 3
    once, again, other = (split_indices(labels, (0.5,), seed)[0].tolist() for seed in (0, 0, 1))
    assert once == again != other


def test_split_images_are_the_images_at_the_split_indices() -> None:
    whole = images()
    (indices,) = split_indices(whole.labels, (0.4,), seed=5)
    (part,) = split(whole, (0.4,), seed=5)
    assert torch.equal(part.pixels, whole.pixels[indices]) and torch.equal(part.labels, whole.labels[indices])
    assert sum(map(len, halves(whole, seed=5))) == len(whole)


@pytest.mark.parametrize("fractions", [(), (0.0, 0.5), (-0.1,), (0.6, 0.5), (float("nan"), 0.5), (0.5, float("nan")), (float("inf"),)])
def test_impossible_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="above 0, and all together at most 1"):
        split(images(), fractions, seed=0)


def test_a_fraction_that_leaves_a_class_empty_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(0.01,\) leave no image of a class that has 10"):
        split(images(), (0.01,), seed=0)


# ---- names


@pytest.mark.parametrize("name", ["imagenet", "nowhere/at/all", "x" * 5000, "a\0b", "~no-such-user/data"])
def test_an_unknown_name_or_path_is_refused(name: str) -> None:
    with pytest.raises(
        ValueError, match="neither one of digits, cifar10, cifar100, imagenet16-120 nor an existing path; a path holds train/<class>"
    ):
        load(name)


@pytest.mark.parametrize("size", [0, -32, 7, 5000])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size {size}: choose 8 to 1024 pixels"):
        load("digits", size=size)


def test_digits_are_1797_real_digits_split_by_class() -> None:
    data = load("digits")
    assert data.test is not None
    assert (len(data.train), len(data.test), data.size) == (1500, 297, (32, 32))
    assert data.train.labels.bincount().tolist() == [150] * 10
    assert data.test.labels.bincount().min() >= 24
    assert int(data.train.pixels.min()) == 0 and int(data.train.pixels.max()) == 255
    assert torch.equal(data.train.pixels[:, 0], data.train.pixels[:, 1]) and torch.equal(data.train.pixels[:, 0], data.train.pixels[:, 2])
    assert data.digest == load("digits").digest


def test_digits_are_not_mirrored() -> None:
    assert load("digits").augmentation == Augmentation(padding=2)


def test_digits_without_scikit_learn_are_those_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    data = load("digits", size=8)
    assert data.test is not None and (len(data.train), len(data.test)) == (1500, 297)
    assert data.digest == "5ecfd1c3089d69762d6552e2e8acdbec4e09b1e2f211516531303c8ff5ec8f7d"


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_cifar_names_the_folder_and_the_flag(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{name}.*cifar-10.* in {tmp_path}; add --download"):
        load(name, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cifar_is_looked_for_in_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "nasarch"
    with pytest.raises(ValueError, match=str(tmp_path / "nasarch")):
        load("cifar10")


def test_a_failed_download_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reader(root: Path, *, train: bool, download: bool) -> None:
        assert download
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", reader)
    with pytest.raises(ValueError, match=f"can't be fetched into {tmp_path} .*no network"):
        load("cifar10", root=tmp_path, download=True)


@pytest.mark.parametrize("size", [None, 16])
def test_cifar_pixels_keep_their_place(size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((4, 32, 32, 3), np.uint8)
    pixels[:, :16, :, 0], pixels[:, :, 16:, 2] = 100, 200  # red above, blue at the right

    def reader(root: Path, *, train: bool, download: bool) -> Any:
        assert root == tmp_path and not download
        return SimpleNamespace(data=pixels[: 4 if train else 2], targets=[0, 1, 0, 1][: 4 if train else 2], classes=["cat", "dog"])

    for attribute, value in {"__name__": "CIFAR10", "filename": "cifar.tar.gz", "tgz_md5": "c0ffee"}.items():
        setattr(reader, attribute, value)
    monkeypatch.setattr("torchvision.datasets.CIFAR10", reader)
    data = load("cifar10", root=tmp_path, size=size)
    side = size or 32
    assert data.size == (side, side) and data.test is not None and len(data.test) == 2
    image = data.train.pixels[0]
    assert image[0, 0, 0] == 100 and image[0, -1, 0] == 0 and image[2, 0, 0] == 0 and image[2, 0, -1] == 200 and image[1].max() == 0
    assert data.augmentation == Augmentation(padding=side // 8, flip=True)


def test_cifar10_jpeg_is_read_whole() -> None:
    data = load(real("cifar10-jpeg"))
    assert data.test is not None
    assert data.train.labels.bincount().tolist() == [5000] * 10 and data.test.labels.bincount().tolist() == [1000] * 10
    assert data.class_names == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    np.testing.assert_allclose(data.mean, (0.4914, 0.4822, 0.4465), atol=0.001)  # of the lossless images
    np.testing.assert_allclose(data.std, (0.2470, 0.2435, 0.2616), atol=0.003)
    first, second = halves(data.train, seed=0)
    assert first.labels.bincount().tolist() == second.labels.bincount().tolist() == [2500] * 10
