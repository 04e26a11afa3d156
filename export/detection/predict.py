"""Inference with a trained detector: COCO metrics on a data set, and annotated images."""

from __future__ import annotations

import colorsys
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torchvision.models.detection.ssd import SSD

from nasarch.atomic import atomic_path, write_text
from nasarch.compute import pick_device
from nasarch.data.decoding import open_image, tensor
from nasarch.data.image_files import File
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import load

from .coco import load_scenes
from .coco_metrics import coco_figures, detect, evaluator
from .loader import check_images
from .parts import with_classes
from .results import category_ids, image_ids, write_results

JPEG = (".jpg", ".jpeg")
INK, PAPER = (0, 0, 0), (255, 255, 255)


def evaluate(
    checkpoint: str | os.PathLike[str],
    data: Path,
    *,
    images: Path | None = None,
    results: Path | None = None,
    batch: int = 8,
    workers: int = 2,
    device: str = "auto",
) -> tuple[dict[str, float], tuple[str, ...]]:
    """COCO's twelve figures of a detector on the val part of `data`, and remarks on its annotations.

    Args:
        results: file for the detections in COCO's results format, with the ids of the annotation file. With it the file may lack
            annotations, as COCO's test-dev does; there are no figures then.

    Raises:
        ValueError: no such detector, data or device; data of other classes; an image that is none; no evaluator installed.
    """
    if not (1 <= batch < 2**31 and 0 <= workers <= 1024):
        raise ValueError(f"--batch {batch}, --workers {workers}: choose at least 1 image, and 0 to 1024 processes")
    model, own = load(checkpoint).to(pick_device(device)), load_scenes(data, "val", images, annotated=results is None)
    if "annotations" in own.truth:
        evaluator()
    names, ids = model.design.class_names, model.design.category_ids
    part = with_classes(own, names, ids, "the detector")
    check_images(part)
    rows, remarks = detect(model, part, batch_size=batch, workers=workers), part.remarks
    if results is not None:
        number = dict(zip(ids, category_ids(names, ids, own.path), strict=True))
        count = write_results(results, ({**row, "category_id": number[row["category_id"]]} for row in rows))
        remarks += (f"{count:,} detections in {len(part):,} images: {results}",)
    if "annotations" not in part.truth:
        return {}, (*remarks, f"{own.path} has no annotations, so there are no figures: COCO's server computes those of test-dev")
    return coco_figures(part.truth, rows), remarks


@torch.inference_mode()
def predict(
    checkpoint: str | os.PathLike[str],
    images: Sequence[Path],
    out: Path,
    *,
    score: float = 0.4,
    results: Path | None = None,
    annotations: Path | None = None,
    device: str = "auto",
) -> Iterator[str]:
    """Write a picture for each image, and detections.json for all, into the folder `out`; says what was found where.

    Args:
        results: file for the detections in COCO's results format; images are then taken as they are stored, not turned upright.
        annotations: file in COCO's format that has the ids of images and categories for the results; see results.py without one.

    Raises:
        ValueError: no such detector, an image that is none, two of one name, an illegal score, a folder that can't be written, or one
            where a picture would replace its image.
    """
    if not 0 <= score < 1:
        raise ValueError(f"--score {score}: choose 0 or more, and less than 1")
    model = load(checkpoint, score_threshold=score).to(pick_device(device))
    names, numbers, categories = _names(images), list[int](), list[int]()
    opened = upright
    if results is not None:
        opened = stored
        numbers = image_ids(images, annotations)
        categories = category_ids(model.design.class_names, model.design.category_ids, annotations)
    elif annotations is not None:
        raise ValueError(f"--annotations {annotations} has the ids for --results FILE: give both, or none")
    for path in images:
        opened(path)  # all of them, before anything is written
    _keep_originals(images, [out / name for name in names])
    by_name: dict[str, list[dict[str, Any]]] = {}
    for path, name in zip(images, names, strict=True):
        image = opened(path)
        by_name[path.name] = detections(model, image)
        with atomic_path(out / name) as temporary:
            options: dict[str, Any] = {"quality": 90} if temporary.suffix.lower() in JPEG else {"optimize": True}
            picture(image, by_name[path.name], model.design).save(temporary, **options)
        yield f"{out / name}: {_summary(by_name[path.name])}"
    write_text(out / "detections.json", json.dumps(by_name, indent=1, ensure_ascii=False) + "\n")
    yield f"{out / 'detections.json'}"
    if results is not None:
        rows = (
            {"image_id": number, "category_id": categories[one["label"] - 1], "bbox": _extent(one["box"]), "score": one["score"]}
            for number, path in zip(numbers, images, strict=True)
            for one in by_name[path.name]
        )
        yield f"{results}: {write_results(results, rows):,} detections in COCO's results format"


