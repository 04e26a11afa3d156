"""Build a network by a timm name or from a genotype's file, with random weights or those of a safetensors checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from nasarch.cells.space import NATS
from nasarch.compute import seeded
from nasarch.models.catalogue import models_of
from nasarch.models.network import CellNetwork
from nasarch.models.source import find_source
from nasarch.models.weight_files import check_cells, check_fit, read_weights
from nasarch.models.zoo import MODELS

from .config import describe


def build_model(source: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None) -> nn.Module:
    """The model of `source`: a timm name, nasarch's or not, or the path of a genotype's .json file.

    A file becomes the network of the data set that its cell was searched on. With a `checkpoint` (.safetensors) the weights
    are its own, and so is what their shapes tell: classes, input channels, and of a cell network cells, channels,
    auxiliary tower and for a file the stem. Without one the weights are random, always the same.

    Raises:
        ValueError: there is no such model or genotype; the checkpoint can't be read, doesn't fit, or says that it is of other cells.
    """
    if checkpoint is None:
        name, arguments = _network(source, {})
        with seeded(0):
            return timm.create_model(name, **arguments)
    weights = read_weights(checkpoint)
    name, arguments = _network(source, weights)
    arguments |= _sizes(name, arguments, weights)
    empty = timm.create_model(name, **arguments, device="meta")  # takes no memory
    _check(empty, weights, checkpoint, name, "give the name or the genotype file that it was trained with")
    model = timm.create_model(name, **arguments)
    model.load_state_dict(weights)
    return model


def load_weights(model: nn.Module, checkpoint: str | os.PathLike[str]) -> None:
    """Give `model` the weights of a safetensors file.

    Raises:
        ValueError: the file can't be read, doesn't fit, or says that it is of other cells.
    """
    weights = read_weights(checkpoint)
    _check(model, weights, checkpoint, describe(model), "give the weights that were exported")
    model.load_state_dict(weights)


def _check(model: nn.Module, weights: Mapping[str, Tensor], checkpoint: str | os.PathLike[str], name: str, remedy: str) -> None:
    """Raise ValueError unless the weights fit, and are of the same cells, which the names and shapes of weights don't always tell."""
    check_fit(model.state_dict(), weights, f"{checkpoint} doesn't fit {name}", remedy)
    if isinstance(model, CellNetwork):
        check_cells(Path(checkpoint), model.genotype)


def _network(source: str | os.PathLike[str], weights: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """The timm name of `source` and the arguments that it needs."""
    resolved = find_source(source)
    if resolved.model is not None:
        return resolved.model, {}
    models = models_of(resolved.cells)
    stem = "imagenet" if any(key.startswith("stem.1.") for key in weights) else "cifar"
    model = next((m for m in models if weights and m.network.stem == stem), models[0])
    if model.name in MODELS:
        return model.name, {}
    assert model.genotype is not None
    return model.name, {"genotype": model.genotype.to_dict(), "num_classes": model.data.num_classes}


def _sizes(name: str, arguments: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, int | bool]:
    """The sizes of model `name` that the shapes of `weights` tell."""
    config = timm.get_pretrained_cfg(name).to_dict()
    head, stem = (weights.get(f"{config.get(layer)}.weight") for layer in ("classifier", "first_conv"))
    sizes: dict[str, int | bool] = {}
    if head is not None and head.ndim == 2:
        sizes["num_classes"] = head.shape[0]
    if stem is not None and stem.ndim == 4:
        sizes["in_chans"] = stem.shape[1]
    network = timm.create_model(name, **arguments, device="meta")
    cells = len({key.split(".")[1] for key in weights if key.startswith("cells.")})
    if isinstance(network, CellNetwork) and head is not None and cells:
        sizes["cells"] = (cells - 2) // 3 if network.genotype.space == NATS.name else cells
        small = timm.create_model(name, **arguments, cells=3, channels=16, device="meta")
        assert isinstance(small, CellNetwork)
        sizes["channels"] = 16 * head.shape[-1] // small.num_features  # all widths are proportional
        sizes["aux_head"] = any(key.startswith("aux_head.") for key in weights)
    return sizes
