"""Stage data: decodes the images once, and keeps them for the stages that need some."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from nasarch.data.dataset import Dataset
from nasarch.data.load import load

from .context import Context

SMALL = {"train": 128, "test": 64}  # images in a rehearsal
SMALL_SIZE = 16  # pixels


def run(context: Context) -> None:
    """Decode what --data means."""
    begin = time.perf_counter()
    data = reduced(load(context.data, size=SMALL_SIZE)) if context.small else load(context.data)
    decoded = time.perf_counter()
    figures = {"images": sum(map(len, data.parts)), "size": data.size, "decoding_s": decoded - begin, "mean": data.mean}
    context.note(data.name, figures | {"digest": data.digest, "digest_s": time.perf_counter() - decoded})
    torch.save(data, file_of(context))


def read(context: Context) -> Dataset:
    """What this stage has decoded.

    Raises:
        FileNotFoundError: it has not come to its end.
    """
    data = torch.load(file_of(context), weights_only=False)
    assert isinstance(data, Dataset)
    return data


def file_of(context: Context) -> Path:
    return context.scratch / "images.pt"


def reduced(data: Dataset) -> Dataset:
    """A few images of each part."""
    train = _some(len(data.train), SMALL["train"])
    names = None if data.names is None else tuple(data.names[i] for i in train.tolist())
    test = None if data.test is None else data.test.subset(_some(len(data.test), SMALL["test"]))
    return replace(data, train=data.train.subset(train), test=test, names=names)


def two_parts(data: Dataset, count: int) -> tuple[Tensor, Tensor]:
    """Indices of `count` training images for the weights and of as many for the architecture, of all classes."""
    chosen = _some(len(data.train), 2 * count)
    return chosen[:count], chosen[count:]


def _some(count: int, wanted: int) -> Tensor:
    """Drawn from all of them, since files come class by class."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:wanted]
