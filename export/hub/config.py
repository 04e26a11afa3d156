"""config.json and preprocessor_config.json of a folder for the Hub, as timm, transformers and transformers.js read them.

| file | read by | holds |
|---|---|---|
| config.json | timm, transformers | architecture, model_args, pretrained_cfg (preprocessing), label_names |
| the same | transformers.js | id2label |
| preprocessor_config.json | transformers.js alone | resizing, crop, mean and standard deviation |

There is no model_type: with one, transformers builds a network of that type instead of timm's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from timm.data.constants import DEFAULT_CROP_PCT

from nasarch.cells.genotype import public_genotype
from nasarch.cells.provenance import public
from nasarch.cells.space import NATS
from nasarch.export.errors import ExportError
from nasarch.export.source.config import configuration
from nasarch.export.source.network import generic
from nasarch.models.labels import Labels
from nasarch.models.network import CellNetwork
from nasarch.models.source import ModelSource

KEPT = (
    "crop_pct",
    "crop_mode",
    "interpolation",
    "first_conv",
    "classifier",
    "license",
    "origin_url",
    "paper_name",
    "paper_ids",
)
LANCZOS = 1  # Pillow's number; the only antialiased interpolation of transformers.js, and that in Node.js only


def model_config(model: CellNetwork, origin: ModelSource, labels: Labels | None, size: int | None) -> dict[str, Any]:
    """Content of config.json."""
    genotype = public_genotype(model.genotype).to_dict()
    name, sizes = generic(model, genotype)
    arguments = {"genotype": genotype, **sizes}
    config = {
        "architecture": name,
        "num_classes": model.num_classes,
        "num_features": model.num_features,
        "global_pool": model.global_pool.pool_type,
        "model_args": arguments,
        "pretrained_cfg": _pretrained_cfg(model, origin, arguments, size),
    }
    if labels is not None:
        config["label_names"] = list(labels.names)
        config |= {"label_descriptions": dict(labels.descriptions)} if labels.descriptions else {}
        config["id2label"] = {str(index): labels.descriptions.get(name, name) for index, name in enumerate(labels.names)}
    return config


def preprocessor_config(pretrained_cfg: Mapping[str, Any]) -> dict[str, Any] | None:
    """Content of preprocessor_config.json, for transformers.js; None where that has no such preprocessing.

    It knows resizing of the shorter side or of both, a centre crop, and images of three channels or, unconverted, of one.
    """
    channels, height, width = pretrained_cfg["input_size"]
    mode = pretrained_cfg.get("crop_mode") or "center"
    if channels not in (1, 3) or mode not in ("center", "squash") or (mode == "center" and height != width):
        return None
    resized = [math.floor(side / (pretrained_cfg.get("crop_pct") or DEFAULT_CROP_PCT)) for side in (height, width)]
    return {
        "do_convert_rgb": channels == 3,
        "do_resize": True,
        "size": {"shortest_edge": resized[0]} if mode == "center" else {"height": resized[0], "width": resized[1]},
        "resample": LANCZOS,
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(pretrained_cfg["mean"]),
        "image_std": list(pretrained_cfg["std"]),
    }


def _pretrained_cfg(model: CellNetwork, origin: ModelSource, arguments: Mapping[str, Any], size: int | None) -> dict[str, Any]:
    """The preprocessing and what timm needs for other classes and channels."""
    stated = configuration(model)
    height, width = (size, size) if size is not None else stated["input_size"][1:]
    smallest = model.feature_info[-1]["reduction"]
    if min(height, width) < smallest:
        raise ExportError(f"size {min(height, width)} is too small for {origin.name}; choose {smallest} or more pixels")
    if origin.data is not None and origin.data.statistics is not None:
        stated |= {"mean": origin.data.statistics.mean, "std": origin.data.statistics.std}
    for key in ("mean", "std"):
        values = list(stated[key])
        stated[key] = values if len(values) == model.in_chans else [sum(values) / len(values)] * model.in_chans
    return {
        "input_size": [model.in_chans, height, width],
        "pool_size": [-(-height // smallest), -(-width // smallest)],
        "num_classes": model.num_classes,
        "mean": stated["mean"],
        "std": stated["std"],
        "description": _description(model, arguments, f"{height}x{width}"),
        **{key: stated[key] for key in KEPT if stated.get(key) is not None},
    }


def _description(model: CellNetwork, arguments: Mapping[str, Any], size: str) -> str:
    about, unit = model.genotype.provenance, "cells a stage" if model.genotype.space == NATS.name else "cells"
    origin = f"{about.get('method', model.genotype.name)} cells" + (
        f" searched on {about['searched_on']}" if "searched_on" in about else ""
    )
    return f"{public(origin)}: {arguments['cells']} {unit}, {arguments['channels']} channels, {size} images"