def stored(path: Path) -> Image.Image:
    """The image of a file in RGB, as its pixels are stored; errors as `upright`."""
    return open_image(File(str(path.parent), path.name))


def upright(path: Path) -> Image.Image:
    """The image of a file in RGB, turned as its EXIF data say, as viewers show it.

    Raises:
        ValueError: it can't be read.
    """
    image = stored(path)
    with warnings.catch_warnings(), suppress(Exception):  # damaged EXIF data: the image is shown as it is stored
        warnings.simplefilter("ignore")
        image = ImageOps.exif_transpose(image)
    return image


def _keep_originals(images: Sequence[Path], pictures: Sequence[Path]) -> None:
    """Raise ValueError where a picture would take the place of an image."""
    for path in pictures:
        if path.exists() and any(path.samefile(image) for image in images):
            raise ValueError(f"the picture {path} would take the place of that very image: give another folder with -o")


def _names(images: Sequence[Path]) -> list[str]:
    """Names of the pictures: the image's own where that is JPEG or PNG, else with .png."""
    if not images:
        raise ValueError("no image: give one file or more")
    names = [path.name if path.suffix.lower() in (*JPEG, ".png") else f"{path.name}.png" for path in images]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"two images would give the picture {twice}; predict them into folders of their own")
    return names


def detections(model: SSD, image: Image.Image) -> list[dict[str, Any]]:
    """Detections of `model`, the highest score first: label, name, score, box (x1, y1, x2, y2 in pixels)."""
    device, design = next(model.parameters()).device, model.design
    (output,) = model([tensor(image).float().to(device) / 255])
    rows = zip(output["labels"].tolist(), output["scores"].tolist(), output["boxes"].tolist(), strict=True)
    return [
        {"label": label, "name": design.class_names[label - 1], "score": round(score, 4), "box": [round(value, 2) for value in box]}
        for label, score, box in rows
    ]


def _extent(box: Sequence[float]) -> list[float]:
    """(x1, y1, x2, y2) -> (x, y, width, height)."""
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def picture(image: Image.Image, detections: Sequence[Mapping[str, Any]], design: Design) -> Image.Image:
    """The image with a frame around each object, and its name and score; the surest on top."""
    result, width = image.copy(), max(2, round(max(image.size) / 320))
    draw, font = ImageDraw.Draw(result), ImageFont.load_default(max(10, round(max(image.size) / 55)))
    for one in reversed(detections):
        colour = _colour(one["label"] - 1, len(design.class_names))
        left, top, right, bottom = one["box"]
        draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=width)
        words = f"{one['name']} {one['score']:.2f}"
        _, _, across, down = draw.textbbox((0, 0), words, font=font)
        above = max(0, top - down - 2)
        draw.rectangle((left, above, left + across + 4, above + down + 2), fill=colour)
        draw.text((left + 2, above), words, fill=INK if sum(colour) > 380 else PAPER, font=font)
    return result


def _colour(index: int, count: int) -> tuple[int, int, int]:
    """Hues evenly apart, two levels in turn."""
    red, green, blue = colorsys.hsv_to_rgb((0.6 + index / max(count, 3)) % 1, 0.85, 0.95 if index % 2 else 0.8)
    return round(255 * red), round(255 * green), round(255 * blue)


def _summary(detections: Sequence[Mapping[str, Any]]) -> str:
    names = [one["name"] for one in detections]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names)) or "nothing found"
