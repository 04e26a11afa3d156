"""Where data are looked for and what is taken of them: homes, caches, CIFAR's files, suffixes, links and tar files."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import ImageDataset
from timm.data.readers.reader_image_folder import ReaderImageFolder

from nasarch.data import decoding
from nasarch.data.dataset import Augmentation, Images
from nasarch.data.folders import SUFFIXES, find_parts
from nasarch.data.image_files import File, Files
from nasarch.data.load import cache_folder, listing, load
from nasarch.data.options import DataOptions
from tests.helpers.datasets import as_tar, as_tree, encoded, two_classes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path


def test_a_path_may_begin_at_home(home: Path) -> None:
    as_tree(home / "pets", two_classes())
    assert load("~/pets").name == listing("~/pets").data == "pets" and cache_folder() == home / ".cache" / "nasarch"


# ---- CIFAR's files


class Reader:
    """Stands for torchvision's reader: noise of ten images to train and four to test."""

    def __init__(self, name: str, file: str, digest: str) -> None:
        self.__name__, self.filename, self.tgz_md5, self.base_folder = name, file, digest, "batches"
        self.asked: list[tuple[Path, bool, bool]] = []

    def __call__(self, root: Path, *, train: bool, download: bool) -> Any:
        self.asked.append((root, train, download))
        pixels = np.random.default_rng(int(train)).integers(0, 256, (10 if train else 4, 32, 32, 3), np.uint8)
        return SimpleNamespace(data=pixels, targets=[i % 3 for i in range(len(pixels))], classes=["c", "a", "b"])


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    made = Reader("CIFAR100", "cifar-100.tar.gz", "c0ffee")
    monkeypatch.setattr("torchvision.datasets.CIFAR100", made)
    return made


@pytest.mark.parametrize("size", [None, 48])
def test_cifar_is_what_its_reader_gives(size: int | None, reader: Reader, home: Path) -> None:
    data = load("cifar100", root="~/there", download=True, size=size)
    assert reader.asked == [(home / "there", True, True), (home / "there", False, True)]
    assert (data.name, data.class_names) == ("cifar100", ("c", "a", "b"))
    assert data.source == "torchvision's CIFAR100, cifar-100.tar.gz, MD5 c0ffee"
    assert data.augmentation == Augmentation(padding=4 if size is None else 6, flip=True)
    for part, train in zip(data.parts, (True, False), strict=True):
        images = np.random.default_rng(int(train)).integers(0, 256, (len(part), 32, 32, 3), np.uint8)
        assert isinstance(part, Images) and part.labels.tolist() == [i % 3 for i in range(len(images))]
        shown = [Image.fromarray(image).resize((size or 32,) * 2, Image.Resampling.BILINEAR) if size else image for image in images]
        assert torch.equal(part.pixels, torch.from_numpy(np.stack([np.array(image) for image in shown])).permute(0, 3, 1, 2))
    large = load("cifar100", root="~/there", size=64)
    assert reader.asked[-1] == (home / "there", False, False)
    assert large.augmentation == Augmentation(crop_scale=(0.08, 1.0), flip=True)


def test_a_listing_of_cifar_asks_for_the_same_files(reader: Reader, home: Path) -> None:
    found = listing("cifar100", root=home / "x", download=True)
    assert {root for root, _, _ in reader.asked} == {home / "x"} and all(download for *_, download in reader.asked)
    assert found.data == "cifar100" and found.names[9] == "train/000009" and found.labels.tolist() == [i % 3 for i in range(10)]
    listing("cifar100")
    assert reader.asked[-1] == (home / ".cache" / "nasarch", False, False)


