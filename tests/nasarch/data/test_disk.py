"""Images on disk give the same batches as in memory, whatever the number of workers, and what goes wrong is said in one line."""

from __future__ import annotations

import io
import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nasarch.data.dataset import Augmentation, Dataset, halves
from nasarch.data.decoding import cores
from nasarch.data.disk import default_workers
from nasarch.data.image_files import File, Files
from nasarch.data.load import load
from nasarch.data.loader import BatchLoader, endless, in_order, train_and_val_loaders
from tests.helpers.datasets import as_tar, as_tree, encoded, real, same, two_classes

CROPS = Augmentation(crop_scale=(0.2, 1.0), flip=True)
PADDED = Augmentation(padding=3, flip=True, cutout=6)


def photos(count: int = 13, prefix: str = "") -> dict[str, bytes]:
    """Images of two classes and different sizes, 70 to 95 pixels a side."""
    names = [(name, number) for name in ("cat", "dog") for number in range(count)]
    return {
        f"{prefix}{name}/{number:02}.{'png' if number % 2 else 'jpeg'}": encoded(
            seed, size=(70 + seed % 25, 95 - seed % 20), format="png" if number % 2 else "jpeg"
        )
        for seed, (name, number) in enumerate(names)
    }


def equal_sized(count: int = 13) -> dict[str, bytes]:
    return {name: encoded(seed, size=(80, 72)) for seed, name in enumerate(photos(count))}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return as_tree(tmp_path / "photos", photos())


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()


def batches(data: Dataset, **changes: Any) -> BatchLoader:
    return BatchLoader(data.train, data, **{"batch_size": 8, "seed": 0, "workers": 0, **changes})


# ---- the same as in memory


@pytest.mark.parametrize("wanted", [Augmentation(), PADDED, CROPS])
@pytest.mark.parametrize("workers", [0, 2])
def test_files_give_the_batches_of_the_same_images_in_memory(wanted: Augmentation, workers: int, tmp_path: Path) -> None:
    root = as_tree(tmp_path, equal_sized())
    held, left = (replace(load(root, in_memory=in_memory), augmentation=wanted) for in_memory in (True, False))
    assert isinstance(left.train, Files) and held.size == left.size == (80, 72)
    there = BatchLoader(left.train, held, batch_size=8, seed=3, workers=workers)
    here = BatchLoader(held.train, held, batch_size=8, seed=3)
    assert same(list(there), list(here)) and same(list(there), list(here))


@pytest.mark.parametrize("size", [None, 24, 64, 80])
def test_evaluation_sees_the_same_pixels_in_memory_and_on_disk(size: int | None, tmp_path: Path) -> None:
    root = as_tree(tmp_path, {**photos(prefix="train/"), **photos(prefix="val/", count=5)})
    held, left = (load(root, size=size, in_memory=in_memory) for in_memory in (True, False))
    assert held.test is not None and left.test is not None and held.size == left.size == (size or 224, size or 224)
    assert held.augmentation == left.augmentation
    for workers in (0, 2):
        assert same(list(in_order(left.test, held, batch_size=4, workers=workers)), list(in_order(held.test, held, batch_size=4)))


def test_evaluation_shows_the_centre_of_the_shorter_side_of_256(tmp_path: Path) -> None:
    root = as_tree(tmp_path, {"cat/0.png": encoded(1, size=(6, 8)), "dog/0.png": encoded(2, size=(512, 300))})
    Image.open(root / "cat/0.png").resize((400, 300), Image.Resampling.BICUBIC).save(root / "cat/0.png")
    data = load(root, in_memory=False)
    assert data.size == (224, 224)
    assert data.source.endswith("; of different sizes, so shorter side to 256 and centre of 224x224")
    x, _ = next(in_order(data.train, data, batch_size=1, workers=0))
    image = Image.open(root / "cat/0.png").resize((341, 256), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(image))[16:240, 58:282].permute(2, 0, 1) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    assert (x[0] * std + mean - expected).abs().mean() < 0.01


# ---- order, resume, ranks


@pytest.mark.parametrize(("workers", "done"), [*((0, done) for done in range(9)), (1, 3), (2, 4), (2, 5)])
def test_a_loaded_state_continues_bit_identically_with_any_number_of_workers(workers: int, done: int, tree: Path) -> None:
    data = replace(load(tree, size=64, in_memory=False), augmentation=CROPS)
    unbroken = endless(batches(data))
    expected = [next(unbroken) for _ in range(11)][done:]
    stopped = batches(data, workers=workers)
    stream = endless(stopped)
    for _ in range(done):
        next(stream)
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    resumed = batches(data, seed=99, workers=workers)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert same(expected, itertools.islice(endless(resumed), 11 - done))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_left_early_is_continued_and_its_workers_stop(workers: int, tree: Path) -> None:
    data = load(tree, size=32, in_memory=False)
    whole, broken = batches(data), batches(data, workers=workers)
    pieces: list[Any] = []
    for count in (1, 2, 1):
        epoch = iter(broken)
        pieces += itertools.islice(epoch, count)
        del epoch
        assert not multiprocessing.active_children() or len(pieces) == len(whole)
    assert same([*whole, *whole], [*pieces, *broken])


