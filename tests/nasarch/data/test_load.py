"""Every method, end to end, on real images: a valid cell, and the same one under the same seed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm

import nasarch  # noqa: F401  # registers the models
from nasarch.cells.genotype import Genotype
from nasarch.cells.space import NATS
from nasarch.data.dataset import Dataset
from nasarch.data.load import load
from nasarch.models.stem import IMAGENET_STEM_SIZE
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.result import SearchResult
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from tests.helpers.nested import nested

SHARED = Path(__file__).parents[4] / "shared" / "data"
SMALL = {"layers": 3, "channels": 8, "batch_size": 25}
IMAGES = 50  # of the training images on each side: the named budget is an epoch or two of them
METHODS: dict[str, tuple[Any, Any]] = {
    "darts": (darts, darts.Darts(order="first", epochs=2, **SMALL)),
    "darts, second order": (darts, darts.Darts(order="second", epochs=1, **SMALL)),
    "pc-darts": (pc_darts, pc_darts.PcDarts(epochs=2, warmup=1, **SMALL)),
    "dots": (
        dots,
        nested(
            dots.Dots(),
            operation_epochs=2,
            topology_epochs=2,
            operation_warmup=1,
            topology_warmup=1,
            operation_layers=3,
            topology_layers=4,
            channels=8,
            batch_size=25,
        ),
    ),
    "ftso": (ftso, ftso.Ftso(**SMALL)),
    "ftso, operators by gradient": (ftso, ftso.Ftso(operator="gradient", operator_epochs=1, **SMALL)),
    "edarts": (edarts, edarts.Edarts(epochs=2, images=IMAGES, **SMALL)),
}
NATS_METHODS = {
    "darts": METHODS["darts"],
    "pc-darts": METHODS["pc-darts"],
    "ftso": (ftso, replace(METHODS["ftso"][1], operation="nor_conv_3x3")),
    "ftso, operators by gradient": METHODS["ftso, operators by gradient"],
}


@cache
def images(name: str, size: int | None = None) -> Dataset:
    if name != "digits" and not (SHARED / name).exists():
        pytest.skip(f"{name} is not beside the project")
    return load("digits" if name == "digits" else SHARED / name, size=size)


def search(recipe: Any, bench: SearchContext, settings: Any) -> SearchResult:
    running = recipe.search(bench, settings)
    while True:
        try:
            next(running)
        except StopIteration as stop:
            return stop.value


def few(settings: Any, data: Dataset) -> Any:
    """The settings, on so few images."""
    return replace(settings, fractions=(IMAGES / len(data.train),) * 2) if hasattr(settings, "fractions") else settings


def check(recipe: Any, bench: SearchContext, settings: Any) -> Genotype:
    settings = few(settings, bench.data)
    found, again = (search(recipe, bench, settings) for _ in range(2))
    assert found[:2] == again[:2]
    assert Genotype.from_dict(found.genotype.to_dict()) == found.genotype
    assert "none" not in {edge.operation for cell in found.genotype.cells.values() for node in cell.nodes for edge in node}
    return found.genotype


@pytest.mark.parametrize(("recipe", "settings"), METHODS.values(), ids=METHODS)
def test_digits(recipe: Any, settings: Any) -> None:
    check(recipe, SearchContext(data=images("digits", 16)), settings)


@pytest.mark.parametrize(("recipe", "settings"), NATS_METHODS.values(), ids=NATS_METHODS)
def test_digits_in_the_space_of_nats_bench(recipe: Any, settings: Any) -> None:
    cells = check(recipe, SearchContext(data=images("digits", 16), space=NATS), replace(settings, layers=1))
    assert cells.to_nats().count("|") == 9


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "settings"), METHODS.values(), ids=METHODS)
def test_cifar10(recipe: Any, settings: Any) -> None:
    cells = check(recipe, SearchContext(data=images("cifar10-jpeg")), settings)
    assert timm.create_model("nas_cifar", genotype=cells, cells=3, channels=4, device="meta").num_classes == 10


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "settings"), METHODS.values(), ids=METHODS)
def test_imagenet_like_images(recipe: Any, settings: Any) -> None:
    data = images("imagenette-subset", 96)
    assert min(data.size) >= IMAGENET_STEM_SIZE
    check(recipe, SearchContext(data=data), settings)
