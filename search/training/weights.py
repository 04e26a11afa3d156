"""Weights from a file into a network, and a trained network into a folder that timm loads. Knows no training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from timm.models import load_state_dict, save_for_hf
from torch import Tensor

from nasarch.atomic import new_folder
from nasarch.models import weight_files
from nasarch.models.network import CellNetwork
from nasarch.models.source import read_json
from nasarch.models.weight_files import NAME, check_cells, read_weights, weights_file, write_folder
from nasarch.runtime.json_files import CONFIG
from nasarch.runtime.run_folder import CHECKPOINT
from nasarch.strict_json import shown

REMEDY = "give a .safetensors file, or the folder model/ of a training"


def load_weights(net: CellNetwork, path: Path, class_names: Sequence[str] = ()) -> None:
    """Load the weights of a file into the network. An auxiliary head keeps its own where the file has none.

    The file is a .safetensors, one by torch.save, a folder for timm, or the checkpoint of a training. If it states the same class names
    in another order, the rows of the classifiers are matched to `class_names`.

    Raises:
        ValueError: they can't be read, or are those of another network: says which differ, or which cells they are for.
    """
    file = weights_file(path)
    weights, cells = _read(file)
    stated = stated_classes(path)
    if stated != tuple(class_names) and _are_permuted(stated, class_names):
        rows = torch.tensor([stated.index(name) for name in class_names])
        weights |= {key: weights[key][rows] for key in weights if key.removeprefix("aux_head.") in ("fc.weight", "fc.bias")}
    own = {key: value for key, value in net.state_dict().items() if key.startswith("aux_head.")}
    loaded = (own | weights) if own else {key: value for key, value in weights.items() if not key.startswith("aux_head.")}
    check_fit(net, loaded, str(path))
    if cells is not None:
        check_same(net, cells, f"{path} holds weights")
    check_cells(file, net.genotype)
    net.load_state_dict(loaded)


def stated_classes(path: Path) -> tuple[str, ...]:
    """Class names in config.json beside the weights of a folder for timm or the checkpoint of a training; () if there are none."""
    file = weights_file(path)
    config = read_json(file.with_name(CONFIG)) if file.name in (NAME, CHECKPOINT) else None
    names = config.get("label_names", config.get("class_names")) if isinstance(config, Mapping) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _are_permuted(stated: Sequence[str], class_names: Sequence[str]) -> bool:
    return len({*stated}) == len(stated) and sorted(stated) == sorted(class_names)


def remark_on_classes(path: Path, class_names: Sequence[str]) -> list[str]:
    """Difference of the classes stated beside the weights from those of the data, in at most one line."""
    stated = stated_classes(path)
    if stated in ((), tuple(class_names)):
        return []
    if _are_permuted(stated, class_names):
        moved = [
            f"{shown(name)} is {stated.index(name)} there, {number} here"
            for number, name in enumerate(class_names)
            if stated[number] != name
        ]
        return [f"{path} has the classes in another order, matched by name ({'; '.join(moved[:8])})"]
    only_there, only_here = (
        ", ".join(map(shown, [name for name in one if name not in other][:8]))
        for one, other in ((stated, class_names), (class_names, stated))
    )
    return [f"{path} holds weights for other classes: {only_there} there, {only_here} here; the classifier is trained on from there"]


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The weights, and of a training's checkpoint the cells."""
    if file.suffix == ".safetensors" or not file.is_file():
        return read_weights(file), None
    try:
        state_dict: dict[str, Any] = load_state_dict(str(file))
        if "stages" not in state_dict:
            return state_dict, None
        state = state_dict["stages"]["training"]
        return state["net"], state.get("cells")
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, EOFError, UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"can't read weights from {file} ({reason}): {REMEDY}") from error


def check_fit(net: CellNetwork, weights: Mapping[str, Tensor], what: str) -> None:
    """Raise ValueError if the weights are not those of this network: says how many differ, and names the first ones."""
    size = f"{what} holds weights of another genotype, size or number of classes ({net.genotype.name}, {net.num_classes} classes here)"
    weight_files.check_fit(net.state_dict(), weights, size, "give the weights of this very network")


def check_same(net: CellNetwork, cells: Mapping[str, Any], what: str) -> None:
    """Raise ValueError if a checkpoint is of other cells, whose weights may have the same names and shapes."""
    if cells != net.genotype.to_dict()["cells"]:
        raise ValueError(
            f"{what} of other cells than those of {net.genotype.name}, with the same names and shapes: give the genotype that they were "
            "trained with, or train this one in another folder"
        )


def save_model(net: CellNetwork, trained: Mapping[str, Tensor], folder: Path, class_names: tuple[str, ...]) -> None:
    """Write `folder` for `timm.create_model("local-dir:FOLDER", pretrained=True)`: config.json and model.safetensors.

    `net` is the network without auxiliary head as timm made it, whose arguments are written down; it gets the `trained` weights.
    `folder` is only there when it is complete; one that is there is replaced. The number of classes is left out of the arguments:
    transformers would give it twice.

    Raises:
        ValueError: it can't be written, for instance on a full disk.
    """
    net.load_state_dict({key: value.cpu() for key, value in trained.items() if not key.startswith("aux_head.")})
    try:
        with new_folder(folder, replace=True) as partial:
            save_for_hf(
                net.eval(), partial, model_config={"label_names": list(class_names)}, safe_serialization=True
            )  # for its config.json
            config: dict[str, Any] = json.loads((partial / "config.json").read_text(encoding="utf-8"))
            config.get("model_args", {}).pop("num_classes", None)
            write_folder(partial, net.state_dict(), config, net.genotype)
            (partial / NAME).chmod((partial / "config.json").stat().st_mode)  # safetensors' own writer lets nobody but the owner read
    except SafetensorError as error:  # of its own writer, on a full disk
        raise ValueError(f"can't write {folder} ({error}); free some space there, and resume the training") from error
