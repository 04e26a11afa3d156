"""The two sides of the data and their batches, drawn from the seed in the documented order and augmented image by image."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from nasarch.data.dataset import Augmentation, Dataset

Batch = tuple[Tensor, Tensor]


class Drawn(NamedTuple):
    """The random numbers of one image: which it is, the corner of its crop, whether it is flipped, the centre of its cutout."""

    image: int
    top: int
    left: int
    flip: int
    row: int
    column: int


def split(labels: Sequence[int], fractions: Sequence[float], seed: int) -> list[list[int]]:
    """Class by class the images are shuffled and cut at the rounded cumulated fractions; each part is in ascending order."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[list[int]] = [[] for _ in fractions]
    for label in sorted(set(labels)):
        members = [i for i, other in enumerate(labels) if other == label]
        shuffled = [members[i] for i in torch.randperm(len(members), generator=generator).tolist()]
        start, share = 0, 0.0
        for part, fraction in zip(parts, fractions, strict=True):
            share += fraction
            end = round(share * len(members))
            part.extend(shuffled[start:end])
            start = end
    return [sorted(part) for part in parts]


def epoch(count: int, height: int, width: int, wanted: Augmentation, generator: torch.Generator) -> list[Drawn]:
    """An epoch's numbers in the order in which they are drawn: a permutation, then tops, lefts, flips, rows and columns."""
    images = torch.randperm(count, generator=generator).tolist()
    corners = 2**24 if wanted.crop_scale is not None else 2 * wanted.padding + 1
    columns = [torch.randint(high, (count,), generator=generator).tolist() for high in (corners, corners, 2, height, width)]
    return [Drawn(*numbers) for numbers in zip(images, *columns, strict=True)]


def box(seed: int, height: int, width: int, scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random resized crop that fits at the first try, as torchvision chooses one."""
    draw = random.Random(seed)
    area, ratio = height * width * draw.uniform(*scale), math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
    rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
    assert rows <= height and columns <= width, "choose another seed or scale: this box does not fit"
    return int(draw.random() * (height - rows + 1)), int(draw.random() * (width - columns + 1)), rows, columns


def shown(pixels: Tensor, drawn: Drawn, wanted: Augmentation, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """One image as the network gets it: float64 [3, H, W]."""
    _, height, width = pixels.shape
    if wanted.crop_scale is not None:
        pixels = functional.resized_crop(
            pixels, *box(drawn.top * 2**24 + drawn.left, height, width, wanted.crop_scale), size=[height, width]
        )
    black = torch.zeros(3, height + 2 * wanted.padding, width + 2 * wanted.padding, dtype=torch.uint8)
    black[:, wanted.padding : wanted.padding + height, wanted.padding : wanted.padding + width] = pixels
    if wanted.padding:
        black = black[:, drawn.top : drawn.top + height, drawn.left : drawn.left + width]
    if wanted.flip and drawn.flip:
        black = black[:, :, torch.arange(width - 1, -1, -1)]
    image = torch.stack([(black[c].double() / 255 - mean[c]) / std[c] for c in range(3)])
    for row in range(height):
        for column in range(width):
            inside = 0 <= row - drawn.row + wanted.cutout // 2 < wanted.cutout and 0 <= column - drawn.column + wanted.cutout // 2
            if inside and column - drawn.column + wanted.cutout // 2 < wanted.cutout:
                image[:, row, column] = 0.0
    return image


def statistics(pixels: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of all training images, 0 to 1, to four places."""
    of_channels = [pixels[:, c].numpy().astype(np.float64) / 255 for c in range(3)]
    return [round(float(x.mean()), 4) for x in of_channels], [round(float(x.std()), 4) for x in of_channels]


class Side:
    """The images at `indices` in batches, the order drawn by `seed`; of each batch rank r of R gets the images r, r + R, ..."""

    def __init__(self, data: Dataset, indices: Sequence[int], batch_size: int, seed: int, *, rank: int = 0, ranks: int = 1) -> None:
        self.data, self.indices, self.batch_size = data, list(indices), batch_size
        self.generator = torch.Generator().manual_seed(seed)
        self.rank, self.ranks = rank, ranks
        self.mean, self.std = statistics(data.train.pixels)  # type: ignore[union-attr]

    def epoch(self) -> Iterator[Batch]:
        """Every image once; a last batch is smaller, and cut to a multiple of the ranks."""
        train, wanted = self.data.train, self.data.augmentation
        numbers = epoch(len(self.indices), *train.size, wanted, self.generator)
        for start in range(0, len(numbers), self.batch_size):
            batch = numbers[start : start + self.batch_size]
            batch = batch[: len(batch) - len(batch) % self.ranks] if len(batch) < self.batch_size else batch
            if own := batch[self.rank :: self.ranks]:
                chosen = [self.indices[drawn.image] for drawn in own]
                images = [shown(train.pixels[i], drawn, wanted, self.mean, self.std) for i, drawn in zip(chosen, own, strict=True)]  # type: ignore[union-attr]
                yield torch.stack(images), train.labels[chosen]

    def endless(self) -> Iterator[Batch]:
        """One epoch after the other, each in a new order."""
        while True:
            yield from self.epoch()
