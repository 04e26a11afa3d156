"""Calibration images and held-back images of a quantised network: the user's own, preprocessed by the model's configuration.

| given | calibrate | held back, to judge |
|---|---|---|
| a name, or a folder or tar file with a training and a test part | training images | test images |
| a folder or tar file of class folders | a random half | the other half |
| a folder of images | likewise | likewise, without labels |

At most 200 and 500 of them are used, drawn by a fixed seed; at least 20 and 20 are needed. Labels are known where the class folders
are those of the model: by its class names if it has them, else by the order of the folders if there are as many as logits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm.data
import torch
from PIL import Image
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.source.config import configuration, describe
from nasarch.models.labels import data_name

MAX_CALIBRATION, MAX_HELD_BACK, MIN_IMAGES = 200, 500, 20


class Calibration(NamedTuple):
    """Pixels uint8 [N, H, W, C]; `labels` int64 [N] of the held-back ones, if known; `source` names where they are from."""

    source: str
    calibrating: Tensor
    held_back: Tensor
    labels: Tensor | None


class _Part(NamedTuple):
    """Images that are opened one by one, and their labels by class folder."""

    open: Callable[[int], Image.Image]
    labels: Tensor


class _ImageSet(NamedTuple):
    """What lies at a place; `class_names` is empty for a folder without classes."""

    name: str
    parts: Sequence[_Part]
    class_names: tuple[str, ...]


def calibration(
    source: str | os.PathLike[str], model: nn.Module, shape: tuple[int, int, int], class_names: Sequence[str] | None
) -> Calibration:
    """The images at `place` for `model`, which takes images of `shape` [C, H, W] and has `class_names`, if they are known.

    Raises:
        ValueError: no such place or name, too few images, or one that can't be read as an image: names it.
    """
    dataset = _find(source)
    prepare = transform(model, shape)
    mode = {1: "L", 3: "RGB"}[shape[0]]
    calibrating, held_back = _drawn(dataset)

    def pixels(part: _Part, indices: Tensor) -> Tensor:
        images = [torch.as_tensor(prepare(part.open(i).convert(mode))) for i in indices.tolist()]
        return torch.stack(images).permute(0, 2, 3, 1).contiguous()

    order = _logits_of(dataset.class_names, class_names, getattr(model, "num_classes", None))
    last = dataset.parts[-1]
    return Calibration(
        dataset.name,
        pixels(dataset.parts[0], calibrating),
        pixels(last, held_back),
        None if order is None else order[last.labels[held_back]],
    )


def transform(model: nn.Module, shape: tuple[int, int, int]) -> Callable[[Image.Image], Any]:
    """From an image to uint8 [C, H, W]: timm's resizing and cropping by the model's configuration, without its scaling."""
    if shape[0] not in (1, 3):
        raise ExportError(f"{describe(model)} takes images of {shape[0]} channels, which image files don't have; leave --calibrate out")
    config = {key: value for key, value in configuration(model).items() if key in ("interpolation", "crop_pct", "crop_mode") and value}
    return timm.data.create_transform(input_size=shape, use_prefetcher=True, **config)


def _drawn(images: _ImageSet) -> tuple[Tensor, Tensor]:
    """Indices into the first and the last part: those that calibrate, and those that are held back."""
    generator = torch.Generator().manual_seed(0)
    first, last = (torch.randperm(len(part.labels), generator=generator) for part in (images.parts[0], images.parts[-1]))
    if len(images.parts) == 1:
        half = len(first) // 2
        first, last = first[:half], first[half:]
    if min(len(first), len(last)) < MIN_IMAGES:
        raise ValueError(
            f"{images.name} has {len(first)} images to calibrate with and {len(last)} to hold back; give {MIN_IMAGES} or more of each"
            f" ({2 * MIN_IMAGES} in all), 200 and 500 are better"
        )
    return first[:MAX_CALIBRATION], last[:MAX_HELD_BACK]


def _logits_of(folders: Sequence[str], class_names: Sequence[str] | None, num_classes: int | None) -> Tensor | None:
    """For each class folder the number of its logit, int64 [folders]; None if that isn't known."""
    if class_names is not None:
        number = {name: i for i, name in enumerate(class_names)}
        return torch.tensor([number[name] for name in folders]) if folders and set(folders) <= number.keys() else None
    return torch.arange(len(folders)) if folders and len(folders) == num_classes else None


# ---- where the images are


def _find(source: str | os.PathLike[str]) -> _ImageSet:
    from nasarch.data.folders import LAYOUTS, find_parts
    from nasarch.data.load import NAMES, load
    from nasarch.data.options import print_left_out

    if source in NAMES:
        try:
            data = load(source)
        except ValueError as error:  # speaks of flags that this command hasn't
            reason = str(error).split("; ")[0]
            fetch = f"`nasarch train darts_v2_cifar --data {source} --download` fetches it" if "cifar" in str(source) else "put it there"
            raise ValueError(f"{reason}; {fetch}, or give a folder") from error
        return _ImageSet(data.name, [_in_memory(part) for part in data.parts], data.class_names)
    path = Path(os.path.expanduser(source))
    if not path.exists():
        legal = f"give a folder of images or class folders, a tar file of them, or one of {', '.join(NAMES)}"
        raise ValueError(f"there is no {str(source)!r} to take images from; {legal}")
    flat = _flat(path)
    if flat is not None:
        return _ImageSet(data_name(path.resolve().name, ()), [flat], ())
    try:
        parts, class_names, dataset = find_parts(path)
    except ValueError as error:
        raise ValueError(f"{error}; or a folder of images alone".replace(LAYOUTS, f"images in {LAYOUTS}")) from error
    print_left_out(dataset)
    name = data_name(path.resolve().name, class_names, [len(part.names) for part in parts])
    return _ImageSet(name, [_of_files(part.entries, part.labels) for part in parts], class_names)


def _in_memory(part: Any) -> _Part:
    return _Part(lambda i: Image.fromarray(part.pixels[i].permute(1, 2, 0).numpy()), part.labels)


def _of_files(files: Sequence[Any], labels: Tensor) -> _Part:
    from nasarch.data.decoding import open_image

    return _Part(lambda i: open_image(files[i]), labels)


def _flat(folder: Path) -> _Part | None:
    """The images that lie in `folder` itself, sorted by name; None if there are none."""
    from nasarch.data.folders import SUFFIXES
    from nasarch.data.image_files import File

    if not folder.is_dir():
        return None
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file() and entry.name.lower().endswith(SUFFIXES))
    except OSError as error:
        raise ValueError(f"can't read {folder}: {error.strerror or error}; check its permissions") from error
    names = [name for name in names if not name.startswith(".")]
    return _of_files([File(str(folder), name) for name in names], torch.zeros(len(names), dtype=torch.int64)) if names else None
