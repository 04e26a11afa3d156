"""Weights from a file into a network, and a trained network into a folder that timm loads. Knows no training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from timm.models import load_state_dict, save_for_hf
from torch import Tensor

from nasarch.network import CellNetwork

SHOWN = 10  # keys in a message


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a .safetensors file, a file by torch.save, a folder for timm, or the checkpoint of a training.

    Raises:
        ValueError: there are none.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    try:
        found: dict[str, Any] = load_state_dict(str(file))
        return found["stages"]["training"]["net"] if "stages" in found else found
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, EOFError, UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"can't read weights from {file} ({reason}): give a .safetensors file, or the folder model/ of a training"
        ) from error


def load_weights(net: CellNetwork, path: Path) -> None:
    """Put the weights of a file into the network. An auxiliary head keeps its own where the file has none.

    Raises:
        ValueError: they can't be read, or are those of another network: says which differ.
    """
    weights = read_weights(path)
    own = {key: value for key, value in net.state_dict().items() if key.startswith("aux_head.")}
    taken = (own | weights) if own else {key: value for key, value in weights.items() if not key.startswith("aux_head.")}
    check_fit(net, taken, str(path))
    net.load_state_dict(taken)


def check_fit(net: CellNetwork, weights: Mapping[str, Tensor], what: str) -> None:
    """Raise ValueError if the weights are not those of this network: names the first ten that differ, and says how many do."""
    own = net.state_dict()
    differ = [f"{key} is missing" for key in own if key not in weights]
    differ += [f"{key} is not of this network" for key in weights if key not in own]
    differ += [
        f"{key} is {list(weights[key].shape)} instead of {list(own[key].shape)}"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    if differ:
        more = f", and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
        raise ValueError(
            f"{what} holds weights of another genotype, size or number of classes ({net.genotype.name}, {net.num_classes} classes here): "
            f"{'; '.join(differ[:SHOWN])}{more}"
        )


def save_model(net: CellNetwork, trained: Mapping[str, Tensor], folder: Path, class_names: tuple[str, ...]) -> None:
    """Write `folder` for `timm.create_model("local-dir:FOLDER", pretrained=True)`: config.json and model.safetensors.

    `net` is the network without auxiliary head as timm made it, whose arguments are written down; it gets the `trained` weights.
    `folder` is only there when it is complete. The number of classes is left out of the arguments: transformers would give it twice.
    """
    net.load_state_dict({key: value.cpu() for key, value in trained.items() if not key.startswith("aux_head.")})
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    net = net.to(memory_format=torch.contiguous_format).eval()
    save_for_hf(net, partial, model_config={"label_names": list(class_names)}, safe_serialization=True)
    for file in partial.iterdir():
        file.chmod((partial / "config.json").stat().st_mode)  # safetensors' own writer lets nobody but the owner read
    config: dict[str, Any] = json.loads((partial / "config.json").read_text(encoding="utf-8"))
    config.get("model_args", {}).pop("num_classes", None)
    (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
