"""Batches of images that live on the device as uint8: shuffled, cropped, flipped, cut out and normalised there.

No worker processes: a whole epoch's random numbers are drawn at its start, on the CPU, so that a CPU and a GPU see the same crops,
and a state is only the generator at that start and a place in the epoch. Any loader with `__iter__` (the rest of the epoch),
`__len__`, `state_dict` and `load_state_dict` can take the place of `Batches` in a search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .data import Augmentation, Dataset, Images

Batch = tuple[Tensor, Tensor]  # x_BCHW float32, normalised; y_B int64


class Draws(NamedTuple):
    """The random numbers of B images, each an int64 [B]."""

    image: Tensor  # which image
    top: Tensor  # first row and column of the crop, in the padded image
    left: Tensor
    flip: Tensor  # 0 or 1
    row: Tensor  # centre of the cutout
    column: Tensor

    def slice(self, start: int, stop: int) -> Draws:
        return Draws(*(numbers[start:stop] for numbers in self))


def crop(x_BCHW: Tensor, top_B: Tensor, left_B: Tensor, padding: int) -> Tensor:
    """From each image with `padding` zeros around it the window of its own size whose corner is (top, left), 0 to 2 * padding."""
    height, width = x_BCHW.shape[2:]
    windows = F.pad(x_BCHW, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # [B, C, tops, lefts, H, W], a view
    return windows.permute(0, 2, 3, 1, 4, 5)[torch.arange(len(x_BCHW), device=x_BCHW.device), top_B, left_B]


def flip(x_BCHW: Tensor, flip_B: Tensor) -> Tensor:
    """The images with left and right swapped where `flip_B` is not 0."""
    return torch.where(flip_B.bool()[:, None, None, None], x_BCHW.flip(3), x_BCHW)


def cutout(x_BCHW: Tensor, row_B: Tensor, column_B: Tensor, side: int) -> Tensor:
    """The images with zeros in the square of `side` pixels around (row, column), as far as it lies inside."""
    rows = _covered(row_B, side, x_BCHW.shape[2])
    columns = _covered(column_B, side, x_BCHW.shape[3])
    return x_BCHW.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def _covered(centre_B: Tensor, side: int, length: int) -> Tensor:
    """Which of `length` pixels lie in [centre - side // 2, centre - side // 2 + side): bool [B, length]."""
    offset = torch.arange(length, device=centre_B.device) - (centre_B - side // 2)[:, None]
    return (offset >= 0) & (offset < side)


def normalise(x_BCHW: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 -> float32, (x / 255 - mean) / std with `mean` and `std` float32 [3, 1, 1]."""
    return x_BCHW.float().mul_(1 / (255 * std)).sub_(mean / std)


def _statistics(data: Dataset, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the channels, [3, 1, 1] each."""
    mean, std = torch.tensor([data.mean, data.std], device=device)[..., None, None]
    return mean, std


def in_order(images: Images, data: Dataset, *, batch_size: int, device: str | torch.device = "cpu") -> Iterator[Batch]:
    """All images once, in their order, normalised and not augmented: for evaluation. The last batch may be smaller."""
    mean, std = _statistics(data, device)
    for pixels, labels in zip(images.pixels.split(batch_size), images.labels.split(batch_size), strict=True):
        yield normalise(pixels.to(device), mean, std), labels.to(device)


class Batches:
    """An endless source of shuffled, augmented, normalised batches; iterating over it gives (the rest of) one epoch.

    Every epoch shows each image once, in a new order; its last batch is smaller where the batch size does not divide the number
    of images (25,000 in batches of 256 are 98, as with the published code's loader). The images are put on `device` and stay there.

    An epoch that was left in the middle is continued by the next iteration, and so is one whose state was loaded: the batches that
    follow are the same, bit for bit, as those of a run that never stopped.

    Args:
        images: the part to draw from, for instance one half of `data.train`.
        data: the data set whose mean and standard deviation normalise, and whose augmentation is used if none is given.
        seed: of the order and the augmentation; give different parts different seeds. The order does not depend on the augmentation.

    Raises:
        ValueError: a batch size below 1 or above the number of images.
    """

    def __init__(
        self,
        images: Images,
        data: Dataset,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if not 1 <= batch_size <= len(images):
            raise ValueError(
                f"batch size {batch_size}: data {data.name!r} has {len(images)} images here; choose 1 to {len(images)}, or more images"
            )
        self.images = images.to(device)
        self.batch_size = batch_size
        self.augmentation = data.augmentation if augmentation is None else augmentation
        self._mean, self._std = _statistics(data, device)
        self._generator = torch.Generator().manual_seed(seed)
        self._start = self._generator.get_state()  # of the present epoch
        self._position = 0  # the batch of it that comes next

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        self._generator.set_state(self._start)
        epoch = self._draw()
        for number in range(self._position, len(self)):
            self._position = number + 1
            if self._position == len(self):
                self._start, self._position = self._generator.get_state(), 0
            yield self._batch(epoch.slice(number * self.batch_size, (number + 1) * self.batch_size))

    def state_dict(self) -> dict[str, Any]:
        """The place in the data, to go on from with `load_state_dict`; after the last batch of an epoch it is the next one's start."""
        return {"generator": self._start, "position": self._position, **self._shape()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the place that `state_dict` returned.

        Raises:
            ValueError: it is the state of other data or of another batch size, or damaged.
        """
        other = {name: state.get(name) for name in self._shape()}
        if other != self._shape():
            raise ValueError(f"a place in the data of {other} can't be used with {self._shape()}; resume with the same data and batch size")
        if state.get("position") not in range(len(self)):
            raise ValueError(f"batch {state.get('position')} of {len(self)} is no place in the data; resume from an undamaged checkpoint")
        self._start, self._position = state["generator"].cpu(), state["position"]

    def _shape(self) -> dict[str, int]:
        return {"images": len(self.images), "batch_size": self.batch_size}

    def _draw(self) -> Draws:
        """The random numbers of an epoch, all of them whatever the augmentation uses, on the images' device."""
        count, (height, width) = len(self.images), self.images.size
        integers = partial(torch.randint, size=(count,), generator=self._generator)
        order = torch.randperm(count, generator=self._generator)
        places = 2 * self.augmentation.padding + 1
        draws = (order, integers(places), integers(places), integers(2), integers(height), integers(width))
        return Draws(*(numbers.to(self.images.pixels.device) for numbers in draws))

    def _batch(self, draws: Draws) -> Batch:
        pixels, wanted = self.images.pixels.index_select(0, draws.image), self.augmentation
        if wanted.padding:
            pixels = crop(pixels, draws.top, draws.left, wanted.padding)
        if wanted.flip:
            pixels = flip(pixels, draws.flip)
        x_BCHW = normalise(pixels, self._mean, self._std)
        if wanted.cutout:
            x_BCHW = cutout(x_BCHW, draws.row, draws.column, wanted.cutout)
        return x_BCHW, self.images.labels.index_select(0, draws.image)


def endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """One batch after the other without an end, reshuffled whenever an epoch is over: the validation side of a bi-level search.

    Note: the published code makes a new shuffled loader for every validation batch, so that images are drawn with replacement
    (and worker processes start at every step); here all images of the part are seen equally often.
    """
    while True:
        yield from batches


def both_sides(
    parts: tuple[Images, Images], data: Dataset, *, batch_size: int, seed: int, device: str | torch.device
) -> tuple[Batches, Batches]:
    """Batches of the part that trains the weights and of the part that trains the architecture, with orders of their own."""
    train, valid = (Batches(part, data, batch_size=batch_size, seed=2 * seed + i, device=device) for i, part in enumerate(parts))
    return train, valid
