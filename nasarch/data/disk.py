"""Pixels of files, decoded by worker processes while the search computes.

A task is a whole batch: its files, and the seeds of its crops. It holds all that is left to chance, so results depend neither on the
number of workers nor on which of them is faster, and workers keep nothing: no list of a million files is copied to them.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from .augment import centre
from .decoding import cores, fit, open_image, random_crop, tensor
from .image_files import File, Files
from .sampler import Draws, EpochSampler
from .workers import forking, ignore_interrupts

MAX_WORKERS = 8  # by default


class Task(NamedTuple):
    """The images of one batch; seeds are those of their boxes, None for their centres."""

    entries: tuple[File, ...]
    seeds: list[int] | None


@dataclass(frozen=True)
class Decoder:
    """From a task its pixels, uint8 [B, 3, H, W], or in words why there are none: torch would wrap an exception in tracebacks."""

    size: tuple[int, int]
    frame: tuple[int, int]
    scale: tuple[float, float] | None

    def __getitem__(self, task: Task) -> Tensor | str:
        pixels = torch.empty(len(task.entries), 3, *self.size, dtype=torch.uint8)
        try:
            for number, (row, file) in enumerate(zip(pixels, task.entries, strict=True)):
                row.copy_(self._one(file, None if task.seeds is None else task.seeds[number]))
        except ValueError as error:
            return str(error)
        return pixels

    def _one(self, file: File, seed: int | None) -> Tensor:
        if seed is None or self.scale is None:
            return centre(tensor(fit(open_image(file), self.frame)), self.size)
        return random_crop(file, seed, self.scale, self.size)


class DiskSource:
    """The pixels of `files`, on `device`, in the order that is asked for: what `batches.MemorySource` is for images in memory.

    The workers look ahead from one epoch into the next. They stop when an epoch is left in the middle, at an error, and with this
    object.

    Args:
        scale: of random resized crops; None for the centres.
        workers: processes; 0 decodes in this one; None takes one for each core, `MAX_WORKERS` at most.

    Raises:
        ValueError: a negative number of workers.
    """

    def __init__(self, files: Files, device: str | torch.device, scale: tuple[float, float] | None, workers: int | None) -> None:
        self.files, self.device, self.scale = files, torch.device(device), scale
        self.workers = default_workers() if workers is None else workers
        if self.workers < 0:
            raise ValueError(f"workers={workers}: choose 0 (decode in this process) or more")
        self._stream: Iterator[Tensor | str] | None = None

    def epoch(self, order: EpochSampler) -> Iterator[tuple[Draws, Tensor]]:
        """The rest of an epoch: the random numbers of a batch, and its pixels.

        Raises:
            ValueError: an image can't be decoded, or a worker died.
        """
        if self._stream is None:
            self._stream = self._decoded(_tasks(self.files, order.ahead(), self.scale is not None))
        stream = self._stream
        try:
            for draws in order:
                yield draws.to(self.device), self._next(stream, draws)
        finally:
            if order.position:
                self.stop()

    def centres(self, batch_size: int) -> Iterator[Tensor]:
        """All images once, in their order."""
        entries = self.files.entries
        starts = range(0, len(entries), batch_size)
        stream = self._decoded(Task(entries[start : start + batch_size], None) for start in starts)
        for start in starts:
            yield self._checked(stream, entries[start])

    def stop(self) -> None:
        """End the workers; the next epoch starts new ones."""
        self._stream = None

    def _next(self, stream: Iterator[Tensor | str], draws: Draws) -> Tensor:
        try:
            return self._checked(stream, self.files.entries[int(draws.image[0])])
        except ValueError:
            self.stop()
            raise

    def _checked(self, stream: Iterator[Tensor | str], first: File) -> Tensor:
        """The next batch, which begins with `first`."""
        try:
            pixels = next(stream)
        except (RuntimeError, OSError, EOFError) as error:  # torch's, or of the connection to it
            raise ValueError(
                f"a process that decoded {first} and others died ({' '.join(str(error).split())}); see that memory and shared memory "
                "(/dev/shm) are free, or take fewer workers, then resume"
            ) from error
        if isinstance(pixels, str):
            raise ValueError(f"{pixels}, then resume")
        return pixels.to(self.device, non_blocking=True)

    def _decoded(self, tasks: Iterable[Task]) -> Iterator[Tensor | str]:
        """The batches of `tasks`, the workers started."""
        from torchvision.transforms.v2 import functional  # noqa: F401  # so that no worker has to import it

        loader: DataLoader[Any] = DataLoader(
            Decoder(self.files.size, self.files.frame or self.files.size, self.scale),  # type: ignore[arg-type]  # no Dataset, but its protocol
            batch_size=None,
            sampler=tasks,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            multiprocessing_context=multiprocessing.get_context("fork") if self.workers and sys.platform == "linux" else None,
            worker_init_fn=ignore_interrupts,
            generator=torch.Generator(),  # or it would draw from the global one
        )
        with forking():
            return iter(loader)


def default_workers() -> int:
    """A process for each core that may be used, not too many."""
    return min(cores(), MAX_WORKERS)


def _tasks(files: Files, order: EpochSampler, cropped: bool) -> Iterator[Task]:
    """The tasks of this and all later epochs. No method, so that it keeps nothing alive."""
    while True:
        for draws in order:
            yield Task(tuple(files.entries[i] for i in draws.image.tolist()), draws.seeds() if cropped else None)
