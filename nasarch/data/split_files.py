"""Files of a split: lists of image names that any tool can read, and a record by which nasarch knows them again.

The images of each part are drawn by `split_indices` in dataset.py.

| file | holds |
|---|---|
| part-1.txt, part-2.txt, ... | names of images, one a line, sorted: relative to the folder of the training part, or "train/000123" |
| split.json | format, data set with its digest, seed, and for each part its fraction, its numbers of images and its SHA-256 |

PC-DARTS, FTSO and DOTS search on 10 % and 2.5 % of each class of ImageNet (Xu et al. 2020, sec. 4.3); the lists of those images were
never published. Splits need names and labels alone, so none of the images is decoded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasarch.atomic import write_text
from nasarch.strict_json import parse

from .dataset import Dataset, split_indices
from .image_files import Listing

FORMAT = "nasarch.split/1"
RECORD = "split.json"


def write_split(listing: Listing, fractions: Sequence[float], seed: int, folder: Path) -> dict[str, Any]:
    """Write disjoint class-balanced parts of the listed images to `folder`, the record last; returns the record.

    Raises:
        ValueError: impossible fractions, a name that is no line of text, a split there already, or a folder that can't be written.
    """
    if (folder / RECORD).exists():
        raise ValueError(f"{folder} holds a split already: choose another folder with --out, or remove it first")
    indices = split_indices(listing.labels, fractions, seed)
    texts = [_text(listing.names[i] for i in part.tolist()) for part in indices]
    parts = [
        _part(number, fraction, listing.labels[part], text)
        for number, (fraction, part, text) in enumerate(zip(fractions, indices, texts, strict=True), start=1)
    ]
    record = {
        "format": FORMAT,
        "data": listing.data,
        "images": len(listing.names),
        "classes": len(listing.labels.unique()),
        "digest": listing.digest,
        "seed": seed,
        "parts": parts,
    }
    for part, text in zip(parts, texts, strict=True):
        write_text(folder / part["file"], text)
    write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
    return record


def _text(names: Iterable[str]) -> str:
    """The list of `names`."""
    lines = sorted(names)
    for name in lines:
        if "\n" in name or "\r" in name or name != name.encode(errors="replace").decode():
            raise ValueError(f"image name {name!r} is no line of UTF-8 text; rename the file")
    return "\n".join([*lines, ""])


def _part(number: int, fraction: float, labels: Tensor, text: str) -> dict[str, Any]:
    counts = labels.unique(return_counts=True)[1]
    return {
        "file": f"part-{number}.txt",
        "fraction": fraction,
        "images": len(labels),
        "images_per_class": [int(counts.min()), int(counts.max())],
        "sha256": _sha256(text),
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_split(folder: Path, data: Dataset) -> tuple[Tensor, ...]:
    """The parts of the split in `folder` as indices into `data.train` (int64, ascending): `data.train.subset(indices)`.

    Raises:
        ValueError: no split or a damaged one, a list that was changed, or a split of other data: says what differs.
    """
    record = _read_record(folder)
    lists = [_read_list(folder / part["file"], part["sha256"]) for part in record["parts"]]
    listing = data.listing
    index = {name: i for i, name in enumerate(listing.names)}
    unknown = [name for names in lists for name in names if name not in index]
    if unknown or record["digest"] != listing.digest:
        raise ValueError(
            f"the split in {folder} was made of other data than {data.name!r} ({_difference(record, listing, unknown)}); "
            "give the data that it was made of, or make a new one with `nasarch split`"
        )
    return tuple(torch.tensor(sorted(index[name] for name in names)) for names in lists)


def _difference(record: dict[str, Any], listing: Listing, unknown: list[str]) -> str:
    if unknown:
        others = f" and {len(unknown) - 1} more" if unknown[1:] else ""
        return f"it names {unknown[0]!r}{others}, which the data does not have"
    if record["images"] != len(listing.names):
        return f"of {record['images']} training images, the data has {len(listing.names)}"
    return "other names or classes among the images that it leaves out"


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        raise ValueError(f"no split in {folder}: give the folder that `nasarch split` wrote, which holds {RECORD}")
    try:
        record = parse(path.read_bytes())
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']!r}, this version reads {FORMAT!r}")
        for part in record["parts"]:
            if Path(part["file"]).name != part["file"] or not isinstance(part["sha256"], str):
                raise ValueError(f"part {part}")
        if not record["parts"] or not isinstance(record["images"], int) or not isinstance(record["digest"], str):
            raise ValueError("no parts, number of images or digest")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({_reason(error)}); make the split again with `nasarch split`") from error
    return record


def _read_list(path: Path, sha256: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise ValueError(f"can't read {path} ({_reason(error)}); make the split again with `nasarch split`") from error
    if _sha256(text) != sha256:
        raise ValueError(f"{path} was changed after the split was made; make the split again with `nasarch split`, with the same seed")
    return text.split("\n")[:-1]


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