def test_workers_live_from_epoch_to_epoch_and_go_with_the_batches(tree: Path) -> None:
    data = load(tree, size=32, in_memory=False)
    source = batches(data, workers=2)
    seen = []
    for _ in range(3):
        assert len(list(source)) == 4
        seen.append({child.pid for child in multiprocessing.active_children()})
    assert seen[0] == seen[1] == seen[2] and len(seen[0]) == 2
    del source
    assert not multiprocessing.active_children()


def test_an_old_epoch_that_is_let_go_does_not_stop_the_present_one(tree: Path) -> None:
    data = load(tree, size=32, in_memory=False)
    source = batches(data, workers=2)
    old = iter(source)
    pieces = [next(old)]
    present = iter(source)
    pieces.append(next(present))
    del old
    assert same(list(batches(data)), [*pieces, *present])


def test_a_loaded_state_restarts_what_the_workers_look_ahead_to(tree: Path) -> None:
    data = load(tree, size=32, in_memory=False)
    source = batches(data, workers=2)
    state = source.state_dict()
    first = list(source)
    source.load_state_dict(state)
    assert same(first, list(source))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_shares_of_two_ranks_are_the_batches_of_one(workers: int, tree: Path) -> None:
    data = replace(load(tree, size=64, in_memory=False), augmentation=CROPS)
    alone = list(batches(data))
    shares = [list(batches(data, rank=rank, ranks=2, workers=workers)) for rank in (0, 1)]
    for (x, y), *of_ranks in zip(alone, *shares, strict=True):
        assert all(same([share], [(x[rank::2], y[rank::2])]) for rank, share in enumerate(of_ranks))


def test_both_sides_share_the_workers_and_leave_the_global_generator_alone(tree: Path) -> None:
    data = load(tree, size=32, in_memory=False)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    train, valid = train_and_val_loaders(halves(data.train, 0), data, batch_size=5, seed=0, device="cpu", workers=2)
    together = list(zip(train, valid, strict=True))
    assert len(multiprocessing.active_children()) == 2 and len(together) == 3
    assert torch.equal(torch.get_rng_state(), before)
    expected = train_and_val_loaders(halves(data.train, 0), data, batch_size=5, seed=0, device="cpu", workers=0)
    assert same([a for a, _ in together], expected[0]) and same([b for _, b in together], expected[1])


def test_there_are_as_many_workers_as_cores_up_to_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_workers() == min(cores(), 8)
    monkeypatch.setattr("nasarch.data.disk.cores", lambda: 64)
    assert default_workers() == 8


def test_a_negative_number_of_workers_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="workers=-1: choose 0"):
        batches(load(tree, size=32, in_memory=False), workers=-1)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_batches(tree: Path) -> None:
    data = replace(load(tree, size=64, in_memory=False), augmentation=CROPS)
    for (x, y), (expected_x, expected_y) in zip(batches(data, device="cuda", workers=2), batches(data), strict=True):
        assert x.is_cuda
        torch.testing.assert_close(x.cpu(), expected_x)
        assert torch.equal(y.cpu(), expected_y)


# ---- what goes wrong


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("content", [b"no image", None], ids=["broken", "missing"])
def test_a_file_that_cannot_be_decoded_is_named(workers: int, content: bytes | None, tree: Path) -> None:
    data = load(tree, size=64, in_memory=False)
    file = tree / "dog/03.png"
    file.unlink() if content is None else file.write_bytes(content)
    source = batches(data, workers=workers)
    words = r"is missing; put it back .*" if content is None else r"can't be read as an image \(no format .+\); replace .* or remove it"
    with pytest.raises(ValueError, match=rf"dog/03.png {words}, then resume$"):
        list(source)
    assert not multiprocessing.active_children()
    with pytest.raises(ValueError, match="dog/03.png"):
        list(in_order(data.train, data, batch_size=8, workers=workers))


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_a_killed_worker_is_reported(tree: Path) -> None:
    data = load(tree, size=32, in_memory=False)
    source = batches(data, workers=2, batch_size=2)
    epoch = iter(source)
    next(epoch)
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)
    with pytest.raises(ValueError, match=r"a process that decoded .*(cat|dog)/.* and others died \(.*\); see that memory .* then resume"):
        list(epoch)
    assert len(list(source)) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_an_interrupt_of_the_terminal_does_not_end_the_workers(tree: Path) -> None:
    data = load(tree, size=32, in_memory=False)
    source = batches(data, workers=2)
    epoch = iter(source)
    expected = list(batches(data))
    got = [next(epoch)]
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGINT)
    assert same(expected, [*got, *epoch])


