"""Model card (README.md) of a detector on the Hub; the text is the Jinja template card.md, here are its metadata and its values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import EvalResult, ModelCardData

import nasarch
from nasarch.cells.genotype import Genotype
from nasarch.cells.provenance import public
from nasarch.export.hub.card import bibtex, data_sets, escaped, origin, paper_tags, render, table
from nasarch.export.ssd.backbone import TIMMS
from nasarch.export.ssd.check import SsdAgreement
from nasarch.export.ssd.design import Design
from nasarch.export.ssd.detector import DetectorCost, millions

from .coco_metrics import FIGURES

TAGS = ["object-detection", "ssd", "nasarch", "neural-architecture-search", "onnx"]
UNNAMED = "OWNER/NAME"
SSD_PAPER = "1512.02325"


def card(
    design: Design, cost: DetectorCost, agreement: SsdAgreement, score: float, result: Mapping[str, Any] | None, weights: bytes
) -> str:
    """The model card: metadata in YAML, then Markdown.

    Args:
        score: the ONNX file's score threshold; the design's is that of the training.
        result: what `nasarch detect train` left in result.json, if that is known.
        weights: the content of model.safetensors.
    """
    genotype = None if design.genotype is None else Genotype.from_dict(design.genotype)
    about, licence = {} if genotype is None else genotype.provenance, _licence(design, result)
    rows = [(name, f"{100 * value:.2f} %" if value >= 0 else "-", FIGURES[name]) for name, value in _figures(result)]
    values = {
        "network": public(design.network),
        "num_names": len(design.class_names),
        "score_threshold": f"{design.score_threshold:g}",
        "licence": licence or "not stated",
        **_conditions(result or {}),
    }
    return render(
        Path(__file__).with_name("card.md"),
        _metadata(design, about, licence, result),
        {key: escaped(value) for key, value in values.items()}
        | {
            "repository": UNNAMED,
            "arxiv": SSD_PAPER,
            "model": table(("", ""), _model(design, cost, agreement, score, weights)),
            "measured": None if result is None else table(("figure", "value", ""), rows),
            "origin": None if genotype is None else origin(genotype),
            "citation": bibtex(about),
        },
    )


# ---- metadata


def _metadata(design: Design, about: Mapping[str, Any], licence: str | None, result: Mapping[str, Any] | None) -> ModelCardData:
    evaluations = [*_evaluations(result)]
    return ModelCardData(
        library_name="nasarch",
        pipeline_tag="object-detection",
        license=licence,
        tags=[*TAGS, f"arxiv:{SSD_PAPER}", *paper_tags(about)],
        datasets=data_sets(about.get("searched_on")),
        metrics=["map"],
        model_name=f"SSD on {public(design.network)}" if evaluations else None,
        eval_results=evaluations or None,
    )


def _licence(design: Design, result: Mapping[str, Any] | None) -> str | None:
    """That of the pretrained weights that the backbone began with, where timm knows them; None for others, which are their owner's."""
    if (result or {}).get("began_with") != TIMMS or not timm.is_model(design.backbone):
        return None
    return getattr(timm.get_pretrained_cfg(design.backbone), "license", None)


def _data(result: Mapping[str, Any] | None) -> list[str]:
    """What it was evaluated on and trained on, such as bccd/val and bccd/train."""
    parts = [(result or {}).get(key) for key in ("val", "data")]
    return [public(str(part["name"])) for part in parts if isinstance(part, Mapping) and part.get("name")]


def _evaluations(result: Mapping[str, Any] | None) -> Iterator[EvalResult]:
    name = next(iter(_data({"val": (result or {}).get("val")})), "unnamed data")
    for figure, value in _figures(result):
        if value >= 0:
            yield EvalResult(
                task_type="object-detection",
                dataset_type=name,
                dataset_name=name,
                metric_type=figure.lower(),
                metric_name=f"{figure} ({FIGURES[figure]}), %",
                metric_value=round(100 * value, 2),
            )


def _figures(result: Mapping[str, Any] | None) -> list[tuple[str, float]]:
    """COCO's that were measured, 0 to 1; -1 where there was nothing to find."""
    val = (result or {}).get("val") or {}
    return [(name, val[name]) for name in FIGURES if isinstance(val.get(name), (int, float))]


# ---- what it is


def _model(design: Design, cost: DetectorCost, agreement: SsdAgreement, score: float, weights: bytes) -> Iterable[tuple[str, str]]:
    names = escaped(", ".join(design.class_names[:20])) + (", ..." if len(design.class_names) > 20 else "")
    yield "backbone", f"`{design.backbone}`" + ("" if design.genotype is None else f": {escaped(public(design.network))}")
    yield "images", f"any size; resized to {design.size} x {design.size}"
    yield "classes", f"{len(design.class_names)}: {names}"
    yield "heads", f"{design.head}, extra maps of {', '.join(map(str, design.extras))} channels"
    total, backbone = (millions(number) for number in (cost.multi_adds, cost.backbone_multi_adds))
    yield "multi-adds", f"{total}, of which the backbone's are {backbone} (convolutions and linear layers)"
    yield "parameters", f"{cost.parameters:,}"
    yield "ONNX", f"`onnx/model.onnx`, NMS inside, scores above {score:g}; compared with torchvision's SSD: {agreement}"
    yield "sha256 of model.safetensors", f"`{hashlib.sha256(weights).hexdigest()}`"
    yield "written by", f"nasarch {nasarch.__version__}"


def _conditions(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the figures were measured on, and what the training cost."""
    val, settings = result.get("val") or {}, result.get("settings", {})
    return {
        "val_images": val.get("images"),
        "val_data": "".join(f"of {name}" for name in _data({"val": val})),
        "evaluator": val.get("evaluator"),
        "epochs": settings.get("epochs"),
        "batch_size": settings.get("batch_size"),
        "data": next(iter(_data({"data": result.get("data")})), "unnamed data"),
        **{key: result.get(key) for key in ("seed", "seconds", "device")},
    }
