"""Which network makes a detector's maps, and where its weights come from: timm's maps at 1/16 and 1/32 of the image's side.

| backbone | is |
|---|---|
| a name of the zoo, or a genotype's .json file | the network with ImageNet's stem, as `nas_224` with the genotype as plain JSON |
| the folder of a training, or one of timm's (config.json) | that network with its weights |
| any other name that timm knows | timm's, with the weights that it downloads if there are any |
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import timm
from huggingface_hub.utils import logging as hub_logging
from timm.models import clean_state_dict, is_model_pretrained
from torch import Tensor, nn

from nasarch.cells.genotype import Genotype
from nasarch.export.onnx.check import first_line
from nasarch.models.catalogue import find, models_of
from nasarch.models.features import Features
from nasarch.models.network import CellNetwork
from nasarch.models.zoo import GENERIC, MODELS, Model
from nasarch.strict_json import shown

REDUCTIONS = (16, 32)
NETWORK = "nas_224"  # of any genotype, with ImageNet's stem
SIZES = ("cells", "channels")


RANDOM, TIMMS = "random weights", "timm's weights"  # where the first weights of a backbone are from; else the name of a file


class Backbone(NamedTuple):
    """A network by timm's name, what timm needs to build it, and a .safetensors file with its weights.

    `colours` are the mean and std of the images that it was trained on, where they are not those that timm knows.
    """

    name: str
    arguments: dict[str, Any]
    weights: Path | None = None
    colours: Mapping[str, tuple[float, ...]] = MappingProxyType({})


def find_backbone(source: str | os.PathLike[str], *, cells: int | None = None, channels: int | None = None) -> Backbone:
    """What `source` means, see the table. `cells` and `channels` change a cell network's size.

    Raises:
        ValueError: there is no such network, it has no maps at 1/16 and 1/32, or sizes are given for another kind of network.
    """
    text, sizes = os.fspath(source), {key: value for key, value in (("cells", cells), ("channels", channels)) if value is not None}
    if Path(text).is_dir():
        found = _of_folder(Path(text))
    elif timm.is_model(text) and text not in GENERIC and text not in MODELS:
        found = Backbone(text, {})
    else:
        found = _of_cells(text)
    if sizes and found.name not in GENERIC:
        raise ValueError(f"{' and '.join(sizes)} are sizes of cell networks, and {found.name} is none: leave them out")
    if sizes and found.weights is not None:
        raise ValueError(f"{text} has weights of its own size: leave {' and '.join(sizes)} out")
    return found._replace(arguments=found.arguments | sizes)


def _of_cells(text: str) -> Backbone:
    genotype = find(text)
    model = MODELS.get(text) or next((m for m in models_of(genotype) if m.network.stem == "imagenet"), models_of(genotype)[0])
    return Backbone(NETWORK, _arguments(model, genotype))


def _arguments(model: Model, genotype: Genotype) -> dict[str, Any]:
    if model.network.stem != "imagenet":
        large = [m.name for m in models_of(genotype) if m.network.stem == "imagenet"]
        remedy = f"take {large[0]}" if large else "take cells of DARTS' space, such as pc_darts_imagenet"
        raise ValueError(
            f"{model.name} has maps of 1/{model.network.reduction} of the image's side and more; SSD needs 1/16 and 1/32: {remedy}"
        )
    return {"genotype": genotype.to_dict(), "cells": model.network.cells, "channels": model.network.channels}


def _of_folder(folder: Path) -> Backbone:
    place = folder / "model" if (folder / "model" / "config.json").is_file() else folder
    try:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        name, arguments = str(config["architecture"]), dict(config.get("model_args", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no network of timm's ({error!r}); give the folder of a training, or a name") from error
    weights = place / "model.safetensors"
    if name in MODELS:
        named = _of_cells(name)
        arguments, name = named.arguments | {key: arguments[key] for key in SIZES if key in arguments}, named.name
    kept = {key: value for key, value in arguments.items() if key in ("genotype", *SIZES)}
    return Backbone(name, kept, weights if weights.is_file() else None, _colours(config.get("pretrained_cfg"), place))


def _colours(config: Any, place: Path) -> dict[str, tuple[float, ...]]:
    """Mean and std of a pretrained_cfg, those that it has; ValueError if they are none."""
    found = {key: config[key] for key in ("mean", "std") if config.get(key) is not None} if isinstance(config, dict) else {}
    for key, values in found.items():
        if not isinstance(values, list) or len(values) != 3 or not all(type(value) in (int, float) for value in values):
            raise ValueError(f"{place / 'config.json'} has the {key} {shown(values)}, SSD needs a number for each of 3 channels: mend it")
    return {key: tuple(values) for key, values in found.items()}


def build_body(backbone: Backbone, *, pretrained: bool = False) -> nn.Module:
    """The network as timm's list of two maps, /16 and /32; with its weights if there are any and `pretrained` says so.

    Raises:
        ValueError: it can't be built, has no such maps, or its weights can't be had or don't fit.
    """
    name, arguments, weights, colours = backbone
    loads, overlay = pretrained and (weights is not None or is_model_pretrained(name)), dict[str, Any](colours)
    if loads and weights is not None:
        _check_fit(backbone, read_weights(weights), weights)
        overlay["file"] = str(weights)
    extra = {"pretrained": loads, "pretrained_cfg_overlay": overlay} if overlay else {"pretrained": loads}
    try:
        whole = timm.create_model(name, features_only=True, **arguments)
        with without_retries_told():
            return timm.create_model(name, features_only=True, out_indices=_indices(whole, name), **arguments, **extra)
    except Exception as error:  # timm, huggingface_hub and every network raise their own
        remedy = "; --no-pretrained begins with random ones" if loads and weights is None else ""
        raise ValueError(f"can't build the backbone {name}: {first_line(error)}{remedy}") from error


@contextmanager
def without_retries_told() -> Iterator[None]:
    """Let huggingface_hub try again in silence: what comes of it in the end is said in one line."""
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
    kept: Any = twin.feature_info
    reductions = [*kept.reduction()]
    if reductions != [*REDUCTIONS]:
        raise ValueError(
            f"the maps are 1/{', 1/'.join(map(str, reductions))} of the image's side; SSD needs 1/16 and 1/32: choose out_indices"
        )
    return twin, _name_of(twin.model) if isinstance(twin, Features) else None


def _name_of(network: CellNetwork) -> Backbone:
    genotype = network.genotype.to_dict()
    small = timm.create_model(NETWORK, genotype=genotype, cells=3, channels=16, device="meta")
    channels = 16 * network.feature_info[-1]["num_chs"] // small.num_features  # all widths are proportional
    return Backbone(NETWORK, {"genotype": genotype, "cells": len(network.cells), "channels": channels})


def _indices(model: nn.Module, name: str) -> list[int]:
    """Which of the maps are the last ones at 1/16 and 1/32."""
    info: Any = model.feature_info
    reductions = [level["reduction"] for level in info] if isinstance(info, Sequence) else [*info.reduction()]
    if not {*REDUCTIONS} <= {*reductions}:
        raise ValueError(f"{name} has maps of 1/{', 1/'.join(map(str, reductions))} of the image's side; SSD needs 1/16 and 1/32")
    return [len(reductions) - 1 - reductions[::-1].index(wanted) for wanted in REDUCTIONS]


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The weights of a .safetensors file.

    Raises:
        ValueError: it can't be read.
    """
    try:
        with open(path, "rb"):  # its errors are clearer than those of safetensors
            return clean_state_dict(safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"can't read weights from {path}: {reason}; give a .safetensors file") from error


def _check_fit(backbone: Backbone, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise ValueError unless `weights` has all that the network needs below its classifier."""
    network = timm.create_model(backbone.name, **backbone.arguments)
    heads = network.pretrained_cfg.get("classifier") or ()
    own = {
        key: value
        for key, value in network.state_dict().items()
        if key.rsplit(".", 1)[0] not in ([heads] if isinstance(heads, str) else heads)
    }
    check_same(own, {key: value for key, value in weights.items() if key in own}, f"{path} doesn't fit {backbone.name}")


def check_same(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str) -> None:
    """Raise ValueError unless names and shapes are the same: says how many differ, and the first three."""
    differ = [f"{key} is missing" for key in own if key not in weights]
    differ += [f"{key} is unknown" for key in weights if key not in own]
    shared = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    differ += [f"{key} has shape {list(weights[key].shape)} instead of {list(own[key].shape)}" for key in shared]
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise ValueError(f"{what}: {'; '.join(differ[:3])}{more}; give the weights of this very network")
