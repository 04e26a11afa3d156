"""Parts of COCO that several annotation files make: a union, images left out, categories matched by name.

PC-DARTS, sec. 4.5, trains on trainval35k: the images of train2014 and those of val2014 without 5,000, minival. Three ways to name it:

| files | flags of `nasarch detect train` |
|---|---|
| those of 2014 that are published beside COCO's | `--data instances_train2014.json --also instances_valminusminival2014.json` |
| COCO's own of 2014, and minival | `--data ..._train2014.json --also ..._val2014.json --exclude ..._minival2014.json` |
| COCO's own of 2017 | `--data COCO`: its train2017 has the images of trainval35k, its val2017 those of minival |
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from nasarch.data.trees import normalized_path
from nasarch.strict_json import shown

from .coco import Scene, Scenes, listed_images, load_scenes, read_annotations


def training_part(data: Path, images: Path | None = None, also: Path | None = None, exclude: Path | None = None) -> Scenes:
    """The training part of `data` and the images of `also`, a second file, without those that the file `exclude` lists.

    Images are told apart by their file names, as their numbers are the files' own; `truth` remains that of the first file.

    Raises:
        ValueError: as `load_scenes`; an image is in both files; nothing is left out, or all.
    """
    part = load_scenes(data, "train", images)
    if also is not None:
        part = _union(part, load_scenes(also, "train", images))
    return part if exclude is None else _without(part, exclude)


def _union(first: Scenes, second: Scenes) -> Scenes:
    second = with_classes(second, first.class_names, first.category_ids, str(first.path))
    twice = sorted({_name(scene) for scene in first.scenes} & {_name(scene) for scene in second.scenes})
    if twice:
        raise ValueError(
            f"{len(twice):,} images are in both {first.path} and {second.path}, the first is {shown(twice[0])}: give files without "
            "an image in common"
        )
    return replace(
        first,
        name=f"{first.name} + {second.name}",
        scenes=first.scenes + second.scenes,
        sha256=hashlib.sha256(f"{first.sha256} + {second.sha256}".encode()).hexdigest(),
        changes=first.changes + second.changes,
    )


def _without(part: Scenes, exclude: Path) -> Scenes:
    raw, digest = read_annotations(exclude, annotated=False)
    names = {normalized_path(about["file_name"]) for about in listed_images(raw, exclude).values()}
    scenes = tuple(scene for scene in part.scenes if _name(scene) not in names)
    count = len(part) - len(scenes)
    if not count or not scenes:
        none = "none of its images is to train on" if scenes else "it has all images that are to train on"
        raise ValueError(f"--exclude {exclude}: {none}; give the annotations of the images to leave out")
    return replace(
        part,
        name=f"{part.name} - {exclude.stem}",
        scenes=scenes,
        sha256=hashlib.sha256(f"{part.sha256} - {digest}".encode()).hexdigest(),
        changes=(*part.changes, f"{count:,} images of {exclude.name} are left out of the training"),
    )


def _name(scene: Scene) -> str:
    return normalized_path(scene.file.member)


def with_classes(part: Scenes, class_names: Sequence[str], category_ids: Sequence[int], owner: str) -> Scenes:
    """The images with their categories numbered by `category_ids`, matched by name; a remark says where the file numbers them otherwise.

    Raises:
        ValueError: the names are others, or a name that occurs twice can't be matched; `owner` is what has the `class_names`.
    """
    here, there = dict(zip(part.category_ids, part.class_names, strict=True)), dict(zip(category_ids, class_names, strict=True))
    if here == there:
        return part
    if sorted(here.values()) != sorted(there.values()) or len(set(class_names)) < len(class_names):
        unknown, absent = (
            ", ".join(map(shown, sorted(set(one) - set(other))[:8]))
            for one, other in ((part.class_names, class_names), (class_names, part.class_names))
        )
        differences = [f"{owner} does not know {unknown}"] * bool(unknown) + [f"the file lacks {absent}"] * bool(absent)
        reason = " and ".join(differences) or "a name that occurs twice has other ids"
        raise ValueError(f"{part.path} has other categories than {owner}: {reason}; give annotations of the same classes")
    number = {name: category for category, name in there.items()}
    moved = [f"{shown(name)} is {category}, there {number[name]}" for category, name in here.items() if number[name] != category]
    ids = {category: number[name] for category, name in here.items()}
    label = {category: index for index, category in enumerate(category_ids, 1)}
    labels = torch.tensor([0, *(label[ids[category]] for category in part.category_ids)])
    annotations = [{**about, "category_id": ids[about["category_id"]]} for about in part.truth.get("annotations", ())]
    listed = [{**about, "id": ids[about["id"]]} for about in part.truth["categories"]]
    return replace(
        part,
        scenes=tuple(scene._replace(labels=labels[scene.labels]) for scene in part.scenes),
        class_names=tuple(class_names),
        category_ids=tuple(category_ids),
        truth={**part.truth, "categories": listed} | ({"annotations": annotations} if "annotations" in part.truth else {}),
        changes=(*part.changes, f"categories have other ids than those of {owner}, matched by name ({'; '.join(moved[:8])})"),
    )
