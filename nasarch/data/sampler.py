"""The order of an epoch and its random numbers: everything that is left to chance in a batch, drawn before a pixel is touched.

An epoch's numbers are drawn at its start, on the CPU, so that a CPU and a GPU see the same crops, worker processes have nothing to
decide, and a state is only the generator at that start and a place in the epoch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .dataset import Augmentation

BITS = 24  # of each half of the seed of a box; torch draws larger numbers in another way, which would change the order


class Draws(NamedTuple):
    """The random numbers of B images, each an int64 [B]."""

    image: Tensor  # which image
    top: Tensor  # first row and column of the crop, in the padded image; for random resized crops the halves of a seed
    left: Tensor
    flip: Tensor  # 0 or 1
    row: Tensor  # centre of the cutout
    column: Tensor

    def slice(self, start: int, stop: int, step: int = 1) -> Draws:
        return Draws(*(numbers[start:stop:step] for numbers in self))

    def to(self, device: torch.device | str) -> Draws:
        """The same numbers on `device`, in one copy."""
        return self if torch.device(device).type == "cpu" else Draws(*torch.stack(self).to(device, non_blocking=True))

    def seeds(self) -> list[int]:
        """The seed of each image's box."""
        return (self.top << BITS | self.left).tolist()


class EpochSampler:
    """Endlessly many epochs of `count` images, every one in a new order; iterating over it gives (the rest of) one, batch by batch.

    With several `ranks` (processes) all draw the same epochs, and of each batch of `batch_size` images rank r gets the images r, r +
    ranks, r + 2 * ranks, ... A last batch that is smaller is cut to a multiple of `ranks`, or left out, so that all ranks make
    equally many steps with equally many images. The state is the same for all ranks.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        augmentation: Augmentation,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.count, self.size, self.augmentation, self.batch_size = count, size, augmentation, batch_size
        self.rank, self.ranks = rank, ranks
        self.generator = torch.Generator().manual_seed(seed)
        self.start = self.generator.get_state()  # of the present epoch
        self.position = 0  # the batch of it that comes next

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(self.count, self.batch_size)
        return full + (rest >= self.ranks)

    def __iter__(self) -> Iterator[Draws]:
        self.generator.set_state(self.start)
        epoch = self.draw()
        for number in range(self.position, len(self)):
            self.position = number + 1
            if self.position == len(self):
                self.start, self.position = self.generator.get_state(), 0
            yield self._share(epoch, number * self.batch_size)

    def ahead(self) -> EpochSampler:
        """Another one at the same place, to look ahead with."""
        other = copy.copy(self)
        other.generator = torch.Generator()
        return other

    def draw(self) -> Draws:
        """The random numbers of an epoch, all of them whatever the augmentation uses."""
        integers = partial(torch.randint, size=(self.count,), generator=self.generator)
        order = torch.randperm(self.count, generator=self.generator)
        positions = 2 * self.augmentation.padding + 1 if self.augmentation.crop_scale is None else 2**BITS
        return Draws(order, integers(positions), integers(positions), integers(2), *map(integers, self.size))

    def _share(self, epoch: Draws, start: int) -> Draws:
        """What this rank gets of the batch that begins at `start`."""
        stop = min(start + self.batch_size, self.count)
        if stop - start < self.batch_size:
            stop -= (stop - start) % self.ranks
        return epoch.slice(start + self.rank, stop, self.ranks)

    def state_dict(self) -> dict[str, Any]:
        """The place in the data, to go on from with `load_state_dict`; after the last batch of an epoch it is the next one's start."""
        return {"generator": self.start, "position": self.position, **self._shape()}

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
        self.start, self.position = state["generator"].cpu(), state["position"]

    def _shape(self) -> dict[str, int]:
        return {"images": self.count, "batch_size": self.batch_size}
