"""COCO annotations: images with boxes, read and validated. Of the images no more than the heads are read.

| data | annotations | images |
|---|---|---|
| a folder | train.json and val.json in it, or annotations/instances_train*.json and instances_val*.json, as COCO has them | see below |
| a .json file | that file | see below |

Images are looked for in the folder or tar file that the user names, else beside the annotations (image_files.py). Boxes that reach beyond
their image are clipped, those without an area are dropped, in training and evaluation alike; both are counted and named. Classes get the
labels 1, 2, ... in the order of their ids.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from nasarch.data.decoding import Head, head_of
from nasarch.data.image_files import File
from nasarch.strict_json import shown

from .image_files import find_files

PATTERNS = {
    "train": ("train.json", "annotations/instances_train*.json", "instances_train*.json"),
    "val": ("val.json", "annotations/instances_val*.json", "instances_val*.json"),
}
SLACK = 0.5  # pixels by which a box may reach beyond its image without a word: annotations are rounded
MIN_SIDE = 1e-3  # pixels: a side below it is no side


class Scene(NamedTuple):
    """An image: its number in the file, its place, its size, and its boxes [N, 4] (corners in pixels, inside) with labels [N]."""

    number: int
    file: File
    height: int
    width: int
    boxes: Tensor
    labels: Tensor


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Annotated images. `truth` is the file for COCO's own evaluation, but for the `changes`, a line each; without a list of annotations
    where the file has none (test-dev)."""

    name: str
    path: Path
    scenes: tuple[Scene, ...]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    sha256: str
    truth: Mapping[str, Any] = field(repr=False)
    changes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def boxes(self) -> int:
        return sum(len(scene.labels) for scene in self.scenes)

    @cached_property
    def heads(self) -> tuple[Head, ...]:
        """Size and EXIF orientation of every image, read when they are first asked for.

        Raises:
            ValueError: one is no image.
        """
        return tuple(head_of(scene.file) for scene in self.scenes)

    @property
    def remarks(self) -> tuple[str, ...]:
        """The changes, and how many images have an EXIF orientation, a line each; errors as `heads`."""
        turned = [(scene, head) for scene, head in zip(self.scenes, self.heads, strict=True) if head.orientation != 1]
        if not turned:
            return self.changes
        first = f"{shown(turned[0][0].file.member)}, orientation {turned[0][1].orientation}"
        noun = "image has" if len(turned) == 1 else "images have"
        return (
            *self.changes,
            f"{len(turned):,} {noun} an EXIF orientation, which is not applied: boxes are those of stored pixels (the first is {first})",
        )


def find_annotations(data: Path, part: str) -> Path | None:
    """The annotations of `part`, "train" or "val", in a folder; a .json file is what is asked for."""
    if not data.is_dir():
        return data
    paths = [path for pattern in PATTERNS[part] for path in sorted(data.glob(pattern))]
    return paths[0] if paths else None


def load_scenes(data: Path, part: str, images: Path | None = None, *, annotated: bool = True) -> Scenes:
    """The images of a part of `data`, a folder or a .json file, whose pixels are in `images`, a folder or tar file, or beside it.

    Args:
        annotated: refuse a file without the list of annotations, as COCO's test-dev has it.

    Raises:
        ValueError: no such file, no COCO format, no image or box, images that are missing, a category that isn't listed, a box
            that is none: says how many and which is the first.
    """
    path = find_annotations(data, part)
    if path is None:
        raise ValueError(
            f"{data} has no annotations of a {part} part; give a folder with {' or '.join(PATTERNS[part][:2])}, or a .json file"
        )
    raw, digest = read_annotations(path, annotated=annotated)
    images_by_id = listed_images(raw, path)
    categories = _categories(raw, path)
    looked = _looked_through(raw, images_by_id, [*categories], path)
    files = find_files(path, images, [about["file_name"] for about in images_by_id.values()])
    scenes = [_scene(about, files[about["file_name"]], looked.objects.get(number, [])) for number, about in images_by_id.items()]
    return Scenes(
        name=path.stem if data == path else f"{data.name}/{path.stem}",
        path=path,
        scenes=tuple(scenes),
        class_names=tuple(categories.values()),
        category_ids=tuple(categories),
        sha256=digest,
        truth={**raw, "annotations": looked.kept} if "annotations" in raw else raw,
        changes=tuple(looked.changes),
    )


