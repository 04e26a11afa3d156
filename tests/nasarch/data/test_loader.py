"""Batches of images in memory: the order, crops and flips that a seed chooses, again after a stop, and shared by several processes."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nasarch.data.dataset import Augmentation, Dataset, Images, halves
from nasarch.data.loader import BatchLoader, endless, in_order, train_and_val_loaders
from nasarch.data.sampler import Draws, EpochSampler
from tests.helpers.datasets import ALL, dataset, images, same


def literal(data: Dataset, part: Images, wanted: Augmentation, draws: Draws) -> torch.Tensor:
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
    epochs: list[Draws] = []
    draw = EpochSampler.draw

    def remembered(self: EpochSampler) -> Draws:
        epochs.append(draw(self))
        return epochs[-1]

    monkeypatch.setattr(EpochSampler, "draw", remembered)
    data = dataset()
    got = list(BatchLoader(data.train, data, batch_size=8, seed=3, augmentation=wanted))
    x_BCHW, y_B = (torch.cat(parts) for parts in zip(*got, strict=True))
    torch.testing.assert_close(x_BCHW.double(), literal(data, data.train, wanted, epochs[0]), rtol=0, atol=5e-6)
    assert torch.equal(y_B, data.train.labels[epochs[0].image])
    assert x_BCHW.dtype == torch.float32 and x_BCHW.is_contiguous()


def test_every_crop_flip_and_centre_occurs() -> None:
    data = dataset(images(5000, size=(4, 6)), test=None, augmentation=Augmentation(padding=2, flip=True, cutout=2))
    draws = EpochSampler(5000, (4, 6), data.augmentation, batch_size=50, seed=0).draw()
    corners = set(zip(draws.top.tolist(), draws.left.tolist(), strict=True))
    assert corners == set(itertools.product(range(5), range(5)))
    assert set(zip(draws.row.tolist(), draws.column.tolist(), strict=True)) == set(itertools.product(range(4), range(6)))
    assert set(draws.flip.tolist()) == {0, 1} and 0.47 < draws.flip.double().mean() < 0.53


def test_an_epoch_shows_every_image_once_and_keeps_the_last_smaller_batch() -> None:
    data = dataset(augmentation=Augmentation())
    source = BatchLoader(data.train, data, batch_size=8, seed=0)
    for _ in range(2):
        epoch = list(source)
        assert [len(y) for _, y in epoch] == [8, 8, 8, 6] and len(source) == 4
        shown = torch.cat([x for x, _ in epoch])
        expected, _ = next(in_order(data.train, data, batch_size=30))
        assert sorted(shown.sum((1, 2, 3)).tolist()) == sorted(expected.sum((1, 2, 3)).tolist())


def test_25000_images_in_batches_of_256_are_98_steps() -> None:
    part = Images(torch.zeros(25_000, 3, 1, 1, dtype=torch.uint8), torch.arange(25_000) % 2)
    assert len(BatchLoader(part, dataset(part, test=None), batch_size=256, seed=0)) == 98


def test_batches_follow_their_seed_and_every_epoch_differs() -> None:
    data = dataset()
    once, again, other = (BatchLoader(data.train, data, batch_size=30, seed=seed) for seed in (0, 0, 1))
    epochs = [next(iter(once)) for _ in range(3)]
    assert same(epochs, [next(iter(again)) for _ in range(3)])
    assert not torch.equal(epochs[0][0], epochs[1][0]) and not torch.equal(epochs[0][0], next(iter(other))[0])


def test_the_order_of_images_does_not_depend_on_the_augmentation() -> None:
    data = dataset(images(classes=30), class_names=tuple(map(str, range(30))), test=None)
    plain, augmented, cropped = (
        BatchLoader(data.train, data, batch_size=7, seed=2, augmentation=wanted)
        for wanted in (Augmentation(), ALL, Augmentation(crop_scale=(0.5, 1.0)))
    )
    for _ in range(3):
        assert [y.tolist() for _, y in plain] == [y.tolist() for _, y in augmented] == [y.tolist() for _, y in cropped]


def test_the_numbers_that_a_seed_draws_never_change() -> None:
    """A search with the same seed sees the same images with the same crops in every version."""
    order = EpochSampler(8, (32, 32), Augmentation(padding=4, flip=True), batch_size=4, seed=3)
    first, second, third = (torch.stack(draws).tolist() for draws in [*order, next(iter(order))])
    assert first == [[2, 4, 3, 5], [2, 7, 1, 7], [4, 3, 6, 8], [0, 0, 0, 1], [31, 28, 1, 19], [1, 29, 10, 24]]
    assert second == [[1, 0, 6, 7], [0, 2, 2, 0], [8, 0, 5, 6], [0, 0, 0, 0], [26, 5, 8, 14], [27, 30, 7, 24]]
    assert third == [[3, 2, 5, 6], [2, 4, 6, 7], [0, 6, 0, 7], [0, 0, 1, 1], [1, 21, 21, 23], [3, 27, 16, 31]]


@pytest.mark.parametrize("done", range(10))
def test_a_loaded_state_continues_bit_identically(done: int) -> None:
    data = dataset()
    unbroken = endless(BatchLoader(data.train, data, batch_size=8, seed=0))
    expected = [next(unbroken) for _ in range(15)][done:]
    stopped = BatchLoader(data.train, data, batch_size=8, seed=0)
    stream = endless(stopped)
    for _ in range(done):
        next(stream)
    file = io.BytesIO()
    torch.save(stopped.state_dict(), file)
    file.seek(0)
    resumed = BatchLoader(data.train, data, batch_size=8, seed=99)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert same(expected, itertools.islice(endless(resumed), 15 - done))


def test_an_epoch_left_early_is_continued() -> None:
    data = dataset()
    whole, broken = (BatchLoader(data.train, data, batch_size=8, seed=0) for _ in range(2))
    pieces = [*itertools.islice(broken, 1), *itertools.islice(broken, 2), *broken, *broken]
    assert same([*whole, *whole], pieces)


@pytest.mark.parametrize(
    ("change", "named"), [({"batch_size": 4}, "same data and batch size"), ({"position": 4}, "batch 4 of 4"), ({"position": None}, "None")]
)
def test_a_state_of_other_batches_is_refused(change: dict[str, Any], named: str) -> None:
    data = dataset()
    source = BatchLoader(data.train, data, batch_size=8, seed=0)
    with pytest.raises(ValueError, match=named):
        source.load_state_dict({**source.state_dict(), **change})


@pytest.mark.parametrize("batch_size", [0, 31])
def test_a_batch_that_the_data_cannot_fill_is_refused(batch_size: int) -> None:
    data = dataset()
    with pytest.raises(ValueError, match=f"batch size {batch_size}: data 'noise' has 30 images here; choose 1 to 30"):
        BatchLoader(data.train, data, batch_size=batch_size, seed=0)


@pytest.mark.parametrize("batch_size", [8, 9, 10])
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_shares_of_all_ranks_are_the_batches_of_one(ranks: int, batch_size: int) -> None:
    data = dataset(images(count=61))
    alone = list(BatchLoader(data.train, data, batch_size=batch_size, seed=4))
    shares = [list(BatchLoader(data.train, data, batch_size=batch_size, seed=4, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert len({len(share) for share in shares}) == 1
    for number, of_ranks in enumerate(zip(*shares, strict=True)):
        x, y = alone[number]
        kept = len(y) if len(y) == batch_size else len(y) - len(y) % ranks
        for rank, share in enumerate(of_ranks):
            assert same([share], [(x[rank:kept:ranks], y[rank:kept:ranks])])
    left_out = alone[len(shares[0]) :]
    assert all(len(y) < ranks for _, y in left_out)


@pytest.mark.parametrize(("count", "ranks", "steps"), [(20, 2, 3), (20, 4, 3), (19, 4, 2), (17, 2, 2), (16, 4, 2)])
def test_a_last_batch_too_small_for_all_ranks_is_left_out(count: int, ranks: int, steps: int) -> None:
    data = dataset(images(count=count))
    for rank in range(ranks):
        source = BatchLoader(data.train, data, batch_size=8, seed=0, rank=rank, ranks=ranks)
        assert len(source) == len(list(source)) == len(list(source)) == steps


def test_a_rank_goes_on_from_the_state_of_another() -> None:
    data = dataset()
    first, second, resumed = (BatchLoader(data.train, data, batch_size=8, seed=0, rank=rank, ranks=2) for rank in (0, 1, 1))
    next(iter(first))
    next(iter(second))
    resumed.load_state_dict(first.state_dict())
    assert same(list(second), list(resumed))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rank": 2, "ranks": 2}, "rank 2 of 2: ranks are numbered from 0"),
        ({"rank": -1, "ranks": 2}, "rank -1 of 2"),
        ({"rank": 0, "ranks": 5}, "batch size 4: .* 30 images here and 5 processes, each of which needs one; choose 5 to 30"),
    ],
)
def test_impossible_ranks_are_refused(arguments: dict[str, int], named: str) -> None:
    data = dataset()
    with pytest.raises(ValueError, match=named):
        BatchLoader(data.train, data, batch_size=4, seed=0, **arguments)


def test_both_sides_have_orders_of_their_own() -> None:
    data = dataset(augmentation=Augmentation())
    part = data.train
    train, valid = train_and_val_loaders((part, part), data, batch_size=30, seed=1, device="cpu")
    assert same(list(train), list(BatchLoader(part, data, batch_size=30, seed=2)))
    assert same(list(valid), list(BatchLoader(part, data, batch_size=30, seed=3)))


@pytest.mark.parametrize("wanted", [Augmentation(), Augmentation(padding=2, flip=True)])
def test_images_larger_than_what_they_show_show_their_centre(wanted: Augmentation) -> None:
    whole = images(size=(14, 13))
    margined = replace(whole, shown=(10, 12))
    centred = Images(whole.pixels[:, :, 2:12, 0:12], whole.labels)
    data = dataset(test=None)
    assert margined.size == margined.subset(torch.arange(3)).size == halves(margined, 0)[0].size == (10, 12)
    got, expected = (BatchLoader(part, data, batch_size=8, seed=0, augmentation=wanted) for part in (margined, centred))
    assert same(list(got), list(expected))
    assert same(list(in_order(margined, data, batch_size=8)), list(in_order(centred, data, batch_size=8)))


def test_evaluation_sees_all_images_in_order_unaugmented() -> None:
    data = dataset()
    assert data.test is not None
    x_BCHW, y_B = (torch.cat(parts) for parts in zip(*in_order(data.test, data, batch_size=4), strict=True))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    torch.testing.assert_close(x_BCHW * std + mean, data.test.pixels / 255, rtol=0, atol=1e-6)
    assert torch.equal(y_B, data.test.labels)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_batches() -> None:
    data = dataset()
    there = BatchLoader(data.train, data, batch_size=8, seed=0, device="cuda")
    here = BatchLoader(data.train, data, batch_size=8, seed=0)
    for (x, y), (expected_x, expected_y) in zip(there, here, strict=True):
        assert x.is_cuda
        torch.testing.assert_close(x.cpu(), expected_x)
        assert torch.equal(y.cpu(), expected_y)


def test_another_augmentation_can_be_chosen() -> None:
    data = replace(dataset(), augmentation=Augmentation(cutout=2))
    assert BatchLoader(data.train, data, batch_size=4, seed=0).augmentation == Augmentation(cutout=2)
