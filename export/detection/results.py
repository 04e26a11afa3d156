"""COCO's results format: a list of {image_id, category_id, bbox [x, y, width, height], score}, as its server takes it.

Coordinates are rounded to 0.01 pixels and scores to five places, since COCO's server limits the size of a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasarch.atomic import write_text

from .coco import listed_images, read_annotations

Row = Mapping[str, Any]
NUMBER = re.compile(r"(\d+)$")  # COCO_val2014_000000000042.jpg is image 42


def write_results(path: Path, rows: Iterable[Row]) -> int:
    """Write the detections `rows` in COCO's results format; returns how many there are."""
    lines = [
        json.dumps(
            {
                "image_id": row["image_id"],
                "category_id": row["category_id"],
                "bbox": [round(value, 2) for value in row["bbox"]],
                "score": round(row["score"], 5),
            }
        )
        for row in rows
    ]
    write_text(path, "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")
    return len(lines)


def image_ids(images: Sequence[Path], annotations: Path | None) -> list[int]:
    """Numbers of the images: those of the annotation file, by file name, or that at the end of the name, as COCO names its files.

    Raises:
        ValueError: an image has none, or two have the same.
    """
    if annotations is None:
        numbers = [int(match[1]) if (match := NUMBER.search(path.stem)) else None for path in images]
        remedy = "its name doesn't end in a number: give the file that lists it with --annotations"
    else:
        raw, _ = read_annotations(annotations, annotated=False)
        known = {Path(about["file_name"]).name: number for number, about in listed_images(raw, annotations).items()}
        numbers = [known.get(path.name) for path in images]
        remedy = f"{annotations} doesn't list it"
    found_ids = dict[int, Path]()
    for path, number in zip(images, numbers, strict=True):
        if number is None:
            raise ValueError(f"no image_id for {path.name}: {remedy}")
        if found_ids.setdefault(number, path) is not path:
            raise ValueError(f"{found_ids[number].name} and {path.name} are both image {number}: predict them into results of their own")
    return [*found_ids]


def category_ids(class_names: Sequence[str], own: Sequence[int], annotations: Path | None) -> list[int]:
    """The categories' numbers of the annotation file, by name; those of the detector, `own`, without a file.

    Raises:
        ValueError: the file hasn't a category that the detector knows, or has it twice.
    """
    if annotations is None:
        return [*own]
    raw, _ = read_annotations(annotations, annotated=False)
    pairs = [(about["name"], about["id"]) for about in raw["categories"]]
    if {number: name for name, number in pairs} == dict(zip(own, class_names, strict=True)):
        return [*own]
    unknown = sorted(set(class_names) - {name for name, _ in pairs})
    if unknown or len(dict(pairs)) < len(pairs):
        raise ValueError(f"{annotations} has no one category for {', '.join(unknown) or 'each name'}; give annotations of the same classes")
    return [dict(pairs)[name] for name in class_names]
