"""Options and plan of a training (`nasarch train`), new or resumed. Trains nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch

from nasarch.cells.genotype import Genotype
from nasarch.compute import seeded
from nasarch.data.dataset import Dataset
from nasarch.models.catalogue import models_of
from nasarch.models.network import CellNetwork
from nasarch.models.source import find_source
from nasarch.models.stem import IMAGENET_STEM_SIZE
from nasarch.models.zoo import GENERIC, MODELS, Model
from nasarch.runtime import distributed
from nasarch.runtime.json_files import CONFIG, check_types, read_object, reading
from nasarch.runtime.options import updated

from .options import TrainOptions
from .recipes import RECIPES, Recipe, Training

STEMS = {"cifar": "CIFAR", "imagenet": "ImageNet"}  # as the papers write them


class NetworkSpec(NamedTuple):
    """A network by the name of its timm model, with the arguments that make it."""

    source: str  # as the user names it
    model: str
    genotype: Genotype
    arguments: dict[str, Any]  # for timm

    def build(self, seed: int, *, aux_head: bool) -> CellNetwork:
        """With first weights drawn by the seed."""
        with seeded(seed):
            net = timm.create_model(self.model, **self.arguments, **({"aux_head": True} if aux_head else {}))
        assert isinstance(net, CellNetwork)
        return net

    @property
    def digest(self) -> str:
        """Of the cells alone: SHA-256."""
        return hashlib.sha256(json.dumps(self.genotype.to_dict()["cells"], sort_keys=True).encode()).hexdigest()

    @property
    def is_whole(self) -> bool:
        """Whether it is the network that the papers report on, not a smaller one."""
        return not {"cells", "channels"} & self.arguments.keys()

    @property
    def title(self) -> str:
        """The source; of cells behind another stem than that of the source's own network also this stem."""
        own = MODELS[self.source] if self.source in MODELS else models_of(self.genotype)[0]
        stem = (MODELS | GENERIC)[self.model].network.stem
        return self.source if own.network.stem == stem else f"the cells of {self.source} behind {STEMS[stem]}'s stem"

    @property
    def size(self) -> str:
        """Cells and channels in words."""
        network = (MODELS | GENERIC)[self.model].network
        cells, channels = (self.arguments.get(key, getattr(network, key)) for key in ("cells", "channels"))
        return f"{cells} cells{' a stage' if network.space.startswith('nats') else ''}, {channels} channels"


def located(source: str) -> str:
    """The source as a run folder records it: of the folder of a search the genotype's file in it, else as it is given.

    Raises:
        ValueError: a folder without cells.
    """
    if not os.path.isdir(source):  # which a printed genotype is too long to be asked as a `Path`
        return source
    known = find_source(source)
    return source if known.config is not None else known.source


def network_spec(source: str, named: Recipe, settings: Training, data: Dataset, kept: Genotype | None = None) -> NetworkSpec:
    """The network of a model's or genotype's cells with the recipe's stem, whatever data they were searched on.

    Args:
        kept: the genotype that `source` was when it was read before; its file is not read again.

    Raises:
        ValueError: there is none, or it doesn't fit the recipe or the images.
    """
    name = next(name for name, known in RECIPES.items() if known is named)
    model = _model(source, name, named, kept)
    _check_images(model, name, settings, data)
    arguments: dict[str, Any] = {"num_classes": data.num_classes, "pretrained_cfg_overlay": _inputs(model, data)}
    if model.name in GENERIC:
        arguments["genotype"] = _cells(model).to_dict()
    arguments |= {key: value for key in ("cells", "channels") if (value := getattr(settings, key)) is not None}
    return NetworkSpec(source, model.name, _cells(model), arguments)


