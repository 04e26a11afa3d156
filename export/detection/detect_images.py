"""Images without their annotations, one by one: those of a data set's val part, or those that lie in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nasarch.data.decoding import open_image
from nasarch.data.image_files import File

from .coco import find_annotations, load_scenes


@dataclass(frozen=True, kw_only=True)
class Images:
    """Iterating decodes them anew: uint8 [1, H, W, 3], or ValueError where one is no image."""

    name: str
    files: Sequence[File]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Tensor]:
        return (torch.from_numpy(np.array(open_image(file)))[None] for file in self.files)


def find_images(place: Path) -> Images:
    """The images of the val part of `place`, a folder or a .json file in COCO's format; of any other folder those in it, sorted by name.

    Raises:
        ValueError: there is no such place, no image in it, or its annotations can't be used.
    """
    if place.is_file() or (place.is_dir() and find_annotations(place, "val") is not None):
        part = load_scenes(place, "val")
        return Images(name=part.name, files=[scene.file for scene in part.scenes])
    names = _names(place)
    if not names:
        raise ValueError(f"{place} has no images in it; give a folder of images, or a data set with val.json")
    return Images(name=place.resolve().name, files=[File(str(place), name) for name in names])


def _names(folder: Path) -> list[str]:
    """Of the image files that lie in a folder."""
    from nasarch.data.folders import SUFFIXES

    try:
        found = sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and entry.name.lower().endswith(SUFFIXES))
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"can't read {folder}: {reason}; give a folder of images, or a data set with val.json") from error
    return [name for name in found if not name.startswith(".")]
