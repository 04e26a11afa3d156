"""Backbones of detectors: timm's feature maps at 1/16 and 1/32 of the image's side, by a name, a genotype or a folder.

| backbone | is |
|---|---|
| a name of the zoo, or a genotype's .json file | the network with ImageNet's stem, as `nas_224` with the genotype as plain JSON |
| the folder of a training, or one of timm's (config.json) | that network with its weights |
| any other name that timm knows | timm's, with the weights that it downloads if there are any |
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import timm
from huggingface_hub.utils import logging as hub_logging
from timm.models import is_model_pretrained
from torch import Tensor, nn

from nasarch.export.errors import first_line
from nasarch.models.catalogue import models_of
from nasarch.models.network import CellNetwork, Features
from nasarch.models.source import ModelSource, find_source
from nasarch.models.weight_files import check_fit, read_weights
from nasarch.models.zoo import GENERIC, MODELS
from nasarch.strict_json import shown

REDUCTIONS = (16, 32)
NETWORK = "nas_224"  # of any genotype, with ImageNet's stem
SIZES = ("cells", "channels")


RANDOM, TIMMS = "random weights", "timm's weights"  # where the first weights of a backbone are from; else the name of a file


class Backbone(NamedTuple):
    """A network by timm's name, what timm needs to build it, and a .safetensors file with its weights.

    `normalization` holds the mean and std of the images that it was trained on, where they are not those that timm knows.
    """

    name: str
    arguments: dict[str, Any]
    weights: Path | None = None
    normalization: Mapping[str, tuple[float, ...]] = MappingProxyType({})


def find_backbone(source: str | os.PathLike[str], *, cells: int | None = None, channels: int | None = None) -> Backbone:
    """What `source` means, see the table. `cells` and `channels` change a cell network's size.

    Raises:
        ValueError: there is no such network, it has no maps at 1/16 and 1/32, or sizes are given for another kind of network.
    """
    text, sizes = os.fspath(source), {key: value for key, value in (("cells", cells), ("channels", channels)) if value is not None}
    network = find_source(source)
    if network.config is not None:
        resolved = _of_folder(network, network.config)
    elif network.genotype is None:
        resolved = Backbone(network.name, {})
    else:
        resolved = Backbone(NETWORK, _arguments(network))
    if sizes and resolved.name not in GENERIC:
        raise ValueError(f"{' and '.join(sizes)} are sizes of cell networks, and {resolved.name} is none: leave them out")
    if sizes and resolved.weights is not None:
        raise ValueError(f"{text} has weights of its own size: leave {' and '.join(sizes)} out")
    return resolved._replace(arguments=resolved.arguments | sizes)


def _arguments(source: ModelSource) -> dict[str, Any]:
    """Genotype, cells and channels of the network with ImageNet's stem."""
    models = models_of(source.cells)
    large = [model for model in models if model.network.stem == "imagenet"]
    model = MODELS.get(source.model or "") or (large or models)[0]
    if model.network.stem != "imagenet":
        remedy = f"take {large[0].name}" if large else "take cells of DARTS' space, such as pc_darts_imagenet"
        raise ValueError(
            f"{model.name} has maps of 1/{model.network.reduction} of the image's side and more; SSD needs 1/16 and 1/32: {remedy}"
        )
    return {"genotype": source.cells.to_dict(), "cells": model.network.cells, "channels": model.network.channels}


def _of_folder(source: ModelSource, config: Mapping[str, Any]) -> Backbone:
    """The network of a folder of timm's; one of the zoo becomes the generic one of its cells."""
    name, saved = str(source.model), dict(config.get("model_args", {}))
    arguments = {key: value for key, value in saved.items() if key in ("genotype", *SIZES)}
    if name in MODELS:
        name, arguments = NETWORK, _arguments(source) | {key: saved[key] for key in SIZES if key in saved}
    return Backbone(name, arguments, source.weights, _normalization(config.get("pretrained_cfg"), source.source))


