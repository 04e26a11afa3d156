"""Statistics over many images, which half is which, classes that are too small for one part alone, and workers by number."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nasarch.data.dataset import Augmentation, Dataset, Images, halves, split, split_indices
from nasarch.data.disk import DiskSource
from nasarch.data.image_files import Files
from nasarch.data.load import load
from nasarch.data.loader import BatchLoader, in_order
from tests.helpers.datasets import as_tree, dataset, encoded, images


def test_the_statistics_are_those_of_all_images_however_many() -> None:
    """4,500 black images and 500 white ones; more than 4,096 are counted in pieces."""
    pixels = torch.zeros(5000, 3, 1, 1, dtype=torch.uint8)
    pixels[4500:] = 255
    data = dataset(Images(pixels, torch.arange(5000) % 2), test=None)
    assert data.mean == (0.1, 0.1, 0.1) and data.std == (0.3, 0.3, 0.3)


def test_a_part_to_test_changes_no_statistics() -> None:
    white = Images(torch.full((4, 3, 10, 12), 255, dtype=torch.uint8), torch.arange(4) % 3)
    assert dataset(test=white).mean == dataset(test=None).mean and dataset(test=white).std == dataset(test=None).std


def test_the_first_half_trains_the_weights() -> None:
    whole = images()
    first, second = (whole.subset(part) for part in split_indices(whole.labels, (0.5, 0.5), 4))
    assert torch.equal(halves(whole, 4)[0].pixels, first.pixels) and torch.equal(halves(whole, 4)[1].pixels, second.pixels)
    assert torch.equal(split(whole, (0.5, 0.5), 4)[1].labels, second.labels)


def test_every_part_needs_an_image_of_every_class() -> None:
    """5 of 10 images and then none of the other 0.4; with 0.06 it is one."""
    assert [len(part) for part in split_indices(torch.arange(20) % 2, (0.5, 0.06), 0)] == [10, 2]
    with pytest.raises(ValueError, match=r"\(0.5, 0.04\) leave no image of a class that has 10"):
        split_indices(torch.arange(20) % 2, (0.5, 0.04), 0)


def test_subsets_and_copies_keep_what_is_shown() -> None:
    margined = replace(images(size=(14, 13)), shown=(10, 12))
    assert margined.subset(torch.tensor([1, 0])).shown == margined.to("cpu").shown == (10, 12)
    assert torch.equal(margined.subset(torch.tensor([4, 1])).pixels, margined.pixels[[4, 1]])


@pytest.mark.parametrize(
    ("wanted", "legal"),
    [({"cutout": -1}, False), ({"cutout": 0}, True), ({"padding": 0, "crop_scale": (1.0, 1.0)}, True), ({"crop_scale": (0.5, 0.5)}, True)],
)
def test_what_an_augmentation_may_be(wanted: dict[str, object], legal: bool) -> None:
    if legal:
        Augmentation(**wanted)  # type: ignore[arg-type]
    else:
        with pytest.raises(ValueError, match="pass 0 for none"):
            Augmentation(**wanted)  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> Dataset:
    return load(as_tree(tmp_path, {f"{c}/{i}.png": encoded(i, size=(12, 12)) for c in "ab" for i in range(6)}), in_memory=False)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_as_many_processes_decode_as_are_asked_for(workers: int, files: Dataset) -> None:
    source = BatchLoader(files.train, files, batch_size=4, seed=0, workers=workers)
    epoch = iter(source)
    next(epoch)
    assert len(multiprocessing.active_children()) == workers
    del epoch, source
    rest = in_order(files.train, files, batch_size=4, workers=workers)
    next(rest)
    assert len(multiprocessing.active_children()) == workers
    rest.close()
    del rest
    assert not multiprocessing.active_children()


def test_by_default_every_core_decodes(files: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasarch.data.disk.cores", lambda: 5)
    assert isinstance(files.train, Files)
    assert DiskSource(files.train, "cpu", None, None).workers == 5 and DiskSource(files.train, "cpu", None, 0).workers == 0
