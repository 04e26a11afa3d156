"""Bundle weights into the package: `python -m nasarch.search.training.ship RUN`, in a checkout that is installed by `pip install -e`.

Writes nasarch/weights/NAME.safetensors in half precision, which the test images are read for once more, and NAME.json, what
nasarch/models/shipped.py describes. NAME is the model's, or `<genotype>_shallow` for eDARTS' network of 5 cells and 16 channels.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from nasarch.atomic import atomic_path, write_text
from nasarch.models import shipped
from nasarch.models.catalogue import models_of
from nasarch.models.network import CellNetwork
from nasarch.models.source import find_source
from nasarch.models.weight_files import as_safetensors
from nasarch.models.zoo import MODELS, SHALLOW, create_model
from nasarch.runtime.json_files import read_object
from nasarch.runtime.run_folder import as_json

from .evaluate import Score, evaluate
from .plan import resumed
from .recipes import recipe

NEEDED = "give the folder that `nasarch train` wrote, with all of its files"
INPUTS = ("mean", "std", "interpolation", "crop_pct", "crop_mode")  # of timm's configuration: how the images were prepared


def ship(run: Path, folder: Path = shipped.FOLDER) -> Path:
    """Put the weights of the finished training in `run` into `folder`; returns their file.

    Raises:
        ValueError: there is no finished, tested training, or its network is none of the zoo's.
    """
    result, config, timms = (read_object(run / name, NEEDED) for name in ("result.json", "config.json", "model/config.json"))
    if result["test"] is None:
        raise ValueError(f"{run} was trained with --no-test: how good its weights are is not known")
    name = _name(config)
    trained = load_file(run / "model" / "model.safetensors")
    state = {key: value.half() if value.is_floating_point() else value for key, value in trained.items()}
    score = _score(run, name, state)
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.safetensors"
    with atomic_path(path) as temporary:
        temporary.write_bytes(as_safetensors(state, find_source(config["source"]).cells))
    about = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "precision": "float16",
        "top1": score.top1,
        "loss": score.loss,
        "images": score.images,
    }
    inputs = {key: timms["pretrained_cfg"][key] for key in INPUTS} | {"label_names": timms["label_names"]}
    defaults = asdict(recipe(result["recipe"]["name"]).settings)
    changed = {key: value for key, value in config["settings"].items() if key != "epochs" and value != defaults[key]}
    run_facts = {"command": _command(config["command"]), "settings": config["settings"], "changed": changed}
    card = result | run_facts | {"inputs": inputs, "file": about}
    write_text(path.with_suffix(".json"), as_json(card))
    return path


def _name(config: dict[str, Any]) -> str:
    """Name of the zoo's model whose cells and size were trained."""
    genotype, settings = find_source(config["source"]).cells, config["settings"]
    known = MODELS.get(config["model"])
    if known is None or models_of(genotype)[0].name not in MODELS:
        raise ValueError(f"{config['source']} is no genotype of the zoo: put its .json into genotypes/ first")
    network = known.network
    size = (settings["cells"] or network.cells, settings["channels"] or network.channels)
    if size == (network.cells, network.channels):
        return known.name
    if network.stem == SHALLOW.stem and size == (SHALLOW.cells, SHALLOW.channels):
        return genotype.name + shipped.SHALLOW
    raise ValueError(
        f"{size[0]} cells and {size[1]} channels are no network of the zoo: {network.cells} and {network.channels}, or 5 and 16"
    )


def _score(run: Path, name: str, state: dict[str, Tensor]) -> Score:
    """On the test images, computed in float32 with the halved weights."""
    _, settings, job, genotype = resumed(run)
    data = job.dataset.load()
    assert data.test is not None
    sizes: dict[str, Any] = {"cells": settings.cells, "channels": settings.channels, "num_classes": data.num_classes}
    given = {key: value for key, value in sizes.items() if value is not None}
    net = create_model(name.removesuffix(shipped.SHALLOW), **given)
    assert isinstance(net, CellNetwork)
    if net.genotype != genotype:
        raise ValueError(f"the cells of {run} are not those that the zoo has as {net.genotype.name}: train those of the zoo")
    net.load_state_dict(state)
    return evaluate(net, data.test, data, batch_size=settings.batch_size, device=torch.device("cpu"), workers=job.dataset.workers)


def _command(words: str) -> str:
    """Without the folders of the machine that it ran on."""
    parts, words_kept = shlex.split(words), list[str]()
    while parts:
        part = parts.pop(0)
        if part in ("--out", "--resume"):
            parts = parts[1:]
        elif not part.startswith(("--out=", "--resume=")):
            words_kept.append(part)
    return shlex.join(words_kept)


def main(arguments: Sequence[str]) -> int:
    """Ship each of the named runs."""
    try:
        for run in arguments:
            print(f"wrote {ship(Path(run))}")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
