"""Pretrained weights in the package: weights/NAME.safetensors for the model NAME, and weights/NAME.json, how they came about.

The JSON is the result that `nasarch train` writes (recipe, data with digest, epochs, seed, device, versions, test accuracy), and under
"changed" what differs from the recipe, under "file" the file's own precision, digest and test accuracy, under "inputs" how images are
prepared. `python -m nasarch.search.training.ship RUN` makes both from a training's folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "weights"
SHALLOW = "_shallow"  # ends the names of eDARTS' networks of 5 cells and 16 channels


def names() -> frozenset[str]:
    """The models that have weights."""
    return frozenset(file.stem for file in FOLDER.glob("*.safetensors"))


def weights(name: str) -> Path | None:
    """The file of weights of the model `name`, if there is one."""
    file = FOLDER / f"{name}.safetensors"
    return file if file.is_file() else None


def card(name: str) -> dict[str, Any]:
    """Training record of the weights of the model `name`."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")))


def configuration(name: str) -> dict[str, Any]:
    """timm's configuration of the weights of the model `name`: their file, how images are prepared, the classes. Empty without weights."""
    file = weights(name)
    if file is None:
        return {}
    inputs = card(name)["inputs"]
    return {"file": str(file)} | {key: tuple(value) if isinstance(value, list) else value for key, value in inputs.items()}


def accuracy(name: str) -> float:
    """Top-1 accuracy in percent of the weights of the model `name` on the test images of the data that they were trained on."""
    return float(card(name)["file"]["top1"])


def training(name: str) -> str:
    """Training of the weights of the model `name`, in a line: data, recipe and what of it was changed, epochs, seed, device."""
    about = card(name)
    changed = " and ".join(f"{key.replace('_', ' ')} {value}" for key, value in about["changed"].items())
    how = f"recipe {about['recipe']['name']}{' with ' if changed else ''}{changed}"
    return f"trained on {about['data']['name']}, {how}, {about['epochs']} epochs, seed {about['seed']}, {about['device']}"
