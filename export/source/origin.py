"""What is to leave the package: a name of the zoo, a genotype's file, or the folder of a search or a training.

| source | cells | weights and preprocessing | figures |
|---|---|---|---|
| a name | the zoo | those that the package has (nasarch/models/shipped.py), else random ones | its card |
| the folder of a search | genotype.json | random weights, or model.safetensors beside it | - |
| the folder of a training | config.json | model/, a folder of timm's | result.json |
| a folder of timm's itself, such as export/hub/folder.py writes | its config.json | it | result.json |

result.json may hold what `nasarch train` writes, or results as nasarch/cells/provenance.py has them: one, a list, or an object with
`results`.
Nothing of this machine leaves: of paths in the texts only the last part is kept.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nasarch.cells import provenance
from nasarch.cells.genotype import Genotype
from nasarch.models import shipped
from nasarch.models.catalogue import find
from nasarch.models.zoo import CIFAR10, CIFAR100, IMAGENET1K, MODELS
from nasarch.strict_json import plain

from .labels import KNOWN, Labelled, known

PATH = re.compile(r"(?<![\w:/\\])(?:file:|~[\w-]*|\.{1,2}|[A-Za-z]:)?(?:[/\\]+[^\s/\\'\",;:]+)*[/\\]+([^\s/\\'\",;:]+)[/\\]*")
NAMES = {CIFAR10: "cifar10", CIFAR100: "cifar100", IMAGENET1K: "imagenet"}
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What to build, and what is known of its weights.

    `source` is what `build_model` takes, or timm if `whole`: then it brings its weights and its preprocessing. Else the weights
    are those of `checkpoint`, or random. `data` is what the logits stand for, if that is known.
    """

    source: str
    name: str
    genotype: Genotype
    checkpoint: Path | None = None
    whole: bool = False
    data: Labelled | None = None
    results: tuple[Mapping[str, Any], ...] = ()

    @property
    def random(self) -> bool:
        return self.checkpoint is None and not self.whole


def find_origin(source: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None, data: str | None = None) -> Origin:
    """What `source` means: a name of the zoo, a genotype's .json file, or a folder as above.

    Args:
        checkpoint: weights (.safetensors) for the cells.
        data: name of the data set that the weights were trained on, a key of `labels.KNOWN`, if the folder doesn't say it.

    Raises:
        ValueError: there is no such thing, or a file of the folder is damaged: names it and the remedy.
    """
    text = os.fspath(source)
    origin = _of_folder(Path(text)) if text and Path(text).is_dir() and text not in MODELS else _of_text(text)
    if checkpoint is not None:
        if origin.whole and origin.source != text:
            raise ValueError(f"{text} has weights of its own; with --checkpoint give a genotype's .json file or a model's name")
        origin = replace(origin, checkpoint=Path(checkpoint), whole=False, data=None, results=())
    if data is None:
        return origin
    named = _named(data)
    return replace(origin, data=named._replace(statistics=None) if origin.whole else named)


def _named(data: str) -> Labelled:
    found = known(data)
    if found is None:
        raise ValueError(f"data {data!r}; known are {', '.join(KNOWN)}: give one of them or leave it out")
    return found


def _of_text(text: str) -> Origin:
    genotype = find(text)
    if text not in MODELS:
        return Origin(source=text, name=genotype.name, genotype=genotype)
    if shipped.weights(text) is not None:
        return _of_package(text, genotype)
    return Origin(source=text, name=text, genotype=genotype, data=KNOWN[NAMES[MODELS[text].data]])


def _of_package(name: str, genotype: Genotype) -> Origin:
    """The model of that name with the weights that the package has, whose card says the accuracy of that very file."""
    card = shipped.card(name)
    data = _trained_on(card["data"]["name"], card["inputs"]["label_names"])
    assert data is not None
    results = _results({**card, "test": card["file"]}, data.title, f"the card of {name}")
    return Origin(source=name, name=name, genotype=genotype, whole=True, data=data, results=results)


def _of_folder(folder: Path) -> Origin:
    for place in (folder / "model", folder):
        config = _json(place / "config.json") if (place / WEIGHTS).is_file() else None
        if isinstance(config, Mapping) and "detector" in config:
            raise ValueError(f"{folder} holds a detector: `nasarch export ssd {folder} -o model.onnx` exports it")
        if isinstance(config, Mapping) and "pretrained_cfg" in config:
            return _of_training(folder, place, config)
    path = folder / "genotype.json"
    if path.is_file():
        genotype, weights = Genotype.load(path), folder / WEIGHTS
        found = weights if weights.is_file() else None
        return Origin(source=str(path), name=genotype.name, genotype=genotype, checkpoint=found, results=_results_in(folder, None))
    inside = sorted({found.parent.name for pattern in ("*/genotype.json", "*/result.json") for found in folder.glob(pattern)})
    remedy = f"give one of its folders: {', '.join(inside[:5])}" if inside else "give the folder of a finished search or training"
    raise ValueError(f"{folder} has neither genotype.json nor a trained model; {remedy}")


