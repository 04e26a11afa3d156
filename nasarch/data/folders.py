"""Images in class folders, on disk or inside tar files: found and checked by their names. Opens no image.

| given | training part | test part |
|---|---|---|
| a folder with train/ or train.tar | its class folders | of val, valid, validation, dev, eval, evaluation, test, testing the first |
| any other folder, a .tar of class folders | its class folders | none |
| a .tar with train/ inside | its class folders | those of val/, ..., test/ inside, likewise |

The names of parts are read in any case, also with "set", "data", "images", "split" or a number behind them (Trainset, test_set, val2017),
and training is train. A folder train/ that holds images itself or stands among two or more
folders of images, without a test part, is a class. What is left aside is named in the source text.

A class is a folder, named by it; images may lie deeper in it. Classes and the images in each are sorted by name, so order, digest
and splits are the same on every machine. Hidden and system files are passed over, as are files whose suffix is not one of an image
(trees.py); they are counted in the source text. Tar files are never unpacked: their images are read in place.

100,000 names in 100 folders take 0.8 s (one core, after the first time).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .image_files import File
from .trees import OTHER, Tree, read_tree

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
TRAIN_PARTS = ("train", "training")
TEST_PARTS = ("val", "valid", "validation", "dev", "eval", "evaluation", "test", "testing")
PART_NAME = re.compile(r"(.+?)[-_ ]*(?:set|data|images|split)?[-_ ]*\d*")  # Trainset, test_set, val2017
LAYOUTS = "train/<class>/<image>, <class>/<image>, train.tar (with val.tar or test.tar), or one .tar of class folders"


class Members(NamedTuple):
    """The images of one part, sorted by class and name."""

    names: tuple[str, ...]  # relative to the folder of the part
    entries: tuple[File, ...]
    labels: Tensor


def find_parts(path: Path) -> tuple[list[Members], tuple[str, ...], str]:
    """The training part below `path` and, if there is one, the test part; the class names; and in words what was found and left out.

    Raises:
        ValueError: no images, fewer than two classes, an empty class folder, different classes in the two parts, folders that may be parts
            or classes, an unreadable file or folder.
    """
    try:
        trees, aside = _trees(path)
    except OSError as error:
        raise ValueError(f"can't read {error.filename or path}: {error.strerror or error}; check the path and its permissions") from error
    parts = [_classes(tree) for tree in trees]
    _check_classes(trees, parts)
    source = ", ".join(_describe(path, tree, part) for tree, part in zip(trees, parts, strict=True))
    source += f"; left out: {', '.join(aside)}" if aside else ""
    if inside := _same_folders(parts[0]):
        source += f"; {', '.join([*parts[0]][:3])} taken as classes, though each holds the same folders, {', '.join(inside[:3])}"
    return [_members(tree, part) for tree, part in zip(trees, parts, strict=True)], tuple(parts[0]), source


# ---- finding


def _trees(path: Path) -> tuple[list[Tree], list[str]]:
    """The training part and, if there is one, the test part; and what lies beside them.

    Raises:
        ValueError: two training parts, none beside a test part, or a folder train/ that may be a part or a class.
    """
    tree = _unwrapped(read_tree(path))
    depths = _depths(tree)
    tars = {} if tree.root.is_file() else {name[:-4]: name for name in tree.entries if "/" not in name and name.lower().endswith(".tar")}
    names = [*depths, *(stem for stem in tars if stem not in depths)]
    trains, tests = _named(names, TRAIN_PARTS), _named(names, TEST_PARTS)
    others = [name for name in depths if name not in (*trains, *tests) and depths[name]]
    if not trains:
        _check_classes_alone(tree, depths, tests)
        return [tree], []
    of_images, train = [name for name in others if 0 in depths[name]], trains[0]
    inside = depths.get(train, {1})
    if others and 0 in inside or len(of_images) > 1 and not tests:
        return [tree], []
    if of_images and not tests:
        raise ValueError(
            f"{tree.root}: {train} is the training part or a class beside {of_images[0]}; give {tree.root / train} if it is the "
            f"training part, or leave no folders in it if it is a class"
        )
    if len(trains) > 1:
        raise ValueError(f"{tree.root} has two training parts, {' and '.join(trains)}; move one of them away")
    used = [train, *tests[:1]]
    loose = sum(is_image(name) for name, file in tree.entries.items() if file is not None and "/" not in name)
    aside = [*tests[1:], *others, *(tars[name] for name in used if name in tars and name in depths)]
    return [_part(tree, name, tars) for name in used], [*aside, *([f"{loose} images beside {train}"] if loose else [])]


def _depths(tree: Tree) -> dict[str, set[int]]:
    """For each top folder whether images lie in it (0) and in folders in it (1); an empty set if there are none. Sorted by name."""
    depths: dict[str, set[int]] = {path: set() for path, file in sorted(tree.entries.items()) if file is None and "/" not in path}
    for path, file in tree.entries.items():
        if file is not None and "/" in path:
            top, rest = path.split("/", 1)
            depths.setdefault(top, set()).update({min(rest.count("/"), 1)} if is_image(path) else ())
    return depths


def _named(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """The `names` of one of the `parts`, in the order of the parts."""
    return [name for part in parts for name in names if _part_name(name) == part]


def _part_name(name: str) -> str:
    """A name in lower case, without what may stand behind the name of a part."""
    match = PART_NAME.fullmatch(name.casefold())
    return match[1] if match else name.casefold()


def _check_classes_alone(tree: Tree, depths: dict[str, set[int]], tests: Sequence[str]) -> None:
    """Refuse parts without a training part: folders of the same folders, some named as parts are."""
    inside = [{path.split("/")[1] for path in tree.entries if path.startswith(f"{name}/") and path.count("/") > 1} for name in depths]
    words = {word for name in depths for word in (_part_name(name), *name.casefold().replace("-", "_").replace(" ", "_").split("_"))}
    deep = len(depths) > 1 and all(levels == {1} for levels in depths.values()) and words & {*TRAIN_PARTS, *TEST_PARTS}
    if deep and (len(tests) == len(depths) or all(names == inside[0] for names in inside)):
        raise ValueError(
            f"{tree.root}: {', '.join(depths)} are parts of a data set, not classes, each with folders such as "
            f"{min(inside[0])}; name the training part train, the other val or test"
        )


def _part(tree: Tree, name: str, tars: dict[str, str]) -> Tree:
    return tree.below(name) or (_unwrapped(read_tree(tree.root / tars[name])) if name in tars else Tree(tree.root / name, {}, {}))


def _unwrapped(tree: Tree) -> Tree:
    """The tree without the folder around everything that packing a folder leaves ("cifar/train/cat/1.png").

    In a folder it is left only if there is a training part in it.
    """
    tops = {path.split("/")[0] for path in tree.entries}
    deep = all(path.count("/") >= 2 for path in tree.entries if is_image(path))
    below = tree.below(top := tops.pop()) if len(tops) == 1 and deep else None
    if below is None or tree.root.is_dir() and (_named([top], TRAIN_PARTS) or not _named([*_depths(below)], TRAIN_PARTS)):
        return tree
    left_out = {path.removeprefix(f"{top}/"): reason for path, reason in tree.left_out.items()}
    return _unwrapped(Tree(below.root if tree.root.is_dir() else tree.root, below.entries, left_out))


def is_image(path: str) -> bool:
    """Whether a file has one of the suffixes of images, in any case."""
    return path.lower().endswith(SUFFIXES)


# ---- classes


def _classes(tree: Tree) -> dict[str, list[str]]:
    """The names of the images of each class, classes and images sorted by name."""
    folders = {path.split("/")[0] for path, file in tree.entries.items() if file is None or "/" in path}
    classes: dict[str, list[str]] = {name: [] for name in sorted(folders)}
    for path, file in sorted(tree.entries.items()):
        if file is not None and "/" in path and is_image(path):
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


def _same_folders(part: dict[str, list[str]]) -> list[str]:
    """The folders in every class folder if these are the same, at least two, and hold all images: the classes, perhaps."""
    inside = [{name.split("/")[1] if name.count("/") > 1 else "" for name in images} for images in part.values()]
    return sorted(inside[0]) if len(inside[0]) > 1 and "" not in inside[0] and all(names == inside[0] for names in inside) else []


def _check_classes(trees: Sequence[Tree], parts: Sequence[dict[str, list[str]]]) -> None:
    if differing := sorted(parts[0].keys() ^ parts[-1].keys()):
        raise ValueError(
            f"{trees[0].root} and {trees[-1].root} have different classes, {', '.join(differing[:5])} being in one only; "
            "give both parts the same class folders"
        )


def _members(tree: Tree, part: dict[str, list[str]]) -> Members:
    names = tuple(name for images in part.values() for name in images)
    entries = tuple(file for name in names if (file := tree.entries[name]) is not None)
    return Members(names, entries, torch.repeat_interleave(torch.tensor([len(images) for images in part.values()])))


def _describe(path: Path, tree: Tree, part: dict[str, list[str]]) -> str:
    count = sum(map(len, part.values()))
    others = Counter({OTHER: sum(file is not None for file in tree.entries.values()) - count}) + Counter(tree.left_out.values())
    words = [f"{number} {reason.format('s' * (number > 1))}" for reason, number in sorted(others.items(), reverse=True)]
    ignored = f" ({', '.join(words)} left out)" if words else ""
    name = path.resolve().name
    where = name if tree.root == path else f"{name}/{tree.root.relative_to(path)}"
    return f"{count} images of {where}{ignored}"
