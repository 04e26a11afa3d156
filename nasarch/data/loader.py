"""Batches of a part of a data set: shuffled, augmented and normalised on the device, wherever the images are.

| images | pixels | random resized crops |
|---|---|---|
| in memory (`Images`) | lie on the device as uint8; no worker processes | there, one by one |
| on disk (`Files`) | decoded by worker processes ahead of time (`disk`), sent as uint8 | by the workers, from the whole image |

Both follow the same `order`: the same seed gives the same images with the same crops and flips. Any loader with `__iter__` (the rest of
the epoch), `__len__`, `state_dict` and `load_state_dict` can take the place of `BatchLoader` in a search.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .augment import augmented, centre, normalise, random_box, resized
from .dataset import Augmentation, Dataset, Images, Part
from .disk import DiskSource, default_workers
from .image_files import Files
from .sampler import Draws, EpochSampler

Batch = tuple[Tensor, Tensor]  # x_BCHW float32, normalised; y_B int64


def _statistics(data: Dataset, device: str | torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the channels, [3, 1, 1] each."""
    mean, std = torch.tensor([data.mean, data.std], device=device)[..., None, None]
    return mean, std


def in_order(
    part: Images | Files, data: Dataset, *, batch_size: int, device: str | torch.device = "cpu", workers: int | None = None
) -> Iterator[Batch]:
    """All images once, in their order, normalised and not augmented: for evaluation. The last batch may be smaller.

    Args:
        workers: processes that decode files, as for `BatchLoader`.
    """
    mean, std = _statistics(data, device)
    if isinstance(part, Files):
        shown: Iterable[Tensor] = DiskSource(part, device, None, workers).centres(batch_size)
    else:
        shown = (centre(pixels, part.size) for pixels in part.pixels.split(batch_size))
    for pixels, labels in zip(shown, part.labels.split(batch_size), strict=True):
        yield normalise(pixels.to(device), mean, std), labels.to(device)


class MemorySource:
    """The pixels of `images`, on `device`, in the order that is asked for; `scale` of random resized crops, None for the centres."""

    def __init__(self, images: Images, device: str | torch.device, scale: tuple[float, float] | None) -> None:
        self.images, self.device, self.scale = images.to(device), torch.device(device), scale

    def epoch(self, order: EpochSampler) -> Iterator[tuple[Draws, Tensor]]:
        """The rest of an epoch: the random numbers of a batch, and its pixels."""
        for draws in order:
            there = draws.to(self.device)
            yield there, self._cropped(draws) if self.scale else self._centres(there.image)

    def stop(self) -> None:
        """Nothing runs."""

    def _centres(self, image_B: Tensor) -> Tensor:
        return centre(self.images.pixels.index_select(0, image_B), self.images.size)

    def _cropped(self, draws: Draws) -> Tensor:
        assert self.scale is not None
        pixels, size = self.images.pixels, self.images.size
        height, width = pixels.shape[2:]
        boxes = [random_box(seed, height, width, self.scale) for seed in draws.seeds()]
        return torch.stack([resized(pixels[i], box, size) for i, box in zip(draws.image.tolist(), boxes, strict=True)])


