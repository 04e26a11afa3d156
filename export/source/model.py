"""Which model leaves the package: a timm name or a genotype's file, with random weights or those of a safetensors checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import timm
from timm.models import clean_state_dict
from torch import Tensor, nn

from nasarch.cells.space import NATS
from nasarch.compute import seeded
from nasarch.models.catalogue import find, models_of
from nasarch.models.network import CellNetwork
from nasarch.models.weight_files import check_cells
from nasarch.models.zoo import GENERIC, MODELS


def describe(model: nn.Module) -> str:
    """What to call `model`: its timm name if it has one, else its class."""
    return (getattr(model, "pretrained_cfg", None) or {}).get("architecture") or type(model).__name__


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
    weights = _read(checkpoint)
    name, arguments = _network(source, weights)
    arguments |= _sizes(name, arguments, weights)
    empty = timm.create_model(name, **arguments, device="meta")  # takes no memory
    misfit = _misfit(empty.state_dict(), weights)
    if misfit:
        raise ValueError(f"{checkpoint} doesn't fit {name}: {misfit}; give the name or the genotype file that it was trained with")
    _check_cells(empty, checkpoint)
    model = timm.create_model(name, **arguments)
    model.load_state_dict(weights)
    return model


def load_weights(model: nn.Module, checkpoint: str | os.PathLike[str]) -> None:
    """Give `model` the weights of a safetensors file.

    Raises:
        ValueError: the file can't be read, doesn't fit, or says that it is of other cells.
    """
    weights = _read(checkpoint)
    misfit = _misfit(model.state_dict(), weights)
    if misfit:
        raise ValueError(f"{checkpoint} doesn't fit {describe(model)}: {misfit}; give the weights that were exported")
    _check_cells(model, checkpoint)
    model.load_state_dict(weights)


def _check_cells(model: nn.Module, checkpoint: str | os.PathLike[str]) -> None:
    """Raise ValueError if the checkpoint says that it is of other cells, which the names and shapes of weights don't always tell."""
    if isinstance(model, CellNetwork):
        check_cells(Path(checkpoint), model.genotype)


def _network(source: str | os.PathLike[str], weights: dict[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """The timm name of `source` and the arguments that it needs."""
    text = os.fspath(source)
    if timm.is_model(text) and text not in GENERIC:
        return text, {}
    models = models_of(find(text))
    stem = "imagenet" if any(key.startswith("stem.1.") for key in weights) else "cifar"
    model = next((m for m in models if weights and m.network.stem == stem), models[0])
    if model.name in MODELS:
        return model.name, {}
    assert model.genotype is not None
    return model.name, {"genotype": model.genotype.to_dict(), "num_classes": model.data.num_classes}


def _read(checkpoint: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The weights of a safetensors file, without the prefixes that wrappers of a model leave in their names."""
    try:
        with open(checkpoint, "rb"):  # its errors are clearer than those of safetensors
            return clean_state_dict(safetensors.torch.load_file(checkpoint))
    except (OSError, safetensors.SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        remedy = "give a file that safetensors.torch.save_file(model.state_dict(), 'weights.safetensors') wrote"
        raise ValueError(f"can't read weights from {checkpoint}: {reason}; {remedy}") from error


def _sizes(name: str, arguments: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, int | bool]:
    """The sizes of model `name` that the shapes of `weights` tell."""
    config = timm.get_pretrained_cfg(name).to_dict()
    head, stem = (weights.get(f"{config.get(layer)}.weight") for layer in ("classifier", "first_conv"))
    found: dict[str, int | bool] = {}
    if head is not None and head.ndim == 2:
        found["num_classes"] = head.shape[0]
    if stem is not None and stem.ndim == 4:
        found["in_chans"] = stem.shape[1]
    network = timm.create_model(name, **arguments, device="meta")
    cells = len({key.split(".")[1] for key in weights if key.startswith("cells.")})
    if isinstance(network, CellNetwork) and head is not None and cells:
        found["cells"] = (cells - 2) // 3 if network.genotype.space == NATS.name else cells
        small = timm.create_model(name, **arguments, cells=3, channels=16, device="meta")
        assert isinstance(small, CellNetwork)
        found["channels"] = 16 * head.shape[-1] // small.num_features  # all widths are proportional
        found["aux_head"] = any(key.startswith("aux_head.") for key in weights)
    return found


def _misfit(own: dict[str, Tensor], weights: dict[str, Tensor]) -> str:
    """How `weights` differ from the weights `own` of a model in names and shapes; empty if they don't."""
    common = [key for key in own if key in weights]
    kinds = {
        "missing": [key for key in own if key not in weights],
        "unknown": sorted(weights.keys() - own.keys()),
        "of another shape": [
            f"{key} {[*weights[key].shape]} instead of {[*own[key].shape]}" for key in common if weights[key].shape != own[key].shape
        ],
    }
    return ", ".join(f"{len(keys)} weights {kind} ({_few(keys)})" for kind, keys in kinds.items() if keys)


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