def with_boxes(part: Scenes) -> tuple[Scene, ...]:
    """The images that have a box: of the others SSD learns nothing, since it draws its negatives in proportion to the boxes.

    Raises:
        ValueError: there is none.
    """
    scenes = tuple(scene for scene in part.scenes if len(scene.labels))
    if not scenes:
        raise ValueError(f"{part.path} has {len(part)} images and no box to learn from; give other annotations")
    return scenes


def read_annotations(path: Path, *, annotated: bool = True) -> tuple[dict[str, Any], str]:
    """The file's object and its SHA-256; errors as `load_scenes`."""
    try:
        content = path.read_bytes()
        raw = json.loads(content)
    except OSError as error:
        raise ValueError(f"can't read the annotations {path}: {error.strerror or error}; give a folder or a .json file") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); give annotations in COCO's format") from error
    for key in ("images", "annotations", "categories"):
        absent: Any = None if annotated or key != "annotations" else []
        if not isinstance(raw, dict) or not isinstance(raw.get(key, absent), list):
            raise ValueError(f"{path} has no list {key!r}, which COCO's format has; give annotations of boxes (instances)")
    for key in ("images", "categories"):
        if not raw[key]:
            raise ValueError(f"{path} has no {key}; give annotations with at least one")
    return raw, hashlib.sha256(content).hexdigest()


def _whole(value: Any) -> bool:
    """Whether it is an integer that evaluators can count with."""
    return type(value) is int and abs(value) < 2**63


def listed_images(raw: Mapping[str, Any], path: Path) -> dict[int, dict[str, Any]]:
    """Images by number; errors as `load_scenes`."""
    images: dict[int, dict[str, Any]] = {}
    for about in raw["images"]:
        sizes: list[Any] = [about.get(key) for key in ("id", "width", "height")] if isinstance(about, dict) else []
        if not sizes or not all(map(_whole, sizes)) or min(sizes[1:]) < 1 or not isinstance(about.get("file_name"), str):
            raise ValueError(f"{path}: image {shown(about)} lacks a whole id, width, height or a file_name; mend it or remove it")
        if images.setdefault(about["id"], about) is not about:
            raise ValueError(f"{path}: two images have the id {about['id']}; number them anew")
    return images


def _categories(raw: Mapping[str, Any], path: Path) -> dict[int, str]:
    """Names by number, sorted by it."""
    pairs: list[tuple[Any, Any]] = [
        (about.get("id"), about.get("name")) if isinstance(about, dict) else (None, None) for about in raw["categories"]
    ]
    if not all(_whole(number) and isinstance(name, str) for number, name in pairs) or len(dict(pairs)) < len(pairs):
        raise ValueError(f"{path}: each category needs an id of its own, a whole number, and a name; they are {shown(pairs)}")
    return dict(sorted(pairs))


class _Object(NamedTuple):
    box: tuple[float, ...]
    label: int


class _Looked(NamedTuple):
    """The boxes by image, the annotations to evaluate on, and what was done to them."""

    objects: dict[int, list[_Object]]
    kept: list[dict[str, Any]]
    changes: list[str]


