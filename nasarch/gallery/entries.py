"""Entries of the gallery: cells of the zoo and of files and runs, with their models, measured results, latency and nearest cells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nasarch.cells.difference import Difference, difference
from nasarch.cells.genotype import Genotype, names, public_genotype, resolve
from nasarch.console import command_line
from nasarch.models import shipped
from nasarch.models.catalogue import Entry, cost_of, entry, generic_models_of, models_of
from nasarch.models.cost import Cost
from nasarch.models.source import find_sources
from nasarch.models.zoo import CIFAR, IMAGENET, MODELS, NATS_BENCH, SHALLOW, Model

from .derivation import Rule, rule_of

LATENCY = Path(__file__).parent / "latency.json"  # written by benchmarks/zoo_latency.py
NETWORKS = {CIFAR: "20 cells", IMAGENET: "14 cells", SHALLOW: "5 cells, 16 channels", NATS_BENCH: "NATS-Bench, 15 cells"}
NEIGHBOUR = 2  # greatest distance of a neighbour
NEAREST = 4  # other cells that are named with their distance


@dataclass(frozen=True, kw_only=True)
class GalleryModel:
    """A network of a cell; `latency` is a ratio to the model `baseline` with its quartiles, `measured` an accuracy in percent."""

    entry: Entry
    network: str
    code: str
    onnx: str
    reported_error: float | None
    measured: float | None
    measured_how: str | None
    latency: float | None
    quartiles: tuple[float, float] | None
    baseline: str | None

    @property
    def group(self) -> str:
        """Data set and network: models of one group are comparable."""
        return f"{self.entry.data_set}, {self.network}"


@dataclass(frozen=True, kw_only=True)
class GalleryCell:
    """A genotype with the name of its files (`slug`); `results` were measured by nasarch with the weights of a run."""

    slug: str
    genotype: Genotype
    in_zoo: bool
    models: tuple[GalleryModel, ...]
    costs: Mapping[str, Cost]
    rule: Rule | None
    results: tuple[Mapping[str, Any], ...]

    @property
    def method(self) -> str:
        return str(self.genotype.provenance.get("method", "unknown"))

    @property
    def searched_on(self) -> str:
        return str(self.genotype.provenance.get("searched_on", "unknown"))


@cache
def latencies() -> Mapping[str, Any]:
    """Measured latencies of the models of the zoo, see benchmarks/zoo_latency.py."""
    return dict(json.loads(LATENCY.read_text(encoding="utf-8")))


def cells_of(sources: Iterable[str] = ()) -> list[GalleryCell]:
    """All cells of the zoo by name, then those of `sources` (NAME, FILE or RUN) that are not among them.

    Raises:
        ValueError: a source has no cells.
    """
    zoo = [resolve(name) for name in names()]
    entries = [_cell(name, genotype, in_zoo=True) for name, genotype in zip(names(), zoo, strict=True)]
    for source in sources:
        for _, model in find_sources(source):
            if any(one.name == model.cells.name and one == model.cells for one in zoo):
                continue
            genotype = public_genotype(model.cells)
            slug = _slug(genotype.name, {one.slug for one in entries})
            entries.append(_cell(slug, genotype, in_zoo=False, results=model.results))
    return entries


def _slug(name: str, taken: set[str]) -> str:
    """A file name in letters, digits, - and _ that is not taken; case doesn't count, as on some file systems."""
    plain = re.sub(r"[^a-z0-9_]+", "-", name.lower()).strip("-")[:60] or "cell"
    return next(slug for number in range(len(taken) + 1) if (slug := f"{plain}-{number + 1}" if number else plain) not in taken)


def _cell(slug: str, genotype: Genotype, *, in_zoo: bool, results: tuple[Mapping[str, Any], ...] = ()) -> GalleryCell:
    return GalleryCell(
        slug=slug,
        genotype=genotype,
        in_zoo=in_zoo,
        models=tuple(_model(slug, model) for model in models_of(genotype)),
        costs={model.name: cost_of(model) for model in generic_models_of(genotype)},
        rule=rule_of(genotype.provenance, genotype.space),
        results=results,
    )


def _model(slug: str, model: Model) -> GalleryModel:
    about, is_known = entry(model), model.name in MODELS
    has_weights = is_known and shipped.weights(model.name) is not None
    measured = latencies()["models"].get(model.name, {}) if is_known else {}
    code = f'timm.create_model("{model.name}"' + (", pretrained=True)" if has_weights else ")")
    file = f"{slug}.json"
    return GalleryModel(
        entry=about,
        network=NETWORKS[model.network],
        code=code if is_known else f'timm.create_model("{model.name}", genotype="{file}", num_classes={model.data.num_classes})',
        onnx=command_line("export", "onnx", model.name if is_known else file, "-o", f"{model.name if is_known else slug}.onnx"),
        reported_error=None if about.reported_by == "nasarch" else about.reported_error,
        measured=shipped.accuracy(model.name) if has_weights else None,
        measured_how=shipped.training(model.name) if has_weights else None,
        latency=measured.get("ratio"),
        quartiles=tuple(measured["quartiles"]) if measured else None,
        baseline=measured.get("baseline"),
    )


def differences(cells: Sequence[GalleryCell]) -> dict[tuple[int, int], Difference]:
    """Differences of all pairs of cells of one space, by their indices i < j."""
    return {
        (i, j): difference(one.genotype, cells[j].genotype)
        for i, one in enumerate(cells)
        for j in range(i + 1, len(cells))
        if one.genotype.space == cells[j].genotype.space
    }


def nearest(index: int, count: int, pairs: Mapping[tuple[int, int], Difference]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Indices and distances of the neighbours of a cell among `count` cells, and of the next nearest ones; nearest first."""
    others = [(other, pairs.get((min(index, other), max(index, other)))) for other in range(count) if other != index]
    ranked = sorted(((other, one.distance) for other, one in others if one is not None), key=lambda pair: pair[1])
    neighbours = [pair for pair in ranked if pair[1] <= NEIGHBOUR]
    return neighbours, ranked[len(neighbours) : len(neighbours) + NEAREST]
