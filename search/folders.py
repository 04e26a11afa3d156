"""Images in class folders, on disk or inside tar files: found, checked, and decoded in parallel into one uint8 tensor.

| given | training part | test part |
|---|---|---|
| a folder with train/ or train.tar | its class folders | those of val, valid or test, folder or .tar, the first that exists |
| any other folder, a .tar of class folders | its class folders | none |
| a .tar with train/ inside | its class folders | those of val/, valid/ or test/ inside |

A class is a folder, named by it; images may lie deeper in it. Classes and the images in each are sorted by name, so order, digest
and splits are the same on every machine. Hidden files and the litter of desktops are passed over; files whose suffix is not one of
an image are left out and counted in the source text. Tar files are never unpacked: their images are read in place, and links or
members that point outside are passed over. What is not RGB is converted as torchvision's loader does it (alpha is dropped).
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import tarfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .data import Images

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TEST_PARTS = ("val", "valid", "test")
MEMORY_BUDGET = 8 * 2**30  # bytes of uint8 pixels
LAYOUTS = "train/<class>/<image>, <class>/<image>, train.tar (with val.tar or test.tar), or one .tar of class folders"

_CHUNK = 256  # images that a worker decodes at a time


class File(NamedTuple):
    """Where the bytes of one file are: all of `path`, or `size` bytes of it from `offset` (a member of a tar file)."""

    path: str
    member: str = ""
    offset: int = 0
    size: int = -1

    def __str__(self) -> str:
        return f"{self.path}: {self.member}" if self.member else self.path

    def read(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Tree(NamedTuple):
    """What lies below a root, by path relative to it ("airplane/0001.jpg"); a folder itself has the value None."""

    root: Path
    entries: dict[str, File | None]

    def below(self, name: str) -> Tree | None:
        """What lies below the folder `name` of the root; None if there is no such folder."""
        prefix = f"{name}/"
        inside = {path.removeprefix(prefix): file for path, file in self.entries.items() if path.startswith(prefix)}
        return Tree(self.root / name, inside) if inside else None


def read_folders(path: Path, size: int | None = None) -> tuple[Images, Images | None, tuple[str, ...], str]:
    """The images below `path`: training part, test part or None, class names, and in words what was found.

    Args:
        size: side of the square that every image is brought to (shorter side resized, centre cut out); None keeps the images as
            they are, which they must then share.

    Raises:
        ValueError: no or broken images, fewer than two classes, an empty class folder, different classes in the two parts,
            images of different sizes and no `size`, more pixels than `MEMORY_BUDGET`, an unreadable file or folder.
    """
    try:
        trees = _trees(path)
    except OSError as error:
        raise ValueError(f"can't read {error.filename or path}: {error.strerror or error}; check the path and its permissions") from error
    parts = [_classes(tree) for tree in trees]
    _check_classes(trees, parts)
    files = [[file for members in part.values() for file in members] for part in parts]
    shape = (size, size) if size else _shape(files[0][0])
    check_memory(sum(map(len, files)), shape)
    images = [Images(_decode(some, shape, resize=size is not None), _labels(part)) for some, part in zip(files, parts, strict=True)]
    source = ", ".join(_describe(path, tree, part) for tree, part in zip(trees, parts, strict=True))
    return images[0], images[1] if images[1:] else None, tuple(parts[0]), source


def check_memory(count: int, shape: tuple[int, int]) -> None:
    """Refuse more images of `shape` than memory should hold."""
    needed = count * 3 * shape[0] * shape[1]
    if needed > MEMORY_BUDGET:
        raise ValueError(
            f"{count} images of {shape[0]}x{shape[1]} take {needed / 2**30:.1f} GiB, more than the {MEMORY_BUDGET / 2**30:.0f} GiB "
            "that are held in memory; choose a smaller size (--size) or fewer images"
        )


# ---- finding


def _trees(path: Path) -> list[Tree]:
    """The training part and, if there is one, the test part."""
    whole = None if path.is_dir() else _tar_tree(path)
    find = whole.below if whole else partial(_part, path)
    train = find("train")
    if train is None:
        return [whole or _folder_tree(path)]
    test = next(filter(None, map(find, TEST_PARTS)), None)
    return [train, test] if test else [train]


def _part(path: Path, name: str) -> Tree | None:
    if (path / name).is_dir():
        return _folder_tree(path / name)
    return _tar_tree(path / f"{name}.tar") if (path / f"{name}.tar").is_file() else None


def _folder_tree(root: Path) -> Tree:
    entries = ((path.relative_to(root).as_posix(), None if path.is_dir() else File(str(path))) for path in _walk(root, set()))
    return Tree(root, dict(entries))


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Files and folders below `folder`, without litter; links are followed, but no folder is entered twice."""
    if (real := folder.resolve()) in seen:
        return
    seen.add(real)
    for path in folder.iterdir():
        if _is_litter(path.name):
            continue
        if path.is_dir():
            yield path
            yield from _walk(path, seen)
        elif path.is_file():
            yield path


def _tar_tree(path: Path) -> Tree:
    try:
        with tarfile.open(path, "r:") as tar:
            members = tar.getmembers()
    except tarfile.TarError as error:
        raise ValueError(f"{path} is neither a folder nor an undamaged, uncompressed tar file ({error}); expected {LAYOUTS}") from error
    entries: dict[str, File | None] = {}
    for member in members:
        parts = [part for part in PurePosixPath(member.name).parts if part != "/"]
        if parts and (member.isreg() or member.isdir()) and not any(_is_litter(part) for part in parts):
            file = File(str(path), member.name, member.offset_data, member.size) if member.isreg() else None
            entries["/".join(parts)] = file
    return _unwrapped(Tree(path, entries))