def _looked_through(raw: Mapping[str, Any], images: Mapping[int, dict[str, Any]], categories: Sequence[int], path: Path) -> _Looked:
    """All annotations. Crowds are no single objects: they are evaluated on, but not learnt."""
    labels = {category: label for label, category in enumerate(categories, 1)}
    objects, kept = dict[int, list[_Object]](), list[dict[str, Any]]()
    wrong, first_of = Counter[str](), dict[str, str]()
    for about in raw.get("annotations", ()):
        fault, box = _looked_at(about, images, labels)
        if fault:
            wrong[fault] += 1
            first_of.setdefault(fault, _named(about, images))
        if box is not None:
            objects.setdefault(about["image_id"], []).append(_Object(box, labels[about["category_id"]]))
        if fault != DROPPED:
            kept.append(about if fault is None or box is None else _clipped(about, box))
    for fault in (NO_CATEGORY, NO_IMAGE, NO_BOX, NO_FLAG):
        if wrong[fault]:
            raise ValueError(f"{path}: {_count(wrong[fault])} {fault}, the first is {first_of[fault]}; mend or remove them")
    return _Looked(
        objects, kept, [f"{_count(wrong[fault])} {fault} (the first is {first_of[fault]})" for fault in (CLIPPED, DROPPED) if wrong[fault]]
    )


NO_CATEGORY = "without a category of the file's list"
NO_IMAGE = "of an image that the file doesn't list"
NO_BOX = "whose bbox is not four finite numbers"
NO_FLAG = "whose iscrowd is not 0, 1, true, false or null"
CLIPPED = "beyond the image's edge: clipped"
DROPPED = "without an area: dropped"


def _looked_at(about: Any, images: Mapping[int, dict[str, Any]], labels: Mapping[int, int]) -> tuple[str | None, tuple[float, ...] | None]:
    """What is wrong with an annotation, and its box (corners) if it has one that counts."""
    if not isinstance(about, dict) or not _listed(about.get("image_id"), images):
        return NO_IMAGE, None
    if not _listed(about.get("category_id"), labels):
        return NO_CATEGORY, None
    box = about.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(finite, box)):
        return NO_BOX, None
    if about.get("iscrowd") not in (None, 0, 1):
        return NO_FLAG, None
    if about.get("iscrowd"):
        return None, None
    x, y, across, down = map(float, box)
    width, height = (images[about["image_id"]][key] for key in ("width", "height"))
    corners = (x, y, x + across, y + down)
    inside = tuple(min(max(value, 0.0), float(limit)) for value, limit in zip(corners, (width, height) * 2, strict=True))
    if inside[2] - inside[0] < MIN_SIDE or inside[3] - inside[1] < MIN_SIDE:
        return DROPPED, None
    beyond = max(abs(before - after) for before, after in zip(corners, inside, strict=True)) > SLACK
    return CLIPPED if beyond else None, inside


def _listed(number: Any, table: Mapping[int, Any]) -> TypeGuard[int]:
    return type(number) in (int, float) and number in table


def finite(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number that a float holds."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer of more than 308 digits
        return False


def _clipped(about: Mapping[str, Any], box: tuple[float, ...]) -> dict[str, Any]:
    """The annotation with the box (corners) that is left of it; its area, in COCO that of the outline, is no more than the box's."""
    left, top, right, bottom = box
    area, box_area = about.get("area"), (right - left) * (bottom - top)
    return {**about, "bbox": [left, top, right - left, bottom - top], "area": min(area, box_area) if finite(area) else box_area}


def _named(about: Any, images: Mapping[int, dict[str, Any]]) -> str:
    """Which annotation that is, in a short line."""
    if not isinstance(about, dict):
        return shown(about)
    number, box, category = about.get("image_id"), about.get("bbox"), shown(about.get("category_id"))
    image = images[number]["file_name"] if _listed(number, images) else f"image {shown(number)}"
    own = shown(about["id"]) if "id" in about else "-"
    return f"{own} in {image}, bbox {shown(box)}, category {category}"


def _count(number: int) -> str:
    return f"{number:,} annotation{'' if number == 1 else 's'}"


def _scene(about: Mapping[str, Any], file: File, objects: Sequence[_Object]) -> Scene:
    boxes = torch.tensor([one.box for one in objects], dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([one.label for one in objects], dtype=torch.int64)
    return Scene(about["id"], file, about["height"], about["width"], boxes, labels)
