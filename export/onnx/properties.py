"""Metadata properties of an ONNX file: architecture, classes, preprocessing, genotype, digest of the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

import nasarch
from nasarch.cells.genotype import Genotype
from nasarch.console import printable_line
from nasarch.export.errors import ExportError
from nasarch.export.source.config import configuration, describe, digest
from nasarch.export.source.network import described
from nasarch.strict_json import parse, shown

from .untrusted import UntrustedModel

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
    "preprocessing": "inside: the file takes pixels, uint8 [batch, H, W, C]; `inside, with resizing`: of any height and width; absent where"
    " it takes what mean and std make of them",
    "size_multiple": "height and width may be any multiples of it, input_size being the usual one; absent where they are fixed",
    "calibration": "JSON: how many images of what gave an int8 file its ranges",
    "top1_agreement": "JSON: the share of held-back images to which the file gives the class that float32 gives, and accuracies if known",
    "weights_sha256": "digest of the weights as a safetensors file without metadata",
    "nasarch_version": "version of this package",
}

PREPROCESSING = ("class_names", "mean", "std", "interpolation", "crop_pct", "crop_mode", "architecture")  # not part of the computation
MEASURED = ("precision", "preprocessing", "size_multiple", "calibration", "top1_agreement", "nasarch_version")  # of the file, not the model


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


def compared_properties(file: UntrustedModel, model: nn.Module, shape: tuple[int, int, int], *, named: bool) -> tuple[str, ...]:
    """Which properties of a file are the model's, and which can't be compared, a line each.

    Args:
        named: the user has named the model; else it was built from the properties, so that what only these say is compared with nothing.

    Raises:
        ExportError: one is not the model's.
    """
    classes = getattr(model, "num_classes", None)
    expected = metadata(model, shape, classes or 0)
    unknown = (*MEASURED, *(() if named else PREPROCESSING), *(() if classes else ("num_classes", "class_names")))
    remedy = "give --data as at the export, or export it again" if named else "export it again"
    return checked_properties(file, {key: value for key, value in expected.items() if key not in unknown}, remedy)


def checked_properties(file: UntrustedModel, expected: Mapping[str, str], remedy: str = "export it again") -> tuple[str, ...]:
    """Which properties of a file are the `expected` ones, and which nothing is expected of, a line each.

    Raises:
        ExportError: one is another.
    """
    stated = file.properties
    compared = [key for key in expected if key in stated]
    wrong = [key for key in compared if not _equal(key, stated[key], expected[key])]
    if wrong:
        differences = "; ".join(f"{key} {shown(stated[key])}, of the model {shown(expected[key])}" for key in wrong)
        raise ExportError(f"refused: {file.path} states other properties than the model has: {differences}; {remedy}")
    rest = [printable_line(key[:100]) for key in stated if key not in compared][:50]
    lines = [f"properties equal to the model's: {', '.join(compared)}"] if compared else []
    return (*lines, f"properties that nothing was compared with: {', '.join(rest)}") if rest else tuple(lines)


def _equal(key: str, stated: str, expected: str) -> bool:
    if stated == expected:
        return True
    try:
        one, other = parse(stated.encode()), parse(expected.encode())
        if key == "genotype":
            return bool(Genotype.from_dict(one) == Genotype.from_dict(other))
        if key == "network":
            return bool(one | {"aux_head": False} == other | {"aux_head": False})  # a tower that only serves training is left behind
    except (ValueError, TypeError):
        return False
    return bool(one == other)


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