def _model(source: str, name: str, named: Recipe, kept: Genotype | None) -> Model:
    """The model of this name, or of the cells, with the recipe's stem; the generic one if the zoo has none."""
    own = [MODELS[source]] if source in MODELS else list(models_of(kept or find_source(source).cells))
    cells = _cells(own[0])
    generic = [model._replace(genotype=cells) for model in GENERIC.values() if model.network.space == cells.space]
    for model in (*own, *models_of(cells), *generic):
        if model.network.stem == named.stem and model.network.space in named.spaces:
            return model
    recipes = [key for key, known in RECIPES.items() if cells.space in known.spaces]
    raise ValueError(
        f"recipe {name} trains cells of {' or '.join(named.spaces)}; {source} has cells of {cells.space}: "
        f"take --recipe {' or '.join(recipes)}"
    )


def _cells(model: Model) -> Genotype:
    assert model.genotype is not None
    return model.genotype


def _check_images(model: Model, name: str, settings: Training, data: Dataset) -> None:
    side = min(data.size)
    if model.network.stem == "imagenet" and side < IMAGENET_STEM_SIZE:
        raise ValueError(
            f"recipe {name} trains networks of ImageNet's stem, which begins with an eighth of the image's side; the images of data "
            f"{data.name!r} have {side} pixels: take --size 224, or a network with CIFAR's stem and --recipe cifar"
        )
    if settings.cutout >= side:
        raise ValueError(
            f"--cutout {settings.cutout} hides images of {side} pixels: choose --cutout {side // 2} (CIFAR's 16 are half of its side), or 0"
        )


def fitted(settings: Training, data: Dataset, given: Collection[str]) -> tuple[Training, list[str]]:
    """Settings with cutout and batch size reduced to what the data allow, except fields in `given`; a line for each."""
    remarks, side, count = list[str](), min(data.size), len(data.train)
    if settings.cutout >= side and "cutout" not in given:
        remarks.append(f"--cutout {side // 2} instead of {settings.cutout}: half the side of the images of data {data.name!r}")
        settings = replace(settings, cutout=side // 2)
    if settings.batch_size > count and "batch_size" not in given:
        remarks.append(f"--batch-size {count} instead of {settings.batch_size}: the number of training images of data {data.name!r}")
        settings = replace(settings, batch_size=count)
    return settings, remarks


def _inputs(model: Model, data: Dataset) -> dict[str, Any]:
    """Preprocessing in timm's configuration, written beside the weights."""
    return {
        **data.preprocessing,
        "pool_size": tuple(-(-side // model.network.reduction) for side in data.size),
        "num_classes": data.num_classes,
        "license": None,  # the user's choice: the zoo's is not that of other weights
        "description": f"trained by nasarch on {data.name}",
    }


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """A training in full; the seed comes with each run. `words` is the command line, for the record.

    Raises:
        ValueError: mixup of batches that are no pairs of images in each process.
    """

    network: NetworkSpec
    recipe: Recipe
    settings: Training
    data: Dataset
    device: torch.device
    job: TrainOptions
    words: str
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size, pairs = self.settings.batch_size, 2 * distributed.world_size()
        if self.settings.mixup and size % pairs:
            shared = f" over {distributed.world_size()} processes" if distributed.world_size() > 1 else ""
            raise ValueError(
                f"--mixup mixes images in pairs, and a batch of {size}{shared} leaves one alone: choose --batch-size "
                f"{max(1, size // pairs) * pairs}, or leave --mixup out"
            )


def resumed(folder: Path) -> tuple[str, Training, TrainOptions, Genotype]:
    """Source, settings, options and cells of the training in `folder`.

    Raises:
        ValueError: there is none, or its config.json is damaged.
    """
    remedy = "give the folder of a training, with its config.json"
    config = read_object(folder / CONFIG, remedy, source=str, settings=dict, train=dict, genotype=dict)
    with reading(folder / CONFIG, remedy):
        settings, job = Training(**config["settings"]), updated(TrainOptions(), config["train"] | {"resume": folder})
        return config["source"], check_types(settings), check_types(job), Genotype.from_dict(config["genotype"])
