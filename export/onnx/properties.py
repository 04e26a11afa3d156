"""Metadata properties of an ONNX file: architecture, classes, preprocessing, genotype, digest of the weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from torch import nn

import nasarch
from nasarch.export.errors import ExportError
from nasarch.export.source.config import configuration, describe, digest
from nasarch.export.source.network import described

PROPERTIES = {
    "architecture": "timm's name of the model",
    "num_classes": "number of logits",
    "class_names": "JSON list in the order of the logits; absent when unknown",
    "input_size": "JSON [C, H, W]",
    "mean": "JSON, a number a channel, of pixels in 0..1",
    "std": "JSON, likewise",
    "interpolation": "how images are resized",
    "crop_pct": "input size / size to which images are resized before the centre crop",
    "crop_mode": "timm's: center (the default), squash or border",
    "genotype": "JSON that nasarch.Genotype.from_dict reads",
    "network": "JSON: the generic model of the zoo and the arguments that build the network of that genotype",
    "precision": "float32, float16 or int8",
    "preprocessing": "inside: the file takes pixels, uint8 [batch, H, W, C]; absent where it takes what mean and std make of them",
    "size_multiple": "height and width may be any multiples of it, input_size being the usual one; absent where they are fixed",
    "calibration": "JSON: how many images of what gave an int8 file its ranges",
    "top1_agreement": "JSON: the share of held-back images to which the file gives the class that float32 gives, and accuracies if known",
    "weights_sha256": "digest of the weights as a safetensors file without metadata",
    "nasarch_version": "version of this package",
}


def metadata(model: nn.Module, shape: tuple[int, int, int], num_classes: int, class_names: Sequence[str] | None = None) -> dict[str, str]:
    """Those of `PROPERTIES` that are known of `model`, for images of `shape` [C, H, W] and `num_classes` logits.

    `class_names` are by default the `label_names` of the model's `pretrained_cfg`, if their number is right.

    Raises:
        ExportError: there is not one class name for each logit.
    """
    config, genotype = configuration(model), _genotype(model)
    known: dict[str, Any] = {
        "architecture": describe(model),
        "num_classes": num_classes,
        "class_names": _class_names(config.get("label_names"), class_names, num_classes),
        "input_size": shape,
        **{key: config[key] for key in ("mean", "std") if len(config.get(key, ())) == shape[0]},
        "interpolation": config.get("interpolation"),
        "crop_pct": config.get("crop_pct"),
        "crop_mode": config.get("crop_mode"),
        "genotype": genotype,
        "network": described(model, genotype),
        "precision": "float32",
        "weights_sha256": digest(model),
        "nasarch_version": nasarch.__version__,
    }
    return {key: as_property(value) for key, value in known.items() if value is not None}


def as_property(value: Any) -> str:
    """A string as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _genotype(model: nn.Module) -> dict[str, Any] | None:
    """The model's genotype as a plain dict, without its source: the command line of a search may name local paths."""
    genotype = getattr(model, "genotype", None)
    if genotype is None:
        return None
    value = genotype.to_dict()
    value["provenance"].pop("source", None)
    return value


def _class_names(known: Sequence[str] | None, given: Sequence[str] | None, num_classes: int) -> list[str] | None:
    if given is not None and (isinstance(given, str) or len(given) != num_classes):
        shown = str(given)[:60]
        raise ExportError(f"class names {shown!r} for {num_classes} logits; give a list of {num_classes} in the order of the logits")
    names = known if given is None else given
    return list(names) if names is not None and len(names) == num_classes else None
