"""Images that stay on disk: where their bytes are, what they are called, what they show and what size they are brought to.

Knows no pixels: `decoding` reads them, `disk` does so in worker processes while a search computes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class File(NamedTuple):
    """Where the bytes of one file are: in the folder `path` the file `member`, or `size` bytes from `offset` of the tar file `path`."""

    path: str
    member: str
    offset: int = -1  # of a file in a folder
    size: int = -1

    def __str__(self) -> str:
        return os.path.join(self.path, self.member) if self.offset < 0 else f"{self.path}: {self.member}"

    def read(self) -> bytes:
        with open(str(self) if self.offset < 0 else self.path, "rb") as file:
            file.seek(max(self.offset, 0))
            return file.read(self.size)

    @property
    def length(self) -> int:
        """Number of bytes."""
        return os.path.getsize(str(self)) if self.offset < 0 else self.size


@dataclass(frozen=True, eq=False)
class Files:
    """Labelled images on disk: where they are, `labels` int64 [N], and their `names` relative to the folder of their part.

    Each is brought to `frame` (height, width; `size` if None) and shows the centre of that in `size`; a random resized crop is taken
    of the whole image instead.

    Raises:
        ValueError: different numbers of entries, labels and names, or a frame smaller than what it shows.
    """

    entries: tuple[File, ...]
    labels: Tensor
    names: tuple[str, ...]
    size: tuple[int, int]
    frame: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        count = len(self.entries)
        if self.labels.dtype != torch.int64 or self.labels.shape != (count,) or len(self.names) != count:
            raise ValueError(
                f"labels are {self.labels.dtype} {list(self.labels.shape)} and names {len(self.names)} for {count} files; "
                f"pass torch.int64 [{count}] and {count} names"
            )
        if min(self.size) < 1 or self.frame is not None and (self.frame[0] < self.size[0] or self.frame[1] < self.size[1]):
            raise ValueError(f"size {self.size} of frame {self.frame}: pass a frame of that size or larger, and at least one pixel")

    def __len__(self) -> int:
        return len(self.entries)

    def subset(self, indices: Tensor) -> Files:
        """The images at `indices` (int64 [M]), in that order."""
        rows = indices.tolist()
        entries, names = tuple(self.entries[i] for i in rows), tuple(self.names[i] for i in rows)
        return Files(entries, self.labels[indices.cpu()], names, self.size, self.frame)

    def lines(self) -> Iterable[bytes]:
        """What identifies the images: name, number of bytes and label of each, sorted by name.

        Raises:
            ValueError: one of them is not there any more.
        """
        for name, file, label in sorted(zip(self.names, self.entries, self.labels.tolist(), strict=True)):
            try:
                yield f"{name}\0{file.length}\0{label}\n".encode(errors="surrogateescape")
            except OSError as error:
                raise ValueError(f"can't read {file}: {error.strerror or error}; put it back, or load the data again") from error


class Listing(NamedTuple):
    """Names and labels of the training images of a data set, in order, known without decoding one of them."""

    data: str  # name of the data set
    names: tuple[str, ...]
    labels: Tensor
    source: str = ""  # what was found and left out, in words

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of labels and names, in order: the same whether the images are in memory, in a folder or in a tar file."""
        sha = hashlib.sha256()
        for name, label in zip(self.names, self.labels.tolist(), strict=True):
            sha.update(f"{label} {name}\n".encode(errors="surrogateescape"))
        return sha.hexdigest()


def numbered(count: int) -> tuple[str, ...]:
    """Names for training images that have none: "train/000123"."""
    return tuple(f"train/{number:06}" for number in range(count))