def _normalization(config: Any, folder: str) -> dict[str, tuple[float, ...]]:
    """Mean and std in a pretrained_cfg; ValueError if they are no three numbers each."""
    statistics = {key: config[key] for key in ("mean", "std") if config.get(key) is not None} if isinstance(config, dict) else {}
    for key, values in statistics.items():
        if not isinstance(values, list) or len(values) != 3 or not all(type(value) in (int, float) for value in values):
            path = f"{folder.removeprefix('local-dir:')}/config.json"
            raise ValueError(f"{path} has the {key} {shown(values)}, SSD needs a number for each of 3 channels: mend it")
    return {key: tuple(values) for key, values in statistics.items()}


def build_body(backbone: Backbone, *, pretrained: bool = False) -> nn.Module:
    """The network as timm's list of two maps, /16 and /32; with its weights if there are any and `pretrained` says so.

    Raises:
        ValueError: it can't be built, has no such maps, or its weights can't be had or don't fit.
    """
    name, arguments, weights, normalization = backbone
    loads, overlay = pretrained and (weights is not None or is_model_pretrained(name)), dict[str, Any](normalization)
    if loads and weights is not None:
        _check_fit(backbone, read_weights(weights), weights)
        overlay["file"] = str(weights)
    extra = {"pretrained": loads, "pretrained_cfg_overlay": overlay} if overlay else {"pretrained": loads}
    try:
        network = timm.create_model(name, features_only=True, **arguments)
        with silent_retries():
            return timm.create_model(name, features_only=True, out_indices=_indices(network, name), **arguments, **extra)
    except Exception as error:  # timm, huggingface_hub and every network raise their own
        remedy = "; --no-pretrained begins with random ones" if loads and weights is None else ""
        raise ValueError(f"can't build the backbone {name}: {first_line(error)}{remedy}") from error


@contextmanager
def silent_retries() -> Iterator[None]:
    """Let huggingface_hub try again in silence: the last error is reported in one line."""
    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()
    try:
        yield
    finally:
        hub_logging.set_verbosity(before)


def body_of(model: nn.Module) -> tuple[nn.Module, Backbone | None]:
    """A copy of `model` as a list of two maps, and what it is called if a file can say that.

    Raises:
        ValueError: it is neither a cell network nor one of timm's made with features_only=True, or it lacks the maps.
    """
    twin, info = copy.deepcopy(model), getattr(model, "feature_info", None)
    if isinstance(twin, CellNetwork):
        twin = Features(twin, _indices(twin, "the model"))
    elif not hasattr(info, "channels"):
        raise ValueError(f"{type(model).__name__} gives no list of maps; make it with timm.create_model(NAME, features_only=True)")
    selected: Any = twin.feature_info
    reductions = [*selected.reduction()]
    if reductions != [*REDUCTIONS]:
        raise ValueError(
            f"the maps are 1/{', 1/'.join(map(str, reductions))} of the image's side; SSD needs 1/16 and 1/32: choose out_indices"
        )
    if not isinstance(twin, Features):
        return twin, None
    network, genotype = twin.model, twin.model.genotype.to_dict()
    small = timm.create_model(NETWORK, genotype=genotype, cells=3, channels=16, device="meta")
    channels = 16 * network.feature_info[-1]["num_chs"] // small.num_features  # all widths are proportional
    return twin, Backbone(NETWORK, {"genotype": genotype, "cells": len(network.cells), "channels": channels})


def _indices(model: nn.Module, name: str) -> list[int]:
    """Which of the maps are the last ones at 1/16 and 1/32."""
    info: Any = model.feature_info
    reductions = [level["reduction"] for level in info] if isinstance(info, Sequence) else [*info.reduction()]
    if not {*REDUCTIONS} <= {*reductions}:
        raise ValueError(f"{name} has maps of 1/{', 1/'.join(map(str, reductions))} of the image's side; SSD needs 1/16 and 1/32")
    return [len(reductions) - 1 - reductions[::-1].index(reduction) for reduction in REDUCTIONS]


def _check_fit(backbone: Backbone, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise ValueError unless `weights` has all that the network needs below its classifier."""
    network = timm.create_model(backbone.name, **backbone.arguments)
    heads = network.pretrained_cfg.get("classifier") or ()
    own = {
        key: value
        for key, value in network.state_dict().items()
        if key.rsplit(".", 1)[0] not in ([heads] if isinstance(heads, str) else heads)
    }
    given = {key: value for key, value in weights.items() if key in own}
    check_fit(own, given, f"{path} doesn't fit {backbone.name}", "give the weights of this very network")