@pytest.mark.parametrize("name", ["digits", "cifar100"])
def test_sets_that_are_enlarged_beyond_memory_are_refused(name: str, reader: Reader, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MEMORY_BUDGET", 10 * 3 * 40 * 40 - 1)
    with pytest.raises(ValueError, match="images of 40x40 take"):
        load(name, size=40)


# ---- files in folders


def test_the_suffixes_of_images_are_read_in_any_case(tmp_path: Path) -> None:
    assert SUFFIXES == (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
    names = [f"{label}/{i}{suffix.upper() if i % 2 else suffix}" for label in "ab" for i, suffix in enumerate(SUFFIXES)]
    others = ["a/x.gif", "a/png", "b/y.npy"]
    parts, classes, source = find_parts(as_tree(tmp_path / "some", dict.fromkeys([*names, *others], b"")))
    assert parts[0].names == tuple(sorted(names)) and classes == ("a", "b")
    assert source == "18 images of some (3 other files left out)"
    (tmp_path / "some" / "a" / "x.gif").unlink()
    (tmp_path / "some" / "a" / "png").unlink()
    assert find_parts(tmp_path / "some")[2] == "18 images of some (1 other file left out)"


@pytest.mark.parametrize("format", ["bmp", "ppm", "tiff", "webp"])
def test_formats_without_loss_are_read_exactly(format: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(noise).save(file := io.BytesIO(), format, **({"lossless": True} if format == "webp" else {}))
    data = load(as_tree(tmp_path, {f"a/0.{format}": file.getvalue(), "b/0.png": encoded(size=(9, 7))}))
    assert isinstance(data.train, Images) and np.array_equal(data.train.pixels[0].permute(1, 2, 0), noise)


def test_files_in_a_tar_are_read_at_their_offsets(tmp_path: Path) -> None:
    files = {f"{label}/{i}.png": bytes([i]) * (i + 1) for label in "ab" for i in range(4)}
    parts, _, _ = find_parts(as_tar(tmp_path / "x.tar", files))
    for name, place in zip(parts[0].names, parts[0].entries, strict=True):
        assert place.read() == files[name] and place.length == len(files[name]) and str(place) == f"{tmp_path / 'x.tar'}: {name}"
    in_folder = File(str(as_tree(tmp_path / "x", files)), "b/3.png")
    assert in_folder.read() == files["b/3.png"] and in_folder.length == 4 and str(in_folder) == str(tmp_path / "x" / "b/3.png")


def test_parts_are_named_by_their_place(tmp_path: Path) -> None:
    as_tree(tmp_path / "set", two_classes("train/"))
    as_tar(tmp_path / "set" / "valid.tar", two_classes(count=2))
    assert load(tmp_path / "set").source == "6 images of set/train, 4 images of set/valid.tar"
    one = as_tar(tmp_path / "one.tar", {**two_classes("train/"), **two_classes("val/", count=1)})
    assert load(one).source == "6 images of one.tar/train, 2 images of one.tar/val"


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_whole_of_both_parts_is_held_or_left(in_memory: bool, tmp_path: Path) -> None:
    data = load(as_tree(tmp_path, {**two_classes("train/"), **two_classes("test/", count=1)}), size=16, in_memory=in_memory)
    kinds = {type(part) for part in data.parts}
    assert data.test is not None and (len(data.train), len(data.test)) == (6, 2) and data.test.labels.tolist() == [0, 1]
    assert kinds == ({Images} if in_memory else {Files}) and all(part.size == (16, 16) for part in data.parts)
    assert data.names == tuple(sorted(two_classes())) and data.class_names == ("cat", "dog")


# ---- decoding


@pytest.mark.parametrize(("mode", "refused"), [("I;16", True), ("I", True), ("F", True), ("L", False), ("RGBA", False), ("LA", False)])
def test_more_than_8_bits_a_channel_are_refused(mode: str, refused: bool, tmp_path: Path) -> None:
    image = Image.new(mode, (8, 8), 7 if mode in ("I;16", "I", "L") else None)
    image.save(tmp_path / "0.tiff")
    if refused:
        with pytest.raises(ValueError, match="more than 8 bits a channel"):
            decoding.open_image(File(str(tmp_path), "0.tiff"))
    else:
        assert decoding.open_image(File(str(tmp_path), "0.tiff")).mode == "RGB"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # timm leaves files open
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
@pytest.mark.parametrize(("in_memory", "size"), [(True, None), (False, None), (False, 8)])
def test_photographs_with_an_exif_orientation_are_counted_and_shown_as_timm_shows_them(
    kind: str, in_memory: bool, size: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stored pixels, as timm's own reader gives them."""
    files = {
        name.replace("png", kind): encoded(seed, size=(8, 8)) for seed, name in enumerate([*two_classes("train/"), *two_classes("val/")])
    }
    root = as_tree(tmp_path / "d", files)
    for number, (name, content) in enumerate(files.items()):
        exif = Image.Exif()
        exif[decoding.EXIF_ORIENTATION] = (1, 6, 1, 1, 2, 9, 1, 1, 3, 1, 1, 0)[number]  # 0 and 9 are none
        Image.open(io.BytesIO(content)).save(root / name, exif=exif, quality=95)
    data = DataOptions(data=str(root), in_memory=in_memory, size=size, workers=0).load()
    remark = f"3 of 12 images read have an EXIF orientation, which is not applied (the first is 'cat/1.{kind}', orientation 6)"
    assert data.source == f"6 images of d/train, 6 images of d/val; {remark}" and f"{remark}\n" in capsys.readouterr().err
    own = ImageDataset(str(root), ReaderImageFolder(str(root / "train"), input_key=f".{kind}"))
    part = data.train
    pixels = part.pixels if isinstance(part, Images) else decoding.decode(part.entries, (8, 8), resize=False)[0]
    for number in range(6):
        assert np.array_equal(np.asarray(own[number][0]).transpose(2, 0, 1), pixels[number].numpy())


def test_the_shape_of_a_file_is_height_and_width(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(encoded(size=(5, 9)))
    assert decoding.shape_of(File(str(tmp_path), "0.png")) == (5, 9)
    assert decoding.tensor(decoding.open_image(File(str(tmp_path), "0.png"))).shape == (3, 5, 9)
    assert decoding.fit(Image.new("RGB", (9, 5)), (10, 4)).size == (4, 10)
    same = Image.new("RGB", (4, 10))
    assert decoding.fit(same, (10, 4)) is same


def test_there_are_as_many_cores_as_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert decoding.cores() == 3
    with decoding._executor(2) as pool:
        assert pool._max_workers == 2
    with decoding._executor(9) as pool:
        assert pool._max_workers == 3
