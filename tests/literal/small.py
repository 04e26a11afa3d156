"""A data set for literal searches: few small images, higher than wide, and everything that augmentation knows but random resized crops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from nasarch.data.dataset import Augmentation, Dataset, Images

AUGMENTED = Augmentation(padding=2, flip=True, cutout=3)


def data(size: tuple[int, int] = (12, 8), count: int = 29, augmentation: Augmentation = AUGMENTED, **changes: Any) -> Dataset:
    """Noise around a colour for each of three classes, of which one is rarer."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) * 3 // 4 % 3
    pixels = torch.randint(0, 150, (count, 3, *size), generator=generator)
    pixels[torch.arange(count), labels] += 100
    pixels[:, 2] //= 2  # channels of other means and deviations
    images = Images(pixels.to(torch.uint8), labels, **changes)
    return Dataset(name="noise", train=images, test=None, class_names=("r", "g", "b"), augmentation=augmentation, source="synthetic")


@contextmanager
def in_float64() -> Iterator[None]:
    """float64 as torch's default type: networks, architecture parameters and batches of the package take it by themselves."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