class BatchLoader:
    """An endless source of shuffled, augmented, normalised batches; iterating over it gives (the rest of) one epoch.

    Every epoch shows each image once, in a new order; its last batch is smaller where the batch size does not divide the number
    of images (25,000 in batches of 256 are 98, as with the published code's loader). Images in memory are put on `device` and stay
    there; files are read anew in every epoch, by processes that stop when an epoch is left in the middle, and with this object.

    An epoch that was left in the middle is continued by the next iteration, and so is one whose state was loaded: the batches that
    follow are the same, bit for bit, as those of a run that never stopped, whatever the number of workers.

    Args:
        part: the images or files to draw from, for instance one half of `data.train`.
        data: the data set whose mean and standard deviation normalise, and whose augmentation is used if none is given.
        batch_size: images of a batch, over all ranks.
        seed: of the order and the augmentation; give different parts different seeds. The order does not depend on the augmentation.
        workers: processes that decode files; 0 decodes in this one; None takes one for each core, 8 at most. Images need none.
        rank: which of `ranks` processes this is: of each batch it gets the images rank, rank + ranks, ...
        ranks: processes that search together; a last smaller batch is cut to a multiple of it, or left out.

    Raises:
        ValueError: a batch size below the number of ranks or above the number of images, or no such rank. In an epoch: a file that
            can't be decoded, or a process that died.
    """

    def __init__(
        self,
        part: Images | Files,
        data: Dataset,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
        device: str | torch.device = "cpu",
        workers: int | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"rank {rank} of {ranks}: ranks are numbered from 0 to one less than there are")
        if not ranks <= batch_size <= len(part):
            shared = f" and {ranks} processes, each of which needs one" if ranks > 1 else ""
            raise ValueError(
                f"batch size {batch_size}: data {data.name!r} has {len(part)} images here{shared}; choose {ranks} to {len(part)}, "
                "or more images"
            )
        self.batch_size = batch_size
        self.augmentation = data.augmentation if augmentation is None else augmentation
        scale = self.augmentation.crop_scale
        self._order = EpochSampler(len(part), part.size, self.augmentation, batch_size=batch_size, seed=seed, rank=rank, ranks=ranks)
        self._source = DiskSource(part, device, scale, workers) if isinstance(part, Files) else MemorySource(part, device, scale)
        self._part, self._data, self._device = part, data, device
        self._labels = part.labels.to(device)
        self._mean, self._std = _statistics(data, device)

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        for draws, pixels in self._source.epoch(self._order):
            yield augmented(pixels, draws, self.augmentation, self._mean, self._std), self._labels.index_select(0, draws.image)

    def sample(self) -> Batch:
        """As many images as a batch, drawn once for all, not augmented; the order is left alone."""
        return self.samples(self.batch_size)[0]

    def samples(self, images: int) -> list[Batch]:
        """So many images (all, if there are fewer) in batches, drawn once for all, not augmented; the first batch is `sample`'s."""
        some = torch.randperm(len(self._part), generator=torch.Generator().manual_seed(0))[:images]
        return [*in_order(self._part.subset(some), self._data, batch_size=self.batch_size, device=self._device, workers=0)]

    def state_dict(self) -> dict[str, Any]:
        """The place in the data, to go on from with `load_state_dict`; after the last batch of an epoch it is the next one's start."""
        return self._order.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the place that `state_dict` returned, with the same data and batch size.

        Raises:
            ValueError: it is the state of other data or of another batch size, or damaged.
        """
        self._order.load_state_dict(state)
        self._source.stop()


def endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """One batch after the other without an end, reshuffled whenever an epoch is over: the validation side of a bi-level search.

    Note: the published code makes a new shuffled loader for every validation batch, so that images are drawn with replacement
    (and worker processes start at every step); here all images of the part are seen equally often.
    """
    while True:
        yield from batches


def train_and_val_loaders(
    parts: tuple[Part, Part],
    data: Dataset,
    *,
    batch_size: int,
    seed: int,
    device: str | torch.device,
    workers: int | None = None,
    rank: int = 0,
    ranks: int = 1,
) -> tuple[BatchLoader, BatchLoader]:
    """Batches of the part that trains the weights and of the part that trains the architecture, with orders of their own.

    Args:
        workers: processes that decode files, shared by the two sides; as for `BatchLoader`.
    """
    total = default_workers() if workers is None else workers
    train, valid = (
        BatchLoader(part, data, batch_size=batch_size, seed=2 * seed + i, device=device, workers=(total + 1) // 2, rank=rank, ranks=ranks)
        for i, part in enumerate(parts)
    )
    return train, valid
