"""Batches are those that tests/literal/data.py draws and makes image by image, in memory, on disk, by ranks, and after a stop."""

from __future__ import annotations

import hashlib
import io
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from nasarch.data.augment import random_box
from nasarch.data.dataset import Augmentation, Dataset, Images, split_indices
from nasarch.data.decoding import random_crop
from nasarch.data.image_files import File, Files, Listing
from nasarch.data.load import load
from nasarch.data.loader import Batch, BatchLoader, endless, in_order, train_and_val_loaders
from tests.helpers.datasets import as_tar, as_tree, dataset, encoded, images
from tests.literal import data as literal

PADDED = Augmentation(padding=3, flip=True, cutout=5)
CROPPED = Augmentation(crop_scale=(0.3, 0.6), flip=True)
WANTED = {"plain": Augmentation(), "padded": PADDED, "cropped": CROPPED, "hidden": Augmentation(cutout=4)}


def close(ours: Sequence[Batch], theirs: Sequence[Batch]) -> None:
    """The same images with the same labels, to float32's rounding; an image or a pixel of another place is far off."""
    for (x, y), (expected, labels) in zip(ours, theirs, strict=True):
        assert torch.equal(y, labels) and x.dtype == torch.float32
        torch.testing.assert_close(x.double(), expected.double(), rtol=0, atol=1e-5)


def taken(batches: Iterator[Batch], count: int) -> list[Batch]:
    return list(itertools.islice(batches, count))


# ---- order and augmentation


@pytest.mark.parametrize("batch_size", [7, 10])
@pytest.mark.parametrize("name", WANTED)
def test_three_epochs_are_the_literal_ones(name: str, batch_size: int) -> None:
    data = dataset(augmentation=WANTED[name])
    chosen = torch.tensor([1, 2, 3, 5, 8, 13, 21, 22, 23, 24, 25, 26, 27])
    source = BatchLoader(data.train.subset(chosen), data, batch_size=batch_size, seed=6)
    side = literal.Side(data, chosen.tolist(), batch_size, 6)
    for _ in range(3):
        close(list(source), list(side.epoch()))
    close(taken(endless(source), 5), taken(side.endless(), 5))


@pytest.mark.parametrize("done", [0, 1, 3, 4, 6])
@pytest.mark.parametrize("name", ["padded", "cropped"])
def test_what_follows_a_stop_is_what_the_seed_drew(name: str, done: int) -> None:
    """Anchored by the literal order, of which a stop knows nothing."""
    data = dataset(augmentation=WANTED[name])
    stopped = BatchLoader(data.train, data, batch_size=8, seed=4)
    taken(endless(stopped), done)
    resumed = BatchLoader(data.train, data, batch_size=8, seed=77)
    resumed.load_state_dict(stopped.state_dict())
    expected = taken(literal.Side(data, range(30), 8, 4).endless(), done + 6)[done:]
    close(taken(endless(resumed), 6), expected)


@pytest.mark.parametrize(("count", "batch_size", "ranks"), [(29, 8, 2), (29, 9, 3), (25, 8, 4), (27, 8, 4)])
def test_ranks_see_their_images_of_the_literal_batches(count: int, batch_size: int, ranks: int) -> None:
    """29 = 3 * 8 + 5: two ranks get two images each of the last batch; of 25 images four ranks leave the last one out."""
    data = dataset(images(count=count), augmentation=PADDED)
    for rank in range(ranks):
        source = BatchLoader(data.train, data, batch_size=batch_size, seed=1, rank=rank, ranks=ranks)
        side = literal.Side(data, range(count), batch_size, 1, rank=rank, ranks=ranks)
        for _ in range(2):
            close(list(source), list(side.epoch()))


def test_both_sides_draw_from_twice_the_seed_and_the_number_after_it() -> None:
    data = dataset(augmentation=PADDED)
    parts = split_indices(data.train.labels, (0.5, 0.5), 3)
    assert [part.tolist() for part in parts] == literal.split(data.train.labels.tolist(), (0.5, 0.5), 3)
    subsets = (data.train.subset(parts[0]), data.train.subset(parts[1]))
    for rank in (0, 1):
        sides = train_and_val_loaders(subsets, data, batch_size=6, seed=3, device="cpu", rank=rank, ranks=2)
        for ours, part, seed in zip(sides, parts, (6, 7), strict=True):
            close(list(ours), list(literal.Side(data, part.tolist(), 6, seed, rank=rank, ranks=2).epoch()))


