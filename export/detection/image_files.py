"""Image files of COCO annotations: in a folder or a tar file that is named, or beside the annotations. Opens none of them.

They are looked for in images.tar, images/, a tar file or folder of the annotations' name without "instances_" beside the annotations or
one level up, and beside the annotations themselves. No name may lead out of there: annotations from elsewhere open no other file.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from nasarch.data.image_files import File
from nasarch.strict_json import shown


def find_files(path: Path, images: Path | None, names: Sequence[str]) -> dict[str, File]:
    """Where each of `names` is, by the annotations `path` and the place that the user named, if any.

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
        found = _in_tar(folder_or_tar, names) if folder_or_tar.is_file() else _in_folder(folder_or_tar, names)
        best = max(best, found, key=len)
        if len(best) == len(set(names)):
            return best
    missing = [name for name in names if name not in best]
    where = ", ".join(map(str, candidates)) or str(path.parent)
    raise ValueError(
        f"{len(missing):,} of {len(names):,} images are missing, the first is {missing[0]} (looked in {where}); say where with --images"
    )


def leads_out(name: str) -> bool:
    """Whether a file's name is absolute or climbs, on any system."""
    return os.path.isabs(name) or name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name)


def _candidates(path: Path) -> Iterator[Path]:
    for folder in (path.parent, path.parent.parent):
        own = path.stem.removeprefix("instances_")
        yield from (folder / "images.tar", folder / "images", folder / f"{own}.tar", folder / own)
    yield path.parent


def _in_folder(folder: Path, names: Sequence[str]) -> dict[str, File]:
    return {name: File(str(folder), name) for name in names if (folder / name).is_file()}


def _in_tar(path: Path, names: Sequence[str]) -> dict[str, File]:
    requested = set(names)
    try:
        with tarfile.open(path, "r:") as tar:
            members = {member.name.removeprefix("./"): member for member in tar if member.isfile()}
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"can't read {path} as a tar file ({error}); it has to be uncompressed") from error
    return {name: File(str(path), name, member.offset_data, member.size) for name, member in members.items() if name in requested}
