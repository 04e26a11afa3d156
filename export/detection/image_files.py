"""Image files of COCO annotations: in a folder or a tar file that is named, or beside the annotations. Opens none of them.

They are looked for in images.tar, images/, a tar file or folder of the annotations' name without "instances_" or "image_info_" (of COCO's
minival2014, valminusminival2014 and test-dev2015 also val2014 and test2015) beside the annotations or one level up, and beside the
annotations themselves. No name may lead out of there: annotations from elsewhere open no other file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from nasarch.data.image_files import File
from nasarch.data.trees import Tree, normalized_path, read_tree
from nasarch.strict_json import shown


def find_files(path: Path, images: Path | None, names: Sequence[str]) -> dict[str, File]:
    """Path of each of `names`, by the annotations `path` and the folder or tar file that the user named, if any.

    Raises:
        ValueError: some are nowhere, there is no such folder or tar file, or a name leads elsewhere.
    """
    if images is not None and not images.exists():
        raise ValueError(f"there is no folder or tar file {images}; give the one with {names[0]}")
    outside = [name for name in names if leads_out(name)]
    if outside:
        raise ValueError(
            f"{path}: {len(outside):,} of {len(names):,} file names lead out of the folder of images, the first is {shown(outside[0])}; "
            "give names below that folder, without .., and the folder with --images"
        )
    candidates = [images] if images is not None else [folder_or_tar for folder_or_tar in _candidates(path) if folder_or_tar.exists()]
    best: dict[str, File] = {}
    for folder_or_tar in candidates:
        try:
            files = _in_tar(folder_or_tar, names) if folder_or_tar.is_file() else _in_folder(folder_or_tar, names)
        except OSError as error:
            raise ValueError(f"can't read {folder_or_tar}: {error.strerror or error}; check its permissions") from error
        best = max(best, files, key=len)
        if len(best) == len(set(names)):
            return best
    missing = [name for name in names if name not in best]
    first = missing[0] if missing[0].isprintable() and len(missing[0]) <= 100 else shown(missing[0])
    where = ", ".join(map(str, candidates)) or str(path.parent)
    raise ValueError(
        f"{len(missing):,} of {len(names):,} images are missing, the first is {first} (looked in {where}); say where with --images"
    )


def leads_out(name: str) -> bool:
    """Whether a file's name is absolute or climbs, on any system."""
    return os.path.isabs(name) or name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name)


def _candidates(path: Path) -> Iterator[Path]:
    own = path.stem.removeprefix("instances_").removeprefix("image_info_")
    cocos = re.sub("^(valminusminival|minival)", "val", own).replace("test-dev", "test")  # parts of a folder of COCO's
    for folder in (path.parent, path.parent.parent):
        yield from (folder / "images.tar", folder / "images")
        yield from (folder / f"{name}{end}" for name in dict.fromkeys((own, cocos)) for end in (".tar", ""))
    yield path.parent


def _in_folder(folder: Path, names: Sequence[str]) -> dict[str, File]:
    files = {name: File(str(folder), name) for name in names if os.path.isfile(folder / name)}
    missing = [name for name in names if name not in files and not name.isascii()]  # that the folder may have in another normal form
    entries = read_tree(folder, with_system_files=True).entries if missing else {}
    return files | {name: file for name in missing if (file := entries.get(normalized_path(name))) is not None}


def _in_tar(path: Path, names: Sequence[str]) -> dict[str, File]:
    """Members by their names in the tar file, or in the folder around everything that packing a folder leaves."""
    tree: Tree | None = read_tree(path, with_system_files=True)
    members: dict[str, File] = {}
    while tree is not None and not members:
        files = {name: tree.entries.get(normalized_path(name)) for name in names}
        members = {name: file._replace(member=name) for name, file in files.items() if file is not None}
        tops = {name.split("/")[0] for name in tree.entries}
        tree = tree.below(tops.pop()) if len(tops) == 1 else None
    return members
