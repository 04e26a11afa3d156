"""The catalogue of models: origin of the cells, cost and reported error of each, without building it.

Costs are counted here; errors are those that papers report for their own networks and training, and nothing here was measured again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nasarch.cells.genotype import Genotype, is_printed, resolve

from . import shipped
from .cost import Cost, network_cost
from .stem import IMAGENET_STEM_SIZE
from .zoo import CIFAR10, CIFAR100, GENERIC, IMAGENET, IMAGENET1K, MODELS, SHALLOW, Model, create_model, list_models

DATA_SETS = {CIFAR10: "CIFAR-10", CIFAR100: "CIFAR-100", IMAGENET1K: "ImageNet"}
ERRORS = ("test error", "top-1 error")
ACCURACIES = ("test accuracy", "top-1 accuracy")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model in the catalogue; `reported_error` in percent: top-1 on `data_set`, as `reported_by` says."""

    name: str
    genotype: str
    method: str
    searched_on: str
    data_set: str
    input_size: int
    parameters: int
    multi_adds: int
    reported_error: float | None
    reported_spread: float | None
    reported_by: str | None
    source: str
    url: str | None


def entry(model: Model) -> Entry:
    """Catalogue entry of `model`, which has a genotype."""
    genotype, cost, reported = genotype_of(model), cost_of(model), _reported(model)
    about, value = genotype.provenance, reported.get("value")
    error = value if value is None or reported["metric"] in ERRORS else round(100 - value, 6)
    kind, url = about.get("kind", "unknown"), _url(about)
    link = url.removeprefix("https://") if kind == "published" and url is not None else None
    return Entry(
        name=model.name,
        genotype=genotype.name,
        method=about.get("method", "unknown"),
        searched_on=about.get("searched_on", "unknown"),
        data_set=DATA_SETS[model.data],
        input_size=model.network.size,
        parameters=cost.parameters,
        multi_adds=cost.multi_adds,
        reported_error=error,
        reported_spread=reported.get("spread"),
        reported_by=reported.get("reported_by"),
        source=link or ("inferred from the paper" if _is_inferred(about) else kind),
        url=url,
    )


def entries(pattern: str = "*") -> list[Entry]:
    """The models whose names match `pattern` (`*` and `?`), sorted by name.

    Raises:
        ValueError: there is none.
    """
    names = list_models(pattern)
    if not names:
        raise ValueError(f"no model matches {pattern!r}{_like(pattern.strip('*'), MODELS)}; `nasarch models` lists all {len(MODELS)}")
    return [entry(MODELS[name]) for name in names]


def find(text: str) -> Genotype:
    """The genotype that `text` means: a model's or genotype's name, the path of a .json file, or a printed genotype.

    Raises:
        ValueError: there is none; names what comes close.
    """
    if text in MODELS:
        return genotype_of(MODELS[text])
    if text in GENERIC:
        raise ValueError(f"{text} is a network of any genotype; give the genotype: a name of `nasarch models` or the path of a .json file")
    if is_name(text):
        close = _like(text, MODELS)
        raise ValueError(f"unknown model {text!r}{close}; `nasarch models` lists the names; a file is given by its path, ending in .json")
    return resolve(text)


def is_name(text: str) -> bool:
    """Whether `text` can only be a name: no path, no printed genotype."""
    return not (text.endswith(".json") or len(Path(text).parts) > 1 or is_printed(text))


def models_of(genotype: Genotype) -> tuple[Model, ...]:
    """The models of the zoo that `genotype` makes; for one that is not in the zoo, the generic ones, that of its data set first."""
    known = tuple(model for model in MODELS.values() if genotype_of(model).name == genotype.name and genotype_of(model) == genotype)
    if known:
        return known
    fitting = generic_models_of(genotype)
    searched_on = str(genotype.provenance.get("searched_on", "")).lower()
    if searched_on == "cifar100":
        fitting = [model._replace(data=CIFAR100) if model.data == CIFAR10 else model for model in fitting]
    large = _has_large_images(genotype)
    return tuple(sorted(fitting, key=lambda model: (model.network == IMAGENET) != large))


def generic_models_of(genotype: Genotype) -> list[Model]:
    """The generic models of the genotype's space with its cells: the same networks for all genotypes, so that their costs compare."""
    return [model._replace(genotype=genotype) for model in GENERIC.values() if model.network.space == genotype.space]


def _has_large_images(genotype: Genotype) -> bool:
    """Whether the cells were searched on images that get ImageNet's stem: by the recorded size, for published cells by the data set."""
    data = genotype.provenance.get("source", {}).get("data")
    size = data.get("size") if isinstance(data, Mapping) else None
    if isinstance(size, (list, tuple)) and size and all(type(side) is int for side in size):
        return min(size) >= IMAGENET_STEM_SIZE
    return str(genotype.provenance.get("searched_on", "")).lower() == "imagenet"


def model_of(text: str) -> Model:
    """The one model that `text` means: that of this name, or of a genotype the network of the data set that it was searched on."""
    return MODELS[text] if text in MODELS else models_of(find(text))[0]


def label(model: Model) -> str:
    """The model's name; of a generic model also that of its genotype."""
    return model.name if model.name in MODELS else f"{model.name} of genotype {genotype_of(model).name}"


def create(model: Model) -> nn.Module:
    """The network of `model`, with the weights that the package has for it; otherwise they are random."""
    if model.name in MODELS:
        return create_model(model.name, pretrained=shipped.weights(model.name) is not None)
    return create_model(model.name, genotype=genotype_of(model), num_classes=model.data.num_classes)


def genotype_of(model: Model) -> Genotype:
    assert model.genotype is not None
    return model.genotype


def cost_of(model: Model) -> Cost:
    """Parameters and multi-adds of `model` at its own input size."""
    network = model.network
    return network_cost(
        genotype_of(model),
        stem=network.stem,
        cells=network.cells,
        channels=network.channels,
        size=network.size,
        num_classes=model.data.num_classes,
    )


def _reported(model: Model) -> Mapping[str, Any]:
    """The first error on the model's data set that the genotype's provenance lists, or else the first accuracy, or nothing.

    Of a shallow network it is what was measured of its weights.
    """
    if model.network == SHALLOW:
        return {"metric": "test accuracy", "value": shipped.accuracy(model.name), "reported_by": "nasarch"}
    results = [r for r in genotype_of(model).provenance.get("results", ()) if r["dataset"] == DATA_SETS[model.data]]
    return next((r for metrics in (ERRORS, ACCURACIES) for r in results if r["metric"] in metrics), {})


def _url(about: Mapping[str, Any]) -> str | None:
    """The repository, else the paper; of cells that are inferred from a paper's text the paper."""
    repository, arxiv = about.get("source", {}).get("repository"), about.get("paper", {}).get("arxiv")
    if isinstance(repository, str) and not _is_inferred(about):
        return repository if "://" in repository else f"https://github.com/{repository}"
    return f"https://arxiv.org/abs/{arxiv}" if arxiv else None


def _is_inferred(about: Mapping[str, Any]) -> bool:
    return "inferred" in about.get("kind", "")


def _like(text: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(text, list(known), n=3)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
