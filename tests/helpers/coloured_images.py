"""A data set of a few images that a small search learns in no time."""

from __future__ import annotations

import torch

from nasarch.data.dataset import Augmentation, Dataset, Images


def data(count: int = 48) -> Dataset:
    """Noise around a colour for each of three classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    pixels = torch.randint(0, 120, (count, 3, 16, 16), generator=generator)
    pixels[torch.arange(count), labels] += 100
    images = Images(pixels.to(torch.uint8), labels)
    return Dataset(name="colours", train=images, test=None, class_names=("r", "g", "b"), augmentation=Augmentation(), source="synthetic")