def _unwrapped(tree: Tree) -> Tree:
    """The tree without the folder around everything that packing a folder leaves ("cifar/train/cat/1.png")."""
    tops = {path.split("/")[0] for path in tree.entries}
    deep = all(path.count("/") >= 2 for path in tree.entries if _is_image(path))
    below = tree.below(tops.pop()) if len(tops) == 1 and deep else None
    return tree if below is None else _unwrapped(Tree(tree.root, below.entries))


def _is_litter(name: str) -> bool:
    """Hidden, left by a desktop, or ".." in a tar file."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


# ---- classes


def _classes(tree: Tree) -> dict[str, list[File]]:
    """The images of each class, classes and images sorted by name."""
    folders = {path.split("/")[0] for path, file in tree.entries.items() if file is None or "/" in path}
    classes: dict[str, list[File]] = {name: [] for name in sorted(folders)}
    for path, file in sorted(tree.entries.items()):
        if file is not None and "/" in path and _is_image(path):
            classes[path.split("/")[0]].append(file)
    if not any(classes.values()):
        raise ValueError(f"{tree.root} has no images in class folders; expected {LAYOUTS}, images being {' '.join(SUFFIXES)}")
    if empty := [name for name, files in classes.items() if not files]:
        raise ValueError(f"{tree.root}: no images in class folder(s) {', '.join(empty[:5])}; fill or remove them")
    if len(classes) == 1:
        raise ValueError(
            f"{tree.root} has only one class folder, {next(iter(classes))!r}; give the folder whose subfolders are the classes"
        )
    return classes


def _check_classes(trees: Sequence[Tree], parts: Sequence[dict[str, list[File]]]) -> None:
    if differing := sorted(parts[0].keys() ^ parts[-1].keys()):
        raise ValueError(
            f"{trees[0].root} and {trees[-1].root} have different classes, {', '.join(differing[:5])} being in one only; "
            "give both parts the same class folders"
        )


def _labels(part: dict[str, list[File]]) -> Tensor:
    return torch.repeat_interleave(torch.tensor([len(files) for files in part.values()]))


def _describe(path: Path, tree: Tree, part: dict[str, list[File]]) -> str:
    count = sum(map(len, part.values()))
    others = sum(file is not None for file in tree.entries.values()) - count
    ignored = f" ({others} other file{'s' * (others > 1)} left out)" if others else ""
    name = path.resolve().name
    where = name if tree.root == path else f"{name}/{tree.root.name}"
    return f"{count} images of {where}{ignored}"


# ---- decoding


def fit(image: Image.Image, shape: tuple[int, int]) -> Image.Image:
    """The centre of `image`, as much as has the proportions of `shape` (H, W), resized to it bilinearly."""
    return image if image.size == shape[::-1] else ImageOps.fit(image, shape[::-1], Image.Resampling.BILINEAR)


def _open(file: File) -> Image.Image:
    """The image in RGB, without Pillow's warnings about odd but readable files.

    Raises:
        ValueError: it is broken, whatever way Pillow finds that out, or would lose more than its alpha.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(file.read()))
            if image.mode.startswith(("I", "F")):
                raise ValueError("more than 8 bits a channel")
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")
    except Exception as error:
        raise ValueError(f"{file} can't be read as an image ({error}); replace it by an 8-bit image or remove it") from error


def _shape(file: File) -> tuple[int, int]:
    width, height = _open(file).size
    return height, width


def _pixels(files: Sequence[File], shape: tuple[int, int], resize: bool) -> np.ndarray:
    """The images decoded: uint8 [len(files), 3, H, W]."""
    pixels = np.empty((len(files), 3, *shape), np.uint8)
    for row, file in zip(pixels, files, strict=True):
        image = _open(file)
        if resize:
            image = fit(image, shape)
        elif image.size != shape[::-1]:
            raise ValueError(
                f"{file} has {image.height}x{image.width} pixels, the first image {shape[0]}x{shape[1]}; "
                "give one size for all, for example 32 (--size 32)"
            )
        row[:] = np.asarray(image).transpose(2, 0, 1)
    return pixels


def _decode(files: Sequence[File], shape: tuple[int, int], resize: bool) -> Tensor:
    """The images decoded on all cores: uint8 [N, 3, H, W]."""
    pixels = torch.empty(len(files), 3, *shape, dtype=torch.uint8)
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    work = partial(_pixels, shape=shape, resize=resize)
    try:
        with warnings.catch_warnings(), _executor(len(chunks)) as pool:
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside torch's threads: the workers use none
            for part, decoded in zip(pixels.split(_CHUNK), pool.map(work, chunks), strict=True):
                part.copy_(torch.from_numpy(decoded))
    except BrokenProcessPool as error:
        raise ValueError(f"a process that decoded {files[0]} and others was killed; see that memory is free, and run again") from error
    return pixels


def _executor(tasks: int) -> Executor:
    """Processes where they can be forked: for small images Pillow needs the interpreter's lock most of the time."""
    if sys.platform != "linux":
        return ThreadPoolExecutor(min(tasks, os.cpu_count() or 1))
    workers = min(tasks, len(os.sched_getaffinity(0)))
    return ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) if workers > 1 else ThreadPoolExecutor(1)
