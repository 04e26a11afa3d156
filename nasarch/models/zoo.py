"""The model zoo: every JSON in genotypes/ becomes timm models; names, networks and preprocessing are decided here.

| genotype `<stem>.json` of space | searched on | models |
|---|---|---|
| darts | imagenet | `<stem>`: the ImageNet network |
| darts | anything else | `<stem>`: the CIFAR network; `<stem>_224`: the ImageNet network |
| nats | anything | `<stem>`: the NATS-Bench network |

A genotype of the first kind whose shallow network has weights (shipped.py) makes `<stem>_shallow`, too.

| network | stem | cells | channels | image | source |
|---|---|---|---|---|---|
| CIFAR | cifar | 20 | 36 | 32 | Liu et al. 2019, sec. 3.2 |
| ImageNet | imagenet | 14 | 48 | 224 | Liu et al. 2019, sec. 3.3 |
| shallow | cifar | 5 | 16 | 32 | eDARTS (Siddiqui et al. 2020), sec. IV-A |
| NATS-Bench | cifar | 5 a stage | 16 | 32 | Dong et al. 2021, sec. 3.1 |

`nas_cifar`, `nas_224` and `nas_bench_201` are the three networks for any genotype: `timm.create_model("nas_224", genotype="cell.json")`.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import timm
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, is_model_pretrained, register_model
from torch import Tensor, nn

from nasarch.cells.genotype import Genotype, names, resolve
from nasarch.cells.space import DARTS, NATS, Space

from . import shipped
from .network import CellNetwork, Features
from .weight_files import check_cells, check_fit


class Network(NamedTuple):
    """One of the papers' networks: the arguments of `CellNetwork` and the size of its images."""

    space: str
    stem: str
    cells: int
    channels: int
    size: int
    reduction: int


CIFAR = Network(DARTS.name, "cifar", 20, 36, 32, 4)
IMAGENET = Network(DARTS.name, "imagenet", 14, 48, 224, 32)
SHALLOW = Network(DARTS.name, "cifar", 5, 16, 32, 4)
NATS_BENCH = Network(NATS.name, "cifar", 5, 16, 32, 4)
PRETRAINED_ELSEWHERE = ("pretrained_cfg", "pretrained_cfg_overlay")  # arguments of timm's that may say where weights are
TAPS = {"cifar": 3, "imagenet": 5}  # feature maps: /1 /2 /4, and /2 /4 /8 /16 /32


class Data(NamedTuple):
    """A data set: classes, and the statistics of its training images by channel, which scale the network's input."""

    num_classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_pct: float


CIFAR10 = Data(10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), 1.0)
CIFAR100 = Data(100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), 1.0)
IMAGENET1K = Data(1000, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, 0.875)
IMAGENET16 = Data(120, (0.4811, 0.4575, 0.4079), (0.2479, 0.2402, 0.2553), 1.0)  # NATS-Bench's code: 122.68, 116.66, 104.01 of 255


class Model(NamedTuple):
    """A model by name: a network, the data that it is for, and its genotype (None: the caller gives it)."""

    name: str
    network: Network
    data: Data
    genotype: Genotype | None

    @property
    def skeleton(self) -> dict[str, Any]:
        """Stem, cells, channels and image size as arguments of `network_cost` and `edge_cost`."""
        return {name: getattr(self.network, name) for name in ("stem", "cells", "channels", "size")}


def _models_of(stem: str) -> Iterator[Model]:
    genotype = resolve(stem)
    searched_on = str(genotype.provenance.get("searched_on", "")).lower()
    small = CIFAR100 if searched_on == "cifar100" else CIFAR10
    if genotype.space == NATS.name:
        yield Model(stem, NATS_BENCH, small, genotype)
    elif searched_on == "imagenet":
        yield Model(stem, IMAGENET, IMAGENET1K, genotype)
    else:
        yield Model(stem, CIFAR, small, genotype)
        yield Model(f"{stem}_224", IMAGENET, IMAGENET1K, genotype)
        if shipped.weights(stem + shipped.SHALLOW):
            yield Model(stem + shipped.SHALLOW, SHALLOW, small, genotype)


