"""Images in class folders, on disk or inside tar files: found and checked by their names. Opens no image.

| given | training part | test part |
|---|---|---|
| a folder with train/ or train.tar | its class folders | those of val, valid or test, folder or .tar, the first that exists |
| any other folder, a .tar of class folders | its class folders | none |
| a .tar with train/ inside | its class folders | those of val/, valid/ or test/ inside |

A class is a folder, named by it; images may lie deeper in it. Classes and the images in each are sorted by name, so order, digest
and splits are the same on every machine. Hidden files and the litter of desktops are passed over; files whose suffix is not one of
an image are left out and counted in the source text. Tar files are never unpacked: their images are read in place, and links or
members that point outside are passed over.

100,000 names in 100 folders take 0.8 s (one core, after the first time).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import torch
from torch import Tensor

from .image_files import File

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TEST_PARTS = ("val", "valid", "test")
LAYOUTS = "train/<class>/<image>, <class>/<image>, train.tar (with val.tar or test.tar), or one .tar of class folders"


class Tree(NamedTuple):
    """What lies below a root, by path relative to it ("airplane/0001.jpg"); a folder itself has the value None."""

    root: Path
    entries: dict[str, File | None]

    def below(self, name: str) -> Tree | None:
        """What lies below the folder `name` of the root; None if there is no such folder."""
        prefix = f"{name}/"
        inside = {path.removeprefix(prefix): file for path, file in self.entries.items() if path.startswith(prefix)}
        return Tree(self.root / name, inside) if inside else None


class Members(NamedTuple):
    """The images of one part, sorted by class and name."""

    names: tuple[str, ...]  # relative to the folder of the part
    places: tuple[File, ...]
    labels: Tensor


def find_parts(path: Path) -> tuple[list[Members], tuple[str, ...], str]:
    """The training part below `path` and, if there is one, the test part; the class names; and in words what was found.

    Raises:
        ValueError: no images, fewer than two classes, an empty class folder, different classes in the two parts, an unreadable file or
            folder.
    """
    try:
        trees = _trees(path)
    except OSError as error:
        raise ValueError(f"can't read {error.filename or path}: {error.strerror or error}; check the path and its permissions") from error
    parts = [_classes(tree) for tree in trees]
    _check_classes(trees, parts)
    source = ", ".join(_describe(path, tree, part) for tree, part in zip(trees, parts, strict=True))
    return [_members(tree, part) for tree, part in zip(trees, parts, strict=True)], tuple(parts[0]), source


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
    place = str(root)
    return Tree(root, {name: None if is_folder else File(place, name) for name, is_folder in _walk(place, "", set())})


def _walk(folder: str, prefix: str, seen: set[str]) -> Iterator[tuple[str, bool]]:
    """Files and folders below `folder`, `prefix` before their names, and which is a folder; without litter.

    Links are followed, but no folder is entered twice.
    """
    if (real := os.path.realpath(folder)) in seen:
        return
    seen.add(real)
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_litter(entry.name):
                continue
            if entry.is_dir():
                yield prefix + entry.name, True
                yield from _walk(entry.path, f"{prefix}{entry.name}/", seen)
            elif entry.is_file():
                yield prefix + entry.name, False


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


def _classes(tree: Tree) -> dict[str, list[str]]:
    """The names of the images of each class, classes and images sorted by name."""
    folders = {path.split("/")[0] for path, file in tree.entries.items() if file is None or "/" in path}
    classes: dict[str, list[str]] = {name: [] for name in sorted(folders)}
    for path, file in sorted(tree.entries.items()):
        if file is not None and "/" in path and _is_image(path):
            classes[path.split("/")[0]].append(path)
    if not any(classes.values()):
        raise ValueError(f"{tree.root} has no images in class folders; expected {LAYOUTS}, images being {' '.join(SUFFIXES)}")
    if empty := [name for name, images in classes.items() if not images]:
        raise ValueError(f"{tree.root}: no images in class folder(s) {', '.join(empty[:5])}; fill or remove them")
    if len(classes) == 1:
        raise ValueError(
            f"{tree.root} has only one class folder, {next(iter(classes))!r}; give the folder whose subfolders are the classes"
        )
    return classes


def _check_classes(trees: Sequence[Tree], parts: Sequence[dict[str, list[str]]]) -> None:
    if differing := sorted(parts[0].keys() ^ parts[-1].keys()):
        raise ValueError(
            f"{trees[0].root} and {trees[-1].root} have different classes, {', '.join(differing[:5])} being in one only; "
            "give both parts the same class folders"
        )


def _members(tree: Tree, part: dict[str, list[str]]) -> Members:
    names = tuple(name for images in part.values() for name in images)
    places = tuple(file for name in names if (file := tree.entries[name]) is not None)
    return Members(names, places, torch.repeat_interleave(torch.tensor([len(images) for images in part.values()])))


def _describe(path: Path, tree: Tree, part: dict[str, list[str]]) -> str:
    count = sum(map(len, part.values()))
    others = sum(file is not None for file in tree.entries.values()) - count
    ignored = f" ({others} other file{'s' * (others > 1)} left out)" if others else ""
    name = path.resolve().name
    where = name if tree.root == path else f"{name}/{tree.root.name}"
    return f"{count} images of {where}{ignored}"
