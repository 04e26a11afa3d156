"""Means over several searches: skip connections and cost of the cells found (eDARTS Table II, Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import NamedTuple

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import NATS
from nasarch.models.cost import network_cost

from .metrics import imagenet_multi_adds, skips


class Mean(NamedTuple):
    """Mean and sample standard deviation (0 of one value) of the values of each run."""

    mean: float
    std: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        return cls(round(mean(values), 4), round(stdev(values), 4) if len(values) > 1 else 0.0, tuple(values))


def means(cells: Sequence[Genotype]) -> Mapping[str, Mean]:
    """Means of skip connections (of each cell kind, of all), of parameters and of multi-adds, both in millions, by name.

    Parameters are those of the network for CIFAR-10 (20 cells, 36 channels; NATS-Bench's: 5 cells a stage, 16 channels), multi-adds those
    of the one for ImageNet (14 cells, 48 channels), where there is one.
    """
    counts = [skips(genotype) for genotype in cells]
    table = {f"skip connections, {kind}": Mean.of([count[kind] for count in counts]) for kind in counts[0]}
    if len(counts[0]) > 1:
        table["skip connections, all"] = Mean.of([sum(count.values()) for count in counts])
    table["parameters"] = Mean.of([_parameters(genotype) for genotype in cells])
    costs = [cost for genotype in cells if (cost := imagenet_multi_adds(genotype)) is not None]
    return table | ({"multi-adds": Mean.of(costs)} if costs else {})


def _parameters(cells: Genotype) -> float:
    shape = {"cells": 5, "channels": 16} if cells.space == NATS.name else {"cells": 20, "channels": 36}
    return round(network_cost(cells, stem="cifar", size=32, num_classes=10, **shape).parameters / 1e6, 4)
