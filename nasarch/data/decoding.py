"""Image files become pixels: one by one, and many of them on all cores into one uint8 tensor.

What is not RGB is converted as torchvision's loader does it (alpha is dropped). The EXIF orientation is not applied, as in torchvision's
and timm's readers, but read: a data set counts such images. What can't be decoded is a ValueError that names it.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from .augment import random_box, resized
from .image_files import File

EXIF_ORIENTATION = 0x112  # the tag
MEMORY_BUDGET = 8 * 2**30  # bytes of uint8 pixels
DIFFERENT = "{} has {}x{} pixels, the first image {}x{}; give one size for all, for example 32 (--size 32)"

_CHUNK = 256  # images that a worker decodes at a time


def fits_memory(count: int, shape: tuple[int, int]) -> bool:
    """Whether so many images of `shape` (H, W) are held in memory."""
    return count * 3 * shape[0] * shape[1] <= MEMORY_BUDGET


def check_memory(count: int, shape: tuple[int, int]) -> None:
    """Refuse more images of `shape` than memory should hold."""
    if not fits_memory(count, shape):
        needed = count * 3 * shape[0] * shape[1]
        raise ValueError(
            f"{count} images of {shape[0]}x{shape[1]} take {needed / 2**30:.1f} GiB, more than the {MEMORY_BUDGET / 2**30:.0f} GiB "
            "that are held in memory; choose a smaller size (--size), or leave image files on disk (in_memory=None)"
        )


# ---- one image


@contextmanager
def _reading(file: File) -> Iterator[Image.Image]:
    """The image, not decoded yet, without Pillow's warnings about odd but readable files.

    Raises:
        ValueError: it is missing or broken, whatever way Pillow finds that out.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield Image.open(io.BytesIO(file.read()))
    except FileNotFoundError as error:
        raise ValueError(f"{file} is missing; put it back or check its name") from error
    except Exception as error:
        raise ValueError(f"{file} can't be read as an image ({_reason(error)}); replace it by an 8-bit image or remove it") from error


def _reason(error: Exception) -> str:
    """What Pillow or the system says, without the names of objects in memory and of the file."""
    if isinstance(error, UnidentifiedImageError):
        return "no format that Pillow knows"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        raise ValueError("more than 8 bits a channel")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def open_image(file: File) -> Image.Image:
    """The image in RGB.

    Raises:
        ValueError: it is broken, or would lose more than its alpha.
    """
    with _reading(file) as image:
        return _rgb(image)


def shape_of(file: File) -> tuple[int, int]:
    """Height and width, from the head of the file."""
    return head_of(file)[:2]


class Head(NamedTuple):
    """Height and width of the stored pixels, and the EXIF orientation, 1 to 8: 1 is upright or not stated."""

    height: int
    width: int
    orientation: int


def head_of(file: File) -> Head:
    """What the head of the file says; nothing is decoded."""
    with _reading(file) as image:
        return Head(image.height, image.width, _orientation(image))


def _orientation(image: Image.Image) -> int:
    orientation: Any = 1
    if image.format != "PNG" or "exif" in image.info:  # else Pillow would decode it to look behind its pixels
        with suppress(Exception):  # damaged EXIF data, of whatever kind
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    return orientation if type(orientation) is int and 1 <= orientation <= 8 else 1


def fit(image: Image.Image, shape: tuple[int, int]) -> Image.Image:
    """Evaluation transform of timm's crop mode "center": resized bilinearly until it covers `shape` (H, W), then cropped at the centre.

    The sizes are rounded as torchvision's Resize and CenterCrop, or timm's ResizeKeepRatio where `shape` is no square, round them.
    """
    down, across = shape
    if image.size == (across, down):
        return image
    if down == across:
        width, height = (down * side // min(image.size) for side in image.size)
    else:
        ratio = min(image.width / across, image.height / down)
        width, height = round(image.width / ratio), round(image.height / ratio)
    left, top = round((width - across) / 2), round((height - down) / 2)
    return image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + across, top + down))


def tensor(image: Image.Image) -> Tensor:
    """uint8 [3, H, W], a view of [H, W, 3]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def random_crop(file: File, seed: int, scale: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """The random resized crop of a file that `seed` chooses: uint8 [3, H, W].

    Where the crop has at least twice the pixels a side that are wanted, a JPEG image is decoded at a half, a quarter or an eighth, the
    box rounded to pixels of that: for crops of 224 from photographs of 1024x768 and 4000x3000 pixels that takes a half and an eighth
    of the time (one core); at ImageNet's usual 500x375 it makes no difference.
    """
    with _reading(file) as image:
        height, width = image.height, image.width
        top, left, rows, columns = random_box(seed, height, width, scale)
        image.draft(None, (width * size[1] // columns, height * size[0] // rows))
        rgb = _rgb(image)
        down, across = rgb.height / height, rgb.width / width  # 1, or a half, ...
        box = round(top * down), round(left * across), max(1, round(rows * down)), max(1, round(columns * across))
        return resized(tensor(rgb), box, size)


# ---- many images


def _pixels(files: Sequence[File], shape: tuple[int, int], resize: bool) -> tuple[np.ndarray, list[int]]:
    """The images decoded: uint8 [len(files), 3, H, W]; and their EXIF orientations."""
    pixels, orientations = np.empty((len(files), 3, *shape), np.uint8), []
    for row, file in zip(pixels, files, strict=True):
        with _reading(file) as stored:
            orientations.append(_orientation(stored))  # before decoding, which closes a TIFF file
            image = _rgb(stored)
        if resize:
            image = fit(image, shape)
        elif image.size != shape[::-1]:
            raise ValueError(DIFFERENT.format(file, image.height, image.width, *shape))
        row[:] = np.asarray(image).transpose(2, 0, 1)
    return pixels, orientations


def decode(files: Sequence[File], shape: tuple[int, int], resize: bool) -> tuple[Tensor, list[int]]:
    """The images decoded on all cores: uint8 [N, 3, H, W]; and the EXIF orientation of each, 1 to 8.

    Raises:
        ValueError: a broken image, one of another shape where they are not resized, or a process that was killed.
    """
    pixels, orientations = torch.empty(len(files), 3, *shape, dtype=torch.uint8), list[int]()
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    work = partial(_pixels, shape=shape, resize=resize)
    try:
        with warnings.catch_warnings(), _executor(len(chunks)) as pool:
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside torch's threads: the workers use none
            for part, (decoded, notices) in zip(pixels.split(_CHUNK), pool.map(work, chunks), strict=True):
                part.copy_(torch.from_numpy(decoded))
                orientations += notices
    except BrokenProcessPool as error:
        raise ValueError(f"a process that decoded {files[0]} and others was killed; see that memory is free, and run again") from error
    return pixels, orientations


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _executor(tasks: int) -> Executor:
    """Processes where they can be forked: for small images Pillow needs the interpreter's lock most of the time."""
    workers = min(tasks, cores())
    if sys.platform != "linux" or workers < 2:
        return ThreadPoolExecutor(workers)
    return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"))
