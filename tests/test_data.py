"""Data sets: what is read, split and batched is the same everywhere, and bad data are refused by name."""

from __future__ import annotations

import io
import itertools
import os
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from nasarch.search import batches as batches_module
from nasarch.search import folders
from nasarch.search.batches import Batches, endless, in_order
from nasarch.search.data import Augmentation, Dataset, Images, halves, split, split_indices
from nasarch.search.datasets import cache_folder, load

SHARED = Path(__file__).parents[2] / "shared" / "data"
ALL = Augmentation(padding=3, flip=True, cutout=4)


def images(count: int = 30, classes: int = 3, size: tuple[int, int] = (10, 12), seed: int = 0) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, *size), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(count) % classes)


def dataset(train: Images | None = None, **changes: Any) -> Dataset:
    fields = dict(
        name="noise", train=train or images(), test=images(9, seed=1), class_names=("a", "b", "c"), augmentation=ALL, source="noise"
    )
    return Dataset(**{**fields, **changes})


def encoded(seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (8, 8), format: str = "png") -> bytes:
    """A random image file of `size` (H, W)."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, format)
    return file.getvalue()


def as_tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def as_tar(path: Path, files: dict[str, bytes], *special: tarfile.TarInfo, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in special:
            tar.addfile(member)
    return path


def two_classes(prefix: str = "", count: int = 3) -> dict[str, bytes]:
    names = [f"{prefix}{name}/{number}.png" for name in ("cat", "dog") for number in range(count)]
    return {name: encoded(seed) for seed, name in enumerate(names)}


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


def test_negative_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="padding=-1"):
        Augmentation(padding=-1)


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


@pytest.mark.parametrize("fractions", [(), (0.0, 0.5), (-0.1,), (0.6, 0.5)])
def test_impossible_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="above 0, and all together at most 1"):
        split(images(), fractions, seed=0)


def test_a_fraction_that_leaves_a_class_empty_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(0.01,\) leave no image of a class that has 10"):
        split(images(), (0.01,), seed=0)


# ---- batches


def literal(data: Dataset, part: Images, wanted: Augmentation, draws: batches_module.Draws) -> torch.Tensor:
    """The batch of `draws`, image by image with plain slices."""
    height, width = part.size
    batch = []
    for image, top, left, flipped, row, column in zip(*(numbers.tolist() for numbers in draws), strict=True):
        padded = np.zeros((3, height + 2 * wanted.padding, width + 2 * wanted.padding))
        padded[:, wanted.padding : wanted.padding + height, wanted.padding : wanted.padding + width] = part.pixels[image].numpy()
        x = padded[:, top : top + height, left : left + width]
        x = x[:, :, ::-1] if wanted.flip and flipped else x
        x = (x / 255 - np.reshape(data.mean, (3, 1, 1))) / np.reshape(data.std, (3, 1, 1))
        first_row, first_column = row - wanted.cutout // 2, column - wanted.cutout // 2
        x[:, max(first_row, 0) : max(first_row + wanted.cutout, 0), max(first_column, 0) : max(first_column + wanted.cutout, 0)] = 0
        batch.append(torch.from_numpy(x))
    return torch.stack(batch)


@pytest.mark.parametrize(
    "wanted",
    [Augmentation(), Augmentation(padding=3), Augmentation(flip=True), Augmentation(cutout=5), ALL, Augmentation(padding=1, cutout=40)],
)
def test_batches_equal_plain_slicing_of_each_image(wanted: Augmentation, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs: list[batches_module.Draws] = []
    draw = Batches._draw

    def remembered(self: Batches) -> batches_module.Draws:
        epochs.append(draw(self))
        return epochs[-1]

    monkeypatch.setattr(Batches, "_draw", remembered)
    data = dataset()
    got = list(Batches(data.train, data, batch_size=8, seed=3, augmentation=wanted))
    x_BCHW, y_B = (torch.cat(parts) for parts in zip(*got, strict=True))
    torch.testing.assert_close(x_BCHW.double(), literal(data, data.train, wanted, epochs[0]), rtol=0, atol=5e-6)
    assert torch.equal(y_B, data.train.labels[epochs[0].image])
    assert x_BCHW.dtype == torch.float32 and x_BCHW.is_contiguous()


def test_every_crop_flip_and_centre_occurs() -> None:
    data = dataset(images(5000, size=(4, 6)), test=None, augmentation=Augmentation(padding=2, flip=True, cutout=2))
    draws = Batches(data.train, data, batch_size=50, seed=0)._draw()
    corners = set(zip(draws.top.tolist(), draws.left.tolist(), strict=True))
    assert corners == set(itertools.product(range(5), range(5)))
    assert set(zip(draws.row.tolist(), draws.column.tolist(), strict=True)) == set(itertools.product(range(4), range(6)))
    assert set(draws.flip.tolist()) == {0, 1} and 0.47 < draws.flip.double().mean() < 0.53


def test_an_epoch_shows_every_image_once_and_keeps_the_last_smaller_batch() -> None:
    data = dataset(augmentation=Augmentation())
    source = Batches(data.train, data, batch_size=8, seed=0)
    for _ in range(2):
        epoch = list(source)
        assert [len(y) for _, y in epoch] == [8, 8, 8, 6] and len(source) == 4
        shown = torch.cat([x for x, _ in epoch])
        expected, _ = next(in_order(data.train, data, batch_size=30))
        assert sorted(shown.sum((1, 2, 3)).tolist()) == sorted(expected.sum((1, 2, 3)).tolist())


def test_25000_images_in_batches_of_256_are_98_steps() -> None:
    part = Images(torch.zeros(25_000, 3, 1, 1, dtype=torch.uint8), torch.arange(25_000) % 2)
    assert len(Batches(part, dataset(part, test=None), batch_size=256, seed=0)) == 98


def equal(first: Any, second: Any) -> bool:
    return all(torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True))


def test_batches_follow_their_seed_and_every_epoch_differs() -> None:
    data = dataset()
    once, again, other = (Batches(data.train, data, batch_size=30, seed=seed) for seed in (0, 0, 1))
    epochs = [next(iter(once)) for _ in range(3)]
    assert equal(epochs, [next(iter(again)) for _ in range(3)])
    assert not torch.equal(epochs[0][0], epochs[1][0]) and not torch.equal(epochs[0][0], next(iter(other))[0])


def test_the_order_of_images_does_not_depend_on_the_augmentation() -> None:
    data = dataset(images(classes=30), class_names=tuple(map(str, range(30))), test=None)
    plain, augmented = (Batches(data.train, data, batch_size=7, seed=2, augmentation=wanted) for wanted in (Augmentation(), ALL))
    for _ in range(3):
        assert [y.tolist() for _, y in plain] == [y.tolist() for _, y in augmented]


@pytest.mark.parametrize("done", range(10))
def test_a_loaded_state_continues_bit_identically(done: int) -> None:
    data = dataset()
    unbroken = endless(Batches(data.train, data, batch_size=8, seed=0))
    expected = [next(unbroken) for _ in range(15)][done:]
    stopped = Batches(data.train, data, batch_size=8, seed=0)
    stream = endless(stopped)
    for _ in range(done):
        next(stream)
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    resumed = Batches(data.train, data, batch_size=8, seed=99)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert equal(expected, itertools.islice(endless(resumed), 15 - done))


def test_an_epoch_left_early_is_continued() -> None:
    data = dataset()
    whole, broken = (Batches(data.train, data, batch_size=8, seed=0) for _ in range(2))
    pieces = [*itertools.islice(broken, 1), *itertools.islice(broken, 2), *broken, *broken]
    assert equal([*whole, *whole], pieces)


@pytest.mark.parametrize(
    ("change", "named"), [({"batch_size": 4}, "same data and batch size"), ({"position": 4}, "batch 4 of 4"), ({"position": None}, "None")]
)
def test_a_state_of_other_batches_is_refused(change: dict[str, Any], named: str) -> None:
    data = dataset()
    source = Batches(data.train, data, batch_size=8, seed=0)
    with pytest.raises(ValueError, match=named):
        source.load_state_dict({**source.state_dict(), **change})


@pytest.mark.parametrize("batch_size", [0, 31])
def test_a_batch_that_the_data_cannot_fill_is_refused(batch_size: int) -> None:
    data = dataset()
    with pytest.raises(ValueError, match=f"batch size {batch_size}: data 'noise' has 30 images here; choose 1 to 30"):
        Batches(data.train, data, batch_size=batch_size, seed=0)


def test_evaluation_sees_all_images_in_order_unaugmented() -> None:
    data = dataset()
    assert data.test is not None
    x_BCHW, y_B = (torch.cat(parts) for parts in zip(*in_order(data.test, data, batch_size=4), strict=True))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    torch.testing.assert_close(x_BCHW * std + mean, data.test.pixels / 255, rtol=0, atol=1e-6)
    assert torch.equal(y_B, data.test.labels)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_batches() -> None:
    data = dataset()
    there = Batches(data.train, data, batch_size=8, seed=0, device="cuda")
    here = Batches(data.train, data, batch_size=8, seed=0)
    for (x, y), (expected_x, expected_y) in zip(there, here, strict=True):
        assert x.is_cuda
        torch.testing.assert_close(x.cpu(), expected_x)
        assert torch.equal(y.cpu(), expected_y)


# ---- folders and tar files


def layouts(root: Path) -> dict[str, Path]:
    """One and the same data set, two classes and a test part, in every layout."""
    train, test = two_classes("train/"), two_classes("test/", count=1)
    bare_train, bare_test = two_classes(), two_classes(count=1)
    as_tar(root / "tars/train.tar", {f"./{name}": content for name, content in bare_train.items()})
    as_tar(root / "tars/test.tar", bare_test)
    as_tar(root / "wrapped_tars/train.tar", train)
    as_tar(root / "wrapped_tars/val.tar", two_classes("data/val/", count=1))
    as_tree(root / "mixed", train)
    as_tar(root / "mixed/valid.tar", bare_test)
    return {
        "folders": as_tree(root / "folders", {**train, **test}),
        "val folder": as_tree(root / "val_folder", {**train, **two_classes("val/", count=1)}),
        "tars": root / "tars",
        "wrapped tars": root / "wrapped_tars",
        "mixed": root / "mixed",
        "one tar": as_tar(root / "one.tar", {**test, **train}),
        "one wrapped tar": as_tar(root / "wrapped.tar", {f"pets/{name}": content for name, content in {**train, **test}.items()}),
    }


def test_every_layout_of_the_same_images_gives_the_same_data(tmp_path: Path) -> None:
    data = {name: load(path) for name, path in layouts(tmp_path).items()}
    assert len({one.digest for one in data.values()}) == 1
    for one in data.values():
        assert one.class_names == ("cat", "dog") and one.size == (8, 8)
        assert one.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert one.test is not None and one.test.labels.tolist() == [0, 1]
    assert data["tars"].source == "6 images of tars/train.tar, 2 images of tars/test.tar"
    assert {name: one.name for name, one in data.items()}["one tar"] == "one"


@pytest.mark.parametrize("pack", [as_tree, as_tar])
def test_class_folders_alone_are_a_training_part(pack: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path) -> None:
    data = load(pack(tmp_path / "pets.tar", two_classes()))
    assert len(data.train) == 6 and data.test is None and data.name == "pets"


def test_images_are_ordered_by_class_and_name_whatever_the_order_of_files(tmp_path: Path) -> None:
    names = ["b/2.png", "a b/1.png", "a/z.png", "b/1.png", "a/deeper/1.png", "a/a.png"]
    files = {name: encoded(seed) for seed, name in enumerate(names)}
    data = load(as_tar(tmp_path / "some.tar", files))
    assert data.class_names == ("a", "a b", "b")
    expected = [files[name] for name in ("a/a.png", "a/deeper/1.png", "a/z.png", "a b/1.png", "b/1.png", "b/2.png")]
    for pixels, content in zip(data.train.pixels, expected, strict=True):
        assert np.array_equal(pixels.permute(1, 2, 0), np.asarray(Image.open(io.BytesIO(content))))


def test_classes_are_numbered_by_name(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(20)]
    data = load(as_tree(tmp_path, {f"{name}/{name}.png": encoded() for name in reversed(names)}))
    assert list(data.class_names) == names and data.train.labels.tolist() == list(range(20))


@pytest.mark.parametrize("pack", [as_tree, as_tar])
def test_litter_is_passed_over_and_other_files_are_counted(pack: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path) -> None:
    litter = ["cat/._0.png", "cat/.DS_Store", "__MACOSX/cat/0.png", ".git/x/0.png", "dog/Thumbs.db"]
    others = ["README.md", "cat/labels.csv", "loose.png"]
    junk = dict.fromkeys(litter + others, b"no image")
    data = load(pack(tmp_path / "pets.tar", {**junk, **two_classes()}))
    assert data.digest == load(as_tree(tmp_path / "clean", two_classes())).digest
    assert data.source == "6 images of pets.tar (3 other files left out)"


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_other_colour_modes_become_rgb(mode: str, tmp_path: Path) -> None:
    format = "jpeg" if mode == "CMYK" else "png"
    content = encoded(1, mode, format=format)
    data = load(as_tree(tmp_path, {f"cat/0.{format}": content, "dog/0.png": encoded()}))
    assert np.array_equal(data.train.pixels[0].permute(1, 2, 0), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_a_palette_image_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(encoded())).convert("P").save(file, "png", transparency=bytes(range(256)))
    assert len(load(as_tree(tmp_path, {"cat/0.png": file.getvalue(), "dog/0.png": encoded()})).train) == 2


def test_images_of_different_sizes_need_a_size_and_keep_their_centre(tmp_path: Path) -> None:
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 200
    Image.fromarray(wide).save(file := io.BytesIO(), "png")
    root = as_tree(tmp_path, {"cat/0.png": encoded(), "dog/0.png": file.getvalue()})
    with pytest.raises(ValueError, match=r"dog/0.png has 16x48 pixels, the first image 8x8; give one size .*--size 32"):
        load(root)
    data = load(root, size=8)
    assert data.size == (8, 8)
    assert data.train.pixels[1, :, :, 1:-1].unique().tolist() == [200] and data.train.pixels[1].min() > 100  # none of the black sides


def test_images_that_share_a_size_keep_it_even_if_it_is_no_square(tmp_path: Path) -> None:
    root = as_tree(tmp_path, {"cat/0.png": encoded(0, size=(24, 16)), "dog/0.png": encoded(1, size=(24, 16))})
    assert load(root).size == (24, 16)
    assert load(root).augmentation == Augmentation(padding=2, flip=True)
    assert load(root, size=16).size == (16, 16)


def test_many_images_are_decoded_in_order_by_several_workers(tmp_path: Path) -> None:
    files = {f"{name}/{number:03}.png": encoded(number) for name in ("cat", "dog") for number in range(300)}
    data = load(as_tar(tmp_path / "many.tar", files))
    one_by_one = np.stack([np.asarray(Image.open(io.BytesIO(content))) for content in files.values()])
    assert np.array_equal(data.train.pixels.permute(0, 2, 3, 1), one_by_one)


@pytest.mark.parametrize("broken", [b"", b"no image", encoded()[:60], encoded(size=(64, 64), format="jpeg")[:-200], encoded(mode="I;16")])
@pytest.mark.parametrize("pack", [as_tree, as_tar])
def test_a_broken_image_is_named(pack: Callable[[Path, dict[str, bytes]], Path], broken: bytes, tmp_path: Path) -> None:
    path = pack(tmp_path / "pets.tar", {**two_classes(count=2), "dog/1.png": broken})
    with pytest.raises(
        ValueError, match=r"pets.tar(/|: )dog/1.png can't be read as an image \(.+\); replace it by an 8-bit image or remove it"
    ):
        load(path)


def test_a_broken_image_among_many_is_named_by_the_worker_that_found_it(tmp_path: Path) -> None:
    content = encoded()
    files = {f"{name}/{number:03}.png": content for name in ("cat", "dog") for number in range(300)}
    with pytest.raises(ValueError, match="dog/250.png can't be read as an image"):
        load(as_tree(tmp_path, {**files, "dog/250.png": content[:50]}))


@pytest.mark.skipif(not isinstance(folders._executor(2), ProcessPoolExecutor), reason="decodes without processes here")
def test_a_killed_worker_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, read = os.getpid(), folders.File.read
    monkeypatch.setattr(folders.File, "read", lambda file: read(file) if os.getpid() == here else os._exit(9))
    files = {f"{name}/{number:03}.png": encoded() for name in ("cat", "dog") for number in range(300)}
    with pytest.raises(ValueError, match="cat/000.png and others was killed; see that memory is free"):
        load(as_tree(tmp_path, files))


@pytest.mark.parametrize("pack", [as_tree, as_tar])
@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"README.md": b"nothing"}, "has no images in class folders; expected train/<class>/<image>"),
        ({"0.png": encoded(), "1.png": encoded()}, "has no images in class folders"),
        ({"cat/0.png": encoded()}, "has only one class folder, 'cat'"),
        ({"cat/0.png": encoded(), "dog/0.png": encoded(), "cow/moo.wav": b"moo"}, r"no images in class folder\(s\) cow; fill or remove"),
        ({**two_classes("train/"), **two_classes("test/"), "test/cow/0.png": encoded()}, "different classes, cow being in one only"),
        ({**two_classes("train/"), **two_classes("test/"), "train/cow/0.png": encoded()}, "different classes, cow being in one only"),
        ({**two_classes("train/"), "test/0.png": encoded()}, "test has no images in class folders"),
    ],
)
def test_folders_that_are_no_classes_are_refused(
    pack: Callable[[Path, dict[str, bytes]], Path], files: dict[str, bytes], named: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=named):
        load(pack(tmp_path / "pets.tar", files))


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    (as_tree(tmp_path, two_classes()) / "cow").mkdir()
    with pytest.raises(ValueError, match=r"class folder\(s\) cow"):
        load(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no images in class folders"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no tar" * 500], ids=["empty", "text"])
def test_a_file_that_is_no_tar_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.tar").write_bytes(content)
    with pytest.raises(ValueError, match="data.tar is neither a folder nor an undamaged, uncompressed tar file"):
        load(tmp_path / "data.tar")


def test_a_compressed_or_cut_tar_is_refused(tmp_path: Path) -> None:
    whole = as_tar(tmp_path / "whole.tar", {"cat/0.png": encoded(size=(64, 64)), "dog/0.png": encoded(size=(64, 64))})
    (tmp_path / "cut.tar").write_bytes(whole.read_bytes()[:15_000])
    for path in (as_tar(tmp_path / "data.tar.gz", two_classes(), mode="w:gz"), tmp_path / "cut.tar"):
        with pytest.raises(ValueError, match=f"{path.name} is neither a folder nor an undamaged, uncompressed tar file"):
            load(path)


def test_links_and_outside_members_of_a_tar_are_passed_over(tmp_path: Path) -> None:
    outside = as_tree(tmp_path / "secret", {"0.png": encoded()}) / "0.png"
    link, hard, device = tarfile.TarInfo("cat/link.png"), tarfile.TarInfo("cat/hard.png"), tarfile.TarInfo("cat/device.png")
    link.type, link.linkname = tarfile.SYMTYPE, str(outside)
    hard.type, hard.linkname = tarfile.LNKTYPE, "cat/0.png"
    device.type = tarfile.CHRTYPE
    newest = tarfile.TarInfo("newest")
    newest.type, newest.linkname = tarfile.SYMTYPE, "cat"
    before = sorted(tmp_path.rglob("*"))
    path = as_tar(
        tmp_path / "pets.tar", {**two_classes(), "../cat/up.png": encoded(), "cat/../../up.png": encoded()}, link, hard, device, newest
    )
    assert len(load(path).train) == 6
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


def test_linked_folders_are_followed_but_a_circle_ends(tmp_path: Path) -> None:
    root = as_tree(tmp_path / "real", two_classes())
    (root / "cat" / "again").symlink_to(root)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "train").symlink_to(root)
    assert len(load(tmp_path / "linked").train) == 6


def test_more_pixels_than_the_memory_budget_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MEMORY_BUDGET", 8 * 3 * 64 - 1)
    monkeypatch.setattr(folders, "_decode", lambda *args, **kwargs: pytest.fail("decoded"))
    root = as_tree(tmp_path, {**two_classes("train/"), **two_classes("val/", count=1)})
    with pytest.raises(ValueError, match=r"8 images of 8x8 take .* GiB that are held in memory; choose a smaller size \(--size\)"):
        load(root)


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(ValueError, match=f"can't read {tmp_path}: Permission denied; check the path"):
        load(tmp_path)


# ---- names


@pytest.mark.parametrize("name", ["imagenet", "nowhere/at/all", "x" * 5000, "a\0b", "~no-such-user/data"])
def test_an_unknown_name_or_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="neither one of digits, cifar10, cifar100 nor an existing path; a path holds train/<class>"):
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


def test_digits_are_the_images_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    data, bunch = load("digits", size=8), load_digits()
    whole = torch.cat([part.pixels[:, 0] for part in data.parts]).flatten(1)
    expected = torch.from_numpy(np.round(bunch.data * 255 / 16)).byte()
    assert sorted(map(tuple, whole.tolist())) == sorted(map(tuple, expected.tolist()))


def test_digits_are_not_mirrored() -> None:
    assert load("digits").augmentation == Augmentation(padding=2)


def test_digits_without_scikit_learn_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"needs scikit-learn; run: pip install 'nasarch\[demo\]'"):
        load("digits")


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


def test_another_augmentation_can_be_chosen() -> None:
    data = replace(dataset(), augmentation=Augmentation(cutout=2))
    assert Batches(data.train, data, batch_size=4, seed=0).augmentation == Augmentation(cutout=2)


# ---- real data


def real(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs the data folder {name} beside the project")
    return path


def test_cifar10_jpeg_is_read_whole() -> None:
    data = load(real("cifar10-jpeg"))
    assert data.test is not None
    assert data.train.labels.bincount().tolist() == [5000] * 10 and data.test.labels.bincount().tolist() == [1000] * 10
    assert data.class_names == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    np.testing.assert_allclose(data.mean, (0.4914, 0.4822, 0.4465), atol=0.001)  # of the lossless images
    np.testing.assert_allclose(data.std, (0.2470, 0.2435, 0.2616), atol=0.003)
    first, second = halves(data.train, seed=0)
    assert first.labels.bincount().tolist() == second.labels.bincount().tolist() == [2500] * 10


def test_grayscale_images_of_imagenette_become_rgb() -> None:
    path = real("imagenette-subset") / "val.tar"
    with tarfile.open(path) as tar:
        gray = sum(Image.open(tar.extractfile(member)).mode == "L" for member in tar if member.isreg())  # type: ignore[arg-type]
    data = load(path, size=32)
    red, green, blue = data.train.pixels.unbind(1)
    colourless = ((red == green) & (green == blue)).flatten(1).all(1).sum()
    assert len(data.train) == 500 and 0 < gray <= colourless < 50
