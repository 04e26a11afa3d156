"""Model sources: what NAME, FILE or RUN mean on the command line and in Python, decided here alone.

| source | cells | weights and preprocessing | results |
|---|---|---|---|
| a name of the zoo | the zoo's | those that the package has (shipped.py), else random ones | its card |
| another name of timm's | - | random | - |
| a genotype's .json file, or a printed genotype | its | random | - |
| the folder of a search | genotype.json | random, or model.safetensors beside it | result.json |
| the folder of a training | config.json | model/, a folder of timm's | result.json |
| a folder of timm's, such as `nasarch export hub` writes | config.json, if it is made of cells | it | result.json |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm

from nasarch.cells.genotype import Genotype
from nasarch.cells.provenance import public
from nasarch.console import command_line
from nasarch.strict_json import parse

from . import shipped
from .catalogue import find
from .labels import KNOWN, Labelled, data_name, identified, known
from .results import measured_results
from .weight_files import NAME as WEIGHTS
from .zoo import CIFAR10, CIFAR100, GENERIC, IMAGENET1K, MODELS

DATA_NAMES = {CIFAR10: "cifar10", CIFAR100: "cifar100", IMAGENET1K: "imagenet"}


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model source: a network by name or by its cells, its weights, and what is known of them.

    Args:
        source: the argument of `timm.create_model` if `pretrained`; else a name of timm's or a genotype's file.
        name: the model's, or the genotype's.
        genotype: None for a network that is not made of cells.
        model: timm's name of the network, if the source says it.
        weights: a .safetensors file.
        pretrained: timm loads `source` with its weights and its preprocessing.
        config: config.json of a folder of timm's.
        data: what the logits stand for, if that is known.
        results: measured with these weights.
    """

    source: str
    name: str
    genotype: Genotype | None = None
    model: str | None = None
    weights: Path | None = None
    pretrained: bool = False
    config: Mapping[str, Any] | None = None
    data: Labelled | None = None
    results: tuple[Mapping[str, Any], ...] = ()

    @property
    def random(self) -> bool:
        """Whether the weights are random."""
        return self.weights is None and not self.pretrained

    @property
    def cells(self) -> Genotype:
        """The genotype.

        Raises:
            ValueError: the network is not made of cells.
        """
        if self.genotype is None:
            raise ValueError(
                f"{self.name} is not made of cells: give a name that `nasarch models` lists, a genotype's .json file, or the folder of a "
                "search or training"
            )
        return self.genotype


def find_source(source: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None, data: str | None = None) -> ModelSource:
    """Resolve NAME, FILE or RUN, see the table.

    Args:
        checkpoint: weights (.safetensors) instead of its own.
        data: name of the data set that the weights were trained on, a key of `labels.KNOWN`, if the source doesn't say it.

    Raises:
        ValueError: there is no such thing, or a file of the folder is damaged: names it and the remedy.
    """
    text = os.fspath(source)
    resolved = _of_folder(Path(text)) if os.path.isdir(text) and text not in MODELS else _of_text(text)
    if checkpoint is not None:
        if resolved.config is not None and resolved.pretrained:
            raise ValueError(f"{text} has weights of its own; with --checkpoint give a genotype's .json file or a model's name")
        resolved = replace(resolved, weights=Path(checkpoint), pretrained=False, data=None, results=())
    if data is None:
        return resolved
    named = known(data)
    if named is None:
        raise ValueError(f"data {data!r}; known are {', '.join(KNOWN)}: give one of them or leave it out")
    return replace(resolved, data=named._replace(statistics=None) if resolved.pretrained else named)


def find_sources(source: str | os.PathLike[str]) -> list[tuple[str, ModelSource]]:
    """Resolve the folder of a search over several seeds to the cells of each seed and their consensus, any other source to itself.

    Returns:
        Folders and sources; for what is no folder with genotype.json its own text.

    Raises:
        ValueError: as `find_source`.
    """
    folder = Path(source)
    seeds = sorted(folder.glob("seed-*"), key=lambda path: (len(path.name), path.name))
    folders = [one for one in (folder, *seeds, folder / "consensus") if (one / "genotype.json").is_file()] if os.fspath(source) else []
    return [(str(one), find_source(one)) for one in folders] or [(os.fspath(source), find_source(source))]


