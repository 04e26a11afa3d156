"""Searches without training: each stage sets the architecture parameters that a test gives, and keeps what it was asked for.

What is left of a search is what this helper is for: its numbers, its candidates and its decisions, at any size in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nasarch.cells.space import DARTS, Space
from nasarch.data.dataset import Augmentation, Dataset, Images
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.result import SearchResult
from nasarch.search.engine.updates import Update
from nasarch.search.supernet.candidates import check_candidates

Scores = Mapping[str, Tensor]  # alpha, beta, and the gradient of beta, where they are not zero


class Stage(NamedTuple):
    """What a search asked for: network, loaders, update, optimizers and schedule; and how alpha and beta began."""

    candidates_ZEO: Tensor
    shape: Mapping[str, Any]
    relaxation: Mapping[str, Any]
    began: Mapping[str, Tensor]
    loaders: tuple[Any, ...]
    update: Update
    optimizers: Any
    schedule: Mapping[str, Any]


class Searched(NamedTuple):
    """The stages, what each would have ended with when it was asked after its last epoch, and the result."""

    stages: list[Stage]
    presented: list[SearchResult]
    found: SearchResult


@dataclass(frozen=True, kw_only=True)
class Staged(SearchContext):
    """A workplace whose networks are descriptions, and whose stages set alpha and beta to `scores` (in float64) and end."""

    scores: Sequence[Scores] = ()
    stages: list[Stage] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)

    def supernet(self, space: Space, candidates_ZEO: Tensor, **shape: Any) -> Any:
        check_candidates(space, candidates_ZEO)
        return candidates_ZEO, {"partial": 1, "random_channels": False, "stage": 0} | shape

    def train_val_loaders(self, batch_size: int, fractions: tuple[float, float]) -> Any:
        return "train and validation", batch_size, fractions

    def one_level_loader(self, batch_size: int, fractions: tuple[float, float]) -> Any:
        return "one level", batch_size, fractions

    def relaxation(self, space: Space, candidates_ZEO: Tensor, **arguments: Any) -> Relaxation:
        self.asked.clear()
        self.asked.update(arguments)
        return super().relaxation(space, candidates_ZEO, **arguments)

    def train(self, net: Any, arch: Relaxation, loaders: Any, update: Update, optimizers: Any, **schedule: Any) -> Iterator[Any]:
        began = {name: parameter.detach().clone() for name, parameter in arch.named_parameters()}
        self.stages.append(Stage(*net, dict(self.asked), began, loaders, update, optimizers, schedule))
        arch.double()
        given = dict(self.scores[len(self.stages) - 1]) if len(self.stages) <= len(self.scores) else {}
        for name, parameter in arch.named_parameters():
            parameter.grad = given.get(f"{name}_gradient", torch.zeros_like(parameter)).double()
            parameter.data.copy_(given.get(name, torch.zeros_like(parameter)))
        if "temperature" in schedule:
            arch.temperature.fill_(schedule["temperature"](schedule["epochs"] - 1))
        yield schedule["derive"]()


def fifty_thousand() -> Dataset:
    """As many images of ten classes as CIFAR-10 has to train on, of one pixel each."""
    images = Images(torch.zeros(50_000, 3, 1, 1, dtype=torch.uint8), torch.arange(50_000) % 10)
    names = tuple(map(str, range(10)))
    return Dataset(name="ten", train=images, test=None, class_names=names, augmentation=Augmentation(), source="synthetic")


DATA = fifty_thousand()


def searched(recipe: ModuleType, settings: Any, *scores: Scores, space: Space = DARTS, name: str = "cell", seed: int = 0) -> Searched:
    """The search of `recipe` whose stages end with these scores."""
    context = Staged(data=DATA, space=space, name=name, seed=seed, scores=scores)
    running, presented = recipe.search(context, settings), []
    while True:
        try:
            presented.append(next(running))
        except StopIteration as stop:
            return Searched(context.stages, presented, stop.value)