def test_small_images_of_different_sizes_need_a_size_on_disk_too(tmp_path: Path) -> None:
    root = as_tree(tmp_path, {"cat/0.png": encoded(), "dog/0.png": encoded(size=(16, 48))})
    with pytest.raises(ValueError, match=r"dog/0.png has 16x48 pixels, the first image 8x8; give one size"):
        load(root, in_memory=False)


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_sets_that_are_no_image_files_stay_in_memory(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"data '{name}' is no set of image files"):
        load(name, root=tmp_path, in_memory=False)


# ---- values


def places(count: int = 3) -> tuple[File, ...]:
    return tuple(File("folder", f"{number}.png") for number in range(count))


@pytest.mark.parametrize(
    ("labels", "names", "size", "frame", "named"),
    [
        (torch.zeros(2).long(), ("a", "b", "c"), (8, 8), None, r"\[2\] and names 3 for 3 files"),
        (torch.zeros(3), ("a", "b", "c"), (8, 8), None, "torch.float32"),
        (torch.zeros(3).long(), ("a", "b"), (8, 8), None, "names 2 for 3 files"),
        (torch.zeros(3).long(), ("a", "b", "c"), (8, 8), (9, 7), r"size \(8, 8\) of frame \(9, 7\)"),
        (torch.zeros(3).long(), ("a", "b", "c"), (0, 8), None, "at least one pixel"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    labels: torch.Tensor, names: tuple[str, ...], size: tuple[int, int], frame: tuple[int, int] | None, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        Files(places(), labels, names, size, frame)


def test_a_subset_of_files_keeps_places_labels_and_names_together() -> None:
    files = Files(places(), torch.tensor([0, 1, 0]), ("a", "b", "c"), (8, 8), (9, 9))
    part = files.subset(torch.tensor([2, 0]))
    assert part.entries == (places()[2], places()[0]) and part.labels.tolist() == [0, 0] and part.names == ("c", "a")
    assert (part.size, part.frame, len(part)) == ((8, 8), (9, 9), 2)


def test_files_are_normalised_as_imagenet_without_being_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(tree, size=64, in_memory=False)
    monkeypatch.setattr(File, "read", lambda file: pytest.fail("read"))
    assert data.mean == (0.485, 0.456, 0.406) and data.std == (0.229, 0.224, 0.225)
    assert len(data.digest) == 64


def test_the_digest_of_files_is_that_of_names_sizes_and_labels_in_every_layout(tmp_path: Path) -> None:
    files = two_classes()
    as_folder = load(as_tree(tmp_path / "pets", files), in_memory=False)
    as_one_tar = load(as_tar(tmp_path / "pets.tar", {f"pets/{name}": content for name, content in files.items()}), in_memory=False)
    assert as_folder.digest == as_one_tar.digest and as_folder.names == as_one_tar.names == tuple(sorted(files))
    longer = load(as_tree(tmp_path / "longer", {**files, "dog/1.png": files["dog/1.png"] + b"\0"}), in_memory=False)
    renamed = load(as_tree(tmp_path / "renamed", {name.replace("1", "4"): content for name, content in files.items()}), in_memory=False)
    part = as_folder.train
    relabelled = replace(as_folder, train=replace(part, labels=part.labels.flip(0)))
    assert len({one.digest for one in (as_folder, longer, renamed, relabelled)}) == 4


def test_a_file_that_went_missing_is_named_by_the_digest(tree: Path) -> None:
    data = load(tree, size=32, in_memory=False)
    (tree / "cat/01.png").unlink()
    with pytest.raises(ValueError, match="can't read .*cat/01.png: No such file or directory; put it back"):
        _ = data.digest


# ---- real data


@pytest.mark.slow
def test_imagenette_is_walked_from_disk() -> None:
    data = load(real("imagenette-subset") / "train.tar", in_memory=False)
    assert isinstance(data.train, Files) and data.size == (224, 224) and data.num_classes == 10
    assert data.augmentation == Augmentation(crop_scale=(0.08, 1.0), flip=True)
    sums, counts = [], []
    for workers in (0, 2):
        shown = [(float(x.double().mean()), y.bincount(minlength=10)) for x, y in batches(data, batch_size=128, workers=workers)]
        sums.append([mean for mean, _ in shown])
        counts.append(torch.stack([count for _, count in shown]).sum(0).tolist())
    assert sums[0] == sums[1] and counts[0] == counts[1] == [150] * 10
    assert abs(sum(sums[0]) / len(sums[0])) < 0.2