def _generic() -> Iterator[Model]:
    yield Model("nas_cifar", CIFAR, CIFAR10, None)
    yield Model("nas_224", IMAGENET, IMAGENET1K, None)
    yield Model("nas_bench_201", NATS_BENCH, CIFAR10, None)


def _cfg(model: Model) -> dict[str, Any]:
    """timm's description of a model, and where its weights are."""
    network, data = model.network, model.data
    about = model.genotype.provenance if model.genotype else {}
    paper, source = about.get("paper", {}), about.get("source", {})
    return {
        "input_size": (3, network.size, network.size),
        "pool_size": (network.size // network.reduction,) * 2,
        "num_classes": data.num_classes,
        "mean": data.mean,
        "std": data.std,
        "crop_pct": data.crop_pct,
        "interpolation": "bicubic",
        "first_conv": "stem.0.0",
        "classifier": "fc",
        "license": "apache-2.0",
        "description": _description(model),
        "origin_url": source.get("repository"),
        "paper_name": paper.get("title"),
        "paper_ids": f"arXiv:{paper['arxiv']}" if "arxiv" in paper else None,
        **shipped.configuration(model.name),
    }


def _description(model: Model) -> str:
    network = model.network
    unit = "cells a stage" if network is NATS_BENCH else "cells"
    body = f"{network.cells} {unit}, {network.channels} channels, {network.size}x{network.size} images"
    if model.genotype is None:
        return f"the network of any genotype: {body}"
    about = model.genotype.provenance
    origin = f"{about.get('method', model.genotype.name)} cells searched on {about.get('searched_on', 'an unnamed data set')}: {body}"
    if not shipped.weights(model.name):
        return origin
    return f"{origin}; {shipped.training(model.name)}: {shipped.accuracy(model.name):.2f} % test accuracy"


def _genotype_for(model: Model, given: Any) -> Genotype:
    """The model's own genotype, or for a generic model the given one."""
    if model.genotype is not None:
        if given is not None:
            name = next(generic.name for generic in _generic() if generic.network == model.network)
            raise ValueError(f"{model.name} has a genotype; for another one use timm.create_model({name!r}, genotype=...)")
        return model.genotype
    if given is None:
        raise ValueError(
            f"{model.name} needs genotype=...: a name of nasarch.cells.genotype.names(), the path of a .json file, or a plain dict"
        )
    genotype = resolve(given)
    if genotype.space != model.network.space:
        other = "nas_bench_201" if genotype.space == NATS.name else "nas_cifar or nas_224"
        takes = f"{model.name} takes genotypes of space {model.network.space!r}"
        raise ValueError(f"{takes}, {genotype.name} is of {genotype.space!r}: use {other}")
    return genotype


def _entry_point(model: Model) -> Callable[..., nn.Module]:
    """timm's function that builds `model`."""

    def build(pretrained: bool = False, genotype: Any = None, **kwargs: Any) -> nn.Module:
        if pretrained and not any(kwargs.get(key) for key in PRETRAINED_ELSEWHERE):
            check_pretrained(model.name)
        network = model.network
        size = {"stem": network.stem, "cells": network.cells, "channels": network.channels}
        settings = {**size, "init_statistics": not pretrained, **kwargs}
        return build_model_with_cfg(
            CellNetwork,
            model.name,
            pretrained,
            pretrained_filter_fn=_fitted,
            feature_cfg={"out_indices": tuple(range(TAPS.get(settings["stem"], 0))), "feature_cls": Features},
            genotype=_genotype_for(model, genotype),
            **settings,
        )

    build.__name__ = build.__qualname__ = model.name
    build.__module__ = __name__
    build.__doc__ = f"{_description(model)[:1].upper()}{_description(model)[1:]}."
    return build


def _fitted(weights: dict[str, Tensor], net: CellNetwork) -> dict[str, Tensor]:
    """State dict that timm loads from a file: an auxiliary head, which serves training alone, keeps what the file doesn't have of it.

    Raises:
        ValueError: the weights are those of another network, in one line; timm adapts other channels and classes afterwards.
    """
    own, config = net.state_dict(), dict(getattr(net, "pretrained_cfg", None) or {})
    heads = {key: value for key, value in own.items() if key.startswith("aux_head.")}
    body = {key: value for key, value in weights.items() if not key.startswith("aux_head.")}
    heads |= {key: weights[key] for key in heads if key in weights and weights[key].shape == heads[key].shape}
    adapted = {f"{config[layer]}.{kind}" for layer in ("first_conv", "classifier") if config.get(layer) for kind in ("weight", "bias")}
    expected, actual = ({key: value for key, value in one.items() if key not in adapted} for one in (own, body | heads))
    what = f"the weights are not those of {config.get('architecture')} with {net.genotype.name}'s cells in this size"
    check_fit(expected, actual, what, "leave the arguments as they were in training, or use pretrained=False")
    file = Path(config.get("file") or "")
    if file.is_file():
        check_cells(file, net.genotype)
    return body | heads


def _register(model: Model) -> None:
    """Make `model` known to timm, which looks its configuration up in this module under the name of its entry point."""
    default_cfgs.update(generate_default_cfgs({model.name: _cfg(model)}))
    if timm.is_model(model.name) and timm.model_entrypoint(model.name).__module__ == __name__:
        return  # this module was loaded before
    if timm.is_model(model.name) or not model.name.isidentifier() or model.name in globals():
        file = f"genotypes/{model.name.removesuffix('_224')}.json"
        raise ValueError(f"{file}: {model.name!r} can't be a model's name or is one already; rename the file, for example my_cell.json")
    globals()[model.name] = register_model(_entry_point(model))


def _distinct(models: list[Model]) -> dict[str, Model]:
    distinct: dict[str, Model] = {}
    for model in models:
        if model.name in distinct:
            raise ValueError(f"two genotypes make the model {model.name!r}; rename one of their files in genotypes/")
        distinct[model.name] = model
    return distinct


default_cfgs: dict[str, Any] = {}
MODELS = _distinct([model for stem in names() for model in _models_of(stem)])
GENERIC = _distinct([*_generic()])
for _model in (*MODELS.values(), *GENERIC.values()):
    _register(_model)


def network_of(space: Space, name: str | None = None) -> Model:
    """The generic network for cells of `space`: by default the ImageNet network, for cells of NATS-Bench theirs.

    Raises:
        ValueError: there is no such network, or it takes cells of another space.
    """
    name = name or ("nas_bench_201" if space.name == NATS.name else "nas_224")
    legal = [model.name for model in GENERIC.values() if model.network.space == space.name]
    if name not in legal:
        raise ValueError(f"network {name!r}; cells of space {space.name!r} make {' or '.join(legal)}: choose one of them")
    return GENERIC[name]


def check_pretrained(name: str) -> None:
    """Raise ValueError if there are no weights for the model `name`: says how to make some."""
    if is_model_pretrained(name):
        return
    model = {**MODELS, **GENERIC}[name]
    data = {CIFAR10: "cifar10 --download", CIFAR100: "cifar100 --download"}.get(model.data, "IMAGENET")
    recipe = {IMAGENET: " --recipe imagenet", NATS_BENCH: " --recipe nats"}.get(model.network, "")
    what = "GENOTYPE.json" if model.genotype is None else name
    known = ", ".join(sorted(shipped.names()))
    raise ValueError(
        f"there are no weights for {name} yet; `nasarch train {what} --data {data}{recipe} --out DIR` makes some, which "
        f"timm.create_model('local-dir:DIR/model', pretrained=True) loads; or use pretrained=False (with weights: {known or 'none'})"
    )


def list_models(pattern: str = "*") -> list[str]:
    """The names of nasarch's models that match `pattern` (`*` and `?`), sorted; without the generic ones, which need a genotype."""
    return sorted(fnmatch.filter(MODELS, pattern))


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """`timm.create_model` for nasarch's models, and for saved ones by "local-dir:PATH" or "hf-hub:ID".

    Raises:
        ValueError: there is no such model, or it has no weights.
    """
    architecture = name.split(".")[0]
    if ":" not in name and architecture not in MODELS and architecture not in GENERIC:
        close = difflib.get_close_matches(name, [*MODELS, *GENERIC], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join([*list_models(), *GENERIC])}"
        raise ValueError(f"unknown model {name!r}; {hint} `nasarch models` lists them")
    if kwargs.get("checkpoint_path") and ":" not in name:
        kwargs["init_statistics"] = False
    return timm.create_model(name, pretrained=pretrained, **kwargs)