def _of_text(text: str) -> ModelSource:
    if timm.is_model(text) and text not in MODELS and text not in GENERIC:
        return ModelSource(source=text, name=text, model=text)
    genotype = find(text)
    if text not in MODELS:
        return ModelSource(source=text, name=genotype.name, genotype=genotype)
    if shipped.weights(text) is None:
        return ModelSource(source=text, name=text, genotype=genotype, model=text, data=KNOWN[DATA_NAMES[MODELS[text].data]])
    card = shipped.card(text)
    data = _trained_on(card["data"], card["inputs"]["label_names"])
    assert data is not None
    results = measured_results({**card, "test": card["file"]}, data.title, f"the card of {text}")
    return ModelSource(source=text, name=text, genotype=genotype, model=text, pretrained=True, data=data, results=results)


def _of_folder(folder: Path) -> ModelSource:
    for saved in (folder / "model", folder):
        config = read_json(saved / "config.json")
        if isinstance(config, Mapping) and "detector" in config:
            raise ValueError(f"{folder} holds a detector: `{command_line('export', 'ssd', folder, '-o', 'model.onnx')}` exports it")
        if isinstance(config, Mapping) and ("architecture" in config or "pretrained_cfg" in config):
            return _of_timm(folder, saved, config)
    path = folder / "genotype.json"
    if path.is_file():
        genotype, weights = Genotype.load(path), folder / WEIGHTS
        results = measured_results(read_json(folder / "result.json"), None, str(folder / "result.json"))
        found = weights if weights.is_file() else None
        return ModelSource(source=str(path), name=genotype.name, genotype=genotype, weights=found, results=results)
    inside = sorted({found.parent.name for pattern in ("*/genotype.json", "*/result.json") for found in folder.glob(pattern)})
    remedy = f"give one of its folders: {', '.join(inside[:5])}" if inside else "give the folder of a finished search or training"
    raise ValueError(f"{folder} has neither genotype.json nor a trained model; {remedy}")


def _of_timm(folder: Path, saved: Path, config: Mapping[str, Any]) -> ModelSource:
    """The network that timm loads from `saved`, and what the training in `folder` says of it."""
    run = read_json(folder / "config.json") if saved != folder else {}
    try:
        model = str(config["architecture"])
        cells = (run or {}).get("genotype") or config.get("model_args", {}).get("genotype")
        genotype = Genotype.from_dict(cells) if cells is not None else find(model) if model in MODELS else None
        data = _trained_on((run or {}).get("data", {}), config.get("label_names"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder} holds no training of nasarch ({error!r}); give a folder that `nasarch train` wrote") from error
    path, weights = folder / "result.json", saved / WEIGHTS
    return ModelSource(
        source=f"local-dir:{saved}",
        name=model if model in MODELS or genotype is None else genotype.name,
        genotype=genotype,
        model=model,
        weights=weights if weights.is_file() else None,
        pretrained=weights.is_file(),
        config=config,
        data=data,
        results=measured_results(read_json(path), None if data is None else data.title, str(path)),
    )


def _trained_on(data: Mapping[str, Any], class_names: Any) -> Labelled | None:
    """The data set of a training with the class names that it wrote down, identified by these; its statistics are the saved model's."""
    name, names = data.get("name"), tuple(map(str, class_names or ()))
    if name is None and not names:
        return None
    title = "unnamed data" if name is None else public(data_name(str(name), names, [data.get("images")]))
    dataset = identified(name, names, [data.get("images")]) or Labelled(title, None, None, ())
    return dataset._replace(statistics=None, class_names=names)


def read_json(path: Path) -> Any:
    """The content of a JSON file; None if there is no such file.

    Raises:
        ValueError: it can't be read.
    """
    if not path.is_file():
        return None
    try:
        return parse(path.read_bytes(), limit=None)
    except (OSError, ValueError) as error:
        raise ValueError(f"can't read {path}: {error}; mend it or move it away") from error