def _of_training(folder: Path, saved: Path, config: Mapping[str, Any]) -> Origin:
    """The training in `folder`, whose model timm loads from `saved` with `config`."""
    run = _json(folder / "config.json") if saved != folder else {}
    try:
        model = str(config["architecture"])
        cells = run.get("genotype") or config.get("model_args", {}).get("genotype")
        genotype = find(model) if cells is None else Genotype.from_dict(cells)
        data = _trained_on(run.get("data", {}).get("name"), config.get("label_names"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder} holds no training of nasarch ({error!r}); give a folder that `nasarch train` wrote") from error
    name = model if model in MODELS else genotype.name
    results = _results_in(folder, None if data is None else data.title)
    return Origin(source=f"local-dir:{saved}", name=name, genotype=genotype, whole=True, data=data, results=results)


def _trained_on(name: Any, class_names: Any) -> Labelled | None:
    """The data set that a training names, with the class names that it wrote down; its statistics are those of the saved model."""
    if name is None and not class_names:
        return None
    found = known(name) or Labelled("unnamed data" if name is None else public(str(name)), None, None, ())
    return found._replace(statistics=None, class_names=tuple(map(str, class_names or ())))


def _results_in(folder: Path, data: str | None) -> tuple[Mapping[str, Any], ...]:
    """The results in result.json, of `data` unless they name another."""
    return _results(_json(folder / "result.json"), data, str(folder / "result.json"))


def _results(value: Any, data: str | None, place: str) -> tuple[Mapping[str, Any], ...]:
    if isinstance(value, Mapping) and isinstance(value.get("test"), Mapping):
        value = [*_of_test(value, data)]
    elif isinstance(value, Mapping):
        value = value["results"] if "results" in value else [value] if "metric" in value else []
    try:
        found = provenance.checked({"results": value or []})["results"]
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    return tuple(public(plain(result)) for result in found)


def _of_test(value: Mapping[str, Any], data: str | None) -> Iterator[dict[str, Any]]:
    """What `nasarch train` measured, as results."""
    test, recipe, images = value["test"], value.get("recipe", {}), value.get("data", {})
    name = images.get("name") if isinstance(images, Mapping) else None
    begun = value.get("begun_from")
    conditions = {
        "data": name if name != data else None,  # a copy of a known data set, such as cifar10-jpeg
        "recipe": recipe.get("name") if isinstance(recipe, Mapping) else None,
        "weights of the": value.get("weights"),
        "begun from weights of SHA-256": begun.get("sha256") if isinstance(begun, Mapping) else None,
    }
    said = [f"{key} {known}" for key, known in conditions.items() if known] + [str(value["device"])] * ("device" in value)
    said += [f"{key} {changed}" for key, changed in value.get("changed", {}).items()]
    for key, metric in (("top1", "test accuracy"), ("top5", "top-5 test accuracy")):
        if type(test.get(key)) in (int, float):
            yield {
                "dataset": data or "unnamed data",
                "metric": metric,
                "value": round(test[key], 2),
                "unit": "%",
                "budget": f"{value.get('epochs')} epochs, batch {value.get('batch_size')}, {value.get('seconds')} s",
                "note": "; ".join([f"{test.get('images')} test images, read once", *said]),
                "seed": value.get("seed"),
            }


def _json(path: Path) -> Any:
    """What a JSON file holds, None if there is none."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"can't read {path}: {error}; mend it or move it away") from error


def public(value: Any) -> Any:
    """`value`, a JSON value, where of paths that start at a root, at home, or in a folder above only the last part is left."""
    if isinstance(value, str):
        return PATH.sub(r"\1", value)
    if isinstance(value, Mapping):
        return {key: public(item) for key, item in value.items()}
    return [public(item) for item in value] if isinstance(value, (list, tuple)) else value


def public_genotype(genotype: Genotype) -> Genotype:
    """The same cells; nothing of this machine in the provenance."""
    return Genotype(public(genotype.name), genotype.space, genotype.cells, public(plain(genotype.provenance)))