def test_a_sample_is_drawn_once_for_all_and_shown_as_in_evaluation() -> None:
    data = dataset(augmentation=replace(PADDED, cutout=9))
    source = BatchLoader(data.train, data, batch_size=8, seed=5)
    some = torch.randperm(30, generator=torch.Generator().manual_seed(0))[:8]
    mean, std = literal.statistics(data.train.pixels)
    nothing = literal.Drawn(0, 0, 0, 0, 0, 0)
    expected = torch.stack([literal.shown(data.train.pixels[i], nothing, Augmentation(), mean, std) for i in some])
    for _ in range(2):
        close([source.sample()], [(expected, data.train.labels[some])])
        next(iter(source))


def test_an_augmentation_of_its_own_takes_the_place_of_the_datas() -> None:
    data = dataset(augmentation=PADDED)
    source = BatchLoader(data.train, data, batch_size=10, seed=2, augmentation=Augmentation(flip=True))
    side = literal.Side(replace(data, augmentation=Augmentation(flip=True)), range(30), 10, 2)
    close(list(source), list(side.epoch()))


# ---- random resized crops


def torchvisions(seed: int, height: int, width: int, scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """Its `RandomResizedCrop.get_params`, with Python's generator: top, left, height, width."""
    draw = random.Random(seed)
    for _ in range(10):
        target_area = height * width * draw.uniform(scale[0], scale[1])
        aspect_ratio = math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(target_area * aspect_ratio)), round(math.sqrt(target_area / aspect_ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(draw.random() * (height - h + 1))
            return top, int(draw.random() * (width - w + 1)), h, w
    w, h = width, height
    if width / height < 3 / 4:
        h = round(w / (3 / 4))
    elif width / height > 4 / 3:
        w = round(h * (4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.9, 1.0), (0.5, 0.5)])
@pytest.mark.parametrize("size", [(30, 40), (224, 224), (33, 20), (10, 60), (61, 11), (1, 1), (2, 3)])
def test_a_box_is_torchvisions_after_as_many_attempts(size: tuple[int, int], scale: tuple[float, float]) -> None:
    for seed in range(150):
        assert random_box(seed, *size, scale) == torchvisions(seed, *size, scale)


def photograph(side: int = 640) -> bytes:
    """A JPEG of smooth colours."""
    file = io.BytesIO()
    Image.open(io.BytesIO(encoded(size=(8, 8)))).resize((side, side - 96), Image.Resampling.BICUBIC).save(file, "jpeg", quality=95)
    return file.getvalue()


@pytest.mark.parametrize(("scale", "reduced"), [((0.9, 1.0), 4), ((0.25, 0.28), 2), ((0.02, 0.03), 1)])
def test_a_crop_of_a_large_jpeg_is_that_of_the_reduced_image(scale: tuple[float, float], reduced: int, tmp_path: Path) -> None:
    """Of 544x640 pixels: the whole has more than four times the 128 pixels that are wanted, a quarter of the area twice as many."""
    (tmp_path / "0.jpg").write_bytes(photograph())
    image = Image.open(tmp_path / "0.jpg")
    image.draft("RGB", (640 // reduced, 544 // reduced))
    small = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert small.shape[1:] == (544 // reduced, 640 // reduced)
    seeds = [s for s in range(60) if min(random_box(s, 544, 640, scale)[2:]) >= 128 * reduced or reduced == 1][:6]
    assert len(seeds) == 6
    for seed in seeds:
        top, left, rows, columns = (round(value / reduced) for value in random_box(seed, 544, 640, scale))
        expected = functional.resized_crop(small, top, left, rows, columns, [128, 128])
        assert torch.equal(random_crop(File(str(tmp_path), "0.jpg"), seed, scale, (128, 128)), expected)


def test_wide_and_high_crops_keep_their_sides_apart(tmp_path: Path) -> None:
    """The size that is wanted is (height, width)."""
    (tmp_path / "0.jpg").write_bytes(photograph())
    whole = functional.pil_to_tensor(Image.open(tmp_path / "0.jpg"))
    for seed in range(5):
        crop = random_crop(File(str(tmp_path), "0.jpg"), seed, (0.4, 0.5), (300, 200))
        assert torch.equal(crop, functional.resized_crop(whole, *random_box(seed, 544, 640, (0.4, 0.5)), [300, 200]))


# ---- disk


def photos(size: tuple[int, int]) -> dict[str, bytes]:
    return {f"{name}/{i}.png": encoded(i + 50 * (name == "dog"), size=size) for name in ("cat", "dog") for i in range(7)}


def decoded(files: dict[str, bytes]) -> Tensor:
    return torch.stack([torch.from_numpy(np.array(Image.open(io.BytesIO(files[name])))).permute(2, 0, 1) for name in sorted(files)])


@pytest.mark.parametrize("wanted", [PADDED, CROPPED], ids=["padded", "cropped"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_files_give_the_literal_batches(wanted: Augmentation, ranks: int, tmp_path: Path) -> None:
    """Labels by class and name; pixels as Pillow decodes them; normalised with ImageNet's mean and deviation."""
    files = photos((21, 18))
    for root in (as_tree(tmp_path / "tree", files), as_tar(tmp_path / "photos.tar", files)):
        data = replace(load(root, in_memory=False), augmentation=wanted)
        assert isinstance(data.train, Files)
        held = Images(decoded(files), torch.tensor([0] * 7 + [1] * 7))
        twin = dataset(held, test=None, class_names=("cat", "dog"), augmentation=wanted)
        for rank in range(ranks):
            side = literal.Side(twin, range(14), 5, 9, rank=rank, ranks=ranks)
            side.mean, side.std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
            source = BatchLoader(data.train, data, batch_size=5, seed=9, workers=0, rank=rank, ranks=ranks)
            for _ in range(2):
                close(list(source), list(side.epoch()))


def test_a_loaded_place_on_disk_is_that_of_the_literal_order(tmp_path: Path) -> None:
    files = photos((12, 12))
    data = replace(load(as_tree(tmp_path, files), in_memory=True), augmentation=PADDED)
    left = load(tmp_path, in_memory=False)
    stopped = BatchLoader(left.train, data, batch_size=4, seed=8, workers=0)
    taken(endless(stopped), 6)
    resumed = BatchLoader(left.train, data, batch_size=4, seed=0, workers=0)
    resumed.load_state_dict(stopped.state_dict())
    close(taken(endless(resumed), 6), taken(literal.Side(data, range(14), 4, 8).endless(), 12)[6:])


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(("size", "frame"), [(64, 72), (63, 63), (224, 256), (16, 16)])
def test_evaluation_shows_the_centre_of_the_resized_square(size: int, frame: int, in_memory: bool, tmp_path: Path) -> None:
    """From 64 pixels on 8/7 of the side is kept around it (256 for 224); of 300x200 pixels the square in the middle is taken."""
    files = {"cat/0.png": encoded(1, size=(300, 200)), "dog/0.png": encoded(2, size=(200, 300))}
    data = load(as_tree(tmp_path, files), size=size, in_memory=in_memory)
    first, second = (Image.open(io.BytesIO(files[name])) for name in files)
    long = frame * 300 // 200
    whole = [first.resize((frame, long), Image.Resampling.BILINEAR), second.resize((long, frame), Image.Resampling.BILINEAR)]
    pixels = torch.stack([functional.pil_to_tensor(functional.center_crop(image, [size, size])) for image in whole])
    (x, y), *rest = in_order(data.train, data, batch_size=2, workers=0)
    assert y.tolist() == [0, 1] and not rest and data.size == (size, size)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (data.mean, data.std))
    torch.testing.assert_close(x.double(), (pixels / 255 - mean) / std, rtol=0, atol=1e-5)


# ---- values of a data set


def test_mean_and_deviation_are_those_of_all_training_pixels_by_hand() -> None:
    """Two images of one pixel: 0 and 255, 51 and 51, 0 and 51."""
    pixels = torch.tensor([[0, 51, 0], [255, 51, 51]], dtype=torch.uint8).view(2, 3, 1, 1)
    data = dataset(Images(pixels, torch.tensor([0, 1])), test=None)
    assert data.mean == (0.5, 0.2, 0.1) and data.std == (0.5, round(1 / 255, 4), 0.1)


def test_the_digest_of_files_is_that_of_their_sorted_lines(tmp_path: Path) -> None:
    train = {"train/a/2.png": encoded(1), "train/a/10.png": encoded(2), "train/b/0.png": encoded(3)}
    test = {"val/a/0.png": encoded(4), "val/b/0.png": encoded(5)}
    data = load(as_tree(tmp_path, {**test, **train}), in_memory=False)
    lines = [
        f"{name.split('/', 1)[1]}\0{len(content)}\0{int(name[-7] == 'b')}\n"
        for part in (train, test)
        for name, content in sorted(part.items())
    ]
    lines = []
    for part in (train, test):
        for name, content in sorted(part.items()):
            _, label, file = name.split("/")
            lines.append(f"{label}/{file}\0{len(content)}\0{'ab'.index(label)}\n")
    assert data.digest == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert data.names == ("a/10.png", "a/2.png", "b/0.png")


def test_the_digest_of_a_listing_is_that_of_labels_and_names_in_order() -> None:
    listing = Listing("x", ("b/1.png", "a/0.png"), torch.tensor([1, 0]))
    assert listing.digest == hashlib.sha256(b"1 b/1.png\n0 a/0.png\n").hexdigest()
    assert (
        dataset().listing.names[:2] == ("train/000000", "train/000001")
        and dataset(names=tuple(map(str, range(30)))).listing.names[3] == "3"
    )


def test_digits_are_the_first_150_of_each_class_in_scikit_learns_order() -> None:
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    bunch, seen = load_digits(), [0] * 10
    parts: tuple[list[int], list[int]] = ([], [])
    for i, label in enumerate(bunch.target.tolist()):
        parts[seen[label] >= 150].append(i)
        seen[label] += 1
    data = load("digits", size=24)
    assert data.test is not None and data.augmentation == Augmentation(padding=1) and data.class_names == tuple("0123456789")
    for part, rows in zip((data.train, data.test), parts, strict=True):
        assert isinstance(part, Images) and part.labels.tolist() == bunch.target[rows].tolist()
        for i in range(0, len(rows), 11):
            gray = Image.fromarray(np.round(bunch.images[rows[i]] / 16 * 255).astype(np.uint8)).resize((24, 24), Image.Resampling.BILINEAR)
            assert all(torch.equal(part.pixels[i, c], torch.from_numpy(np.array(gray))) for c in range(3))
    levels = torch.from_numpy(np.round(bunch.data * 255 / 16)).byte()
    for part, rows in zip(load("digits", size=8).parts, parts, strict=True):
        assert isinstance(part, Images) and torch.equal(part.pixels[:, 0].flatten(1), levels[rows])


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.1, 0.025), (0.35,), (0.25, 0.25, 0.25, 0.25)])
@pytest.mark.parametrize("seed", [0, 11])
def test_a_split_is_the_literal_one(fractions: tuple[float, ...], seed: int) -> None:
    labels = torch.tensor([2] * 41 + [0] * 43 + [5] * 47)[torch.randperm(131, generator=torch.Generator().manual_seed(1))]
    ours = split_indices(labels, fractions, seed)
    assert [part.tolist() for part in ours] == literal.split(labels.tolist(), fractions, seed)


def test_fractions_may_add_up_to_one_in_floating_point() -> None:
    """0.1 ten times is a hair less than 1, 0.7 + 0.2 + 0.1 too; 1e-9 more than 1 is rounding, 1e-6 more is not."""
    labels = torch.arange(40) % 2
    assert sum(map(len, split_indices(labels, (0.1,) * 10, 0))) == 40
    assert sum(map(len, split_indices(labels, (0.5, 0.5 + 5e-10), 0))) == 40
    with pytest.raises(ValueError, match="at most 1"):
        split_indices(labels, (0.5, 0.5 + 1e-6), 0)


# ---- what a path holds


def test_the_part_to_test_is_val_before_valid_before_test(tmp_path: Path) -> None:
    files = {f"train/{c}/0.png": encoded() for c in "ab"}
    counts = {"test": 1, "valid": 2, "val": 3}
    for name, count in counts.items():
        files |= {f"{name}/{c}/{i}.png": encoded() for c in "ab" for i in range(count)}
        data = load(as_tree(tmp_path / name, files))
        assert data.test is not None and len(data.test) == 2 * count and len(data.train) == 2


IMAGENETS = Augmentation(crop_scale=(0.08, 1.0), flip=True)


@pytest.mark.parametrize(("side", "wanted"), [(63, Augmentation(padding=7, flip=True)), (64, IMAGENETS)])
def test_images_of_64_pixels_and_more_are_cropped_as_imagenets(side: int, wanted: Augmentation, tmp_path: Path) -> None:
    files = {"cat/0.png": encoded(size=(side, 90)), "dog/0.png": encoded(size=(side, 90))}
    data = load(as_tree(tmp_path, files))
    assert data.augmentation == wanted and data.size == (side, 90)


@pytest.mark.parametrize(("side", "refused"), [(64, True), (65, False)])
def test_images_of_different_sizes_are_imagenets_if_most_are_larger_than_64_pixels(side: int, refused: bool, tmp_path: Path) -> None:
    """By the middle one of the shorter sides."""
    sizes = [(20, 30), (100, 30), (side, 100), (100, 120), (90, 120)]
    root = as_tree(tmp_path, {f"{'cat' if i else 'dog'}/{i}.png": encoded(size=size) for i, size in enumerate(sizes)})
    if refused:
        with pytest.raises(ValueError, match="give one size"):
            load(root)
    else:
        data = load(root, in_memory=True)
        assert data.size == (224, 224) and isinstance(data.train, Images) and data.train.pixels.shape[2:] == (256, 256)
        assert data.augmentation == IMAGENETS


def test_an_image_of_another_size_is_named_wherever_the_images_are(tmp_path: Path) -> None:
    small, large = encoded(size=(8, 8)), encoded(size=(9, 9))
    files = {f"{name}/{i:03}.png": small for name in ("cat", "dog") for i in range(60)}
    for number in ("003", "004"):
        root = as_tree(tmp_path / number, dict(files) | {f"cat/{number}.png": large})
        for in_memory in (False, True):
            with pytest.raises(ValueError, match=f"cat/{number}.png has 9x9 pixels, the first image 8x8"):
                load(root, in_memory=in_memory)
    huge = dict(files) | {"cat/003.png": encoded(size=(90, 90))}  # not probed, so the others are small images of one size
    assert load(as_tree(tmp_path / "huge", huge), size=8, in_memory=False).size == (8, 8)


def test_memory_takes_what_just_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{part}/{c}/{i}.png": encoded() for part in ("train", "val") for c in "ab" for i in range(2)}
    root = as_tree(tmp_path, files)
    for budget, kind in ((8 * 3 * 8 * 8, Images), (8 * 3 * 8 * 8 - 1, Files)):
        monkeypatch.setattr("nasarch.data.decoding.MEMORY_BUDGET", budget)
        data: Dataset = load(root)
        assert isinstance(data.train, kind) and isinstance(data.test, kind)
    monkeypatch.setattr("nasarch.data.decoding.MEMORY_BUDGET", 8 * 3 * 72 * 72 - 1)
    assert isinstance(load(root, size=64).train, Files)  # by the frame that is kept, not by what is shown
    monkeypatch.undo()
    from nasarch.data.decoding import MEMORY_BUDGET, fits_memory

    assert MEMORY_BUDGET == 8 * 2**30 and fits_memory(2**33 // 3 // 64, (8, 8)) and not fits_memory(2**33 // 3 // 64 + 1, (8, 8))
