"""Options of a command that reads a data set: which images, at which size, and how they are decoded. Needs no PyTorch before `load`."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nasarch.console import printable
from nasarch.ranges import Workers, check_ranges

if TYPE_CHECKING:
    from .dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Options of the data set.

    Args:
        data: Data set: digits, cifar10, cifar100, imagenet16-120, or a folder or tar file of class folders; auto, for rankings alone, is
            the data set of the searches that are ranked, or digits.
        size: Side in pixels of the squares that all images are resized to (default: that of the images; in rankings of the searches).
        root: Folder of the files of CIFAR or ImageNet16-120 (default: nasarch in $XDG_CACHE_HOME or ~/.cache).
        download: Download CIFAR's files if they are missing.
        in_memory: Decoded images in memory (True), or decoded from disk in every epoch (False) (default: in memory if they fit).
        workers: Number of image-decoding worker processes (default: one per CPU core).

    Raises:
        ValueError: a value out of its range.
    """

    data: str = "digits"
    size: int | None = None
    root: Path | None = None
    download: bool = False
    in_memory: bool | None = None
    workers: Workers | None = None

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)

    def load(self) -> Dataset:
        """The data set; prints what of it is left out or not applied. Errors as in `nasarch.data.load.load`."""
        from .load import load

        data = load(self.data, size=self.size, root=self.root, download=self.download, in_memory=self.in_memory)
        print_left_out(data.source)
        return data


def print_left_out(source: str) -> None:
    """Print on stderr what of a data set is left out, not applied of its EXIF data, or doubtful, in the first process of several."""
    if re.search("left out|not applied|taken as classes", source) and os.environ.get("RANK", "0") == "0":
        print(f"nasarch: note: data: {printable(source)}", file=sys.stderr)
