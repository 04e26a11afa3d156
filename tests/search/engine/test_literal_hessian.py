"""The eigenvalue that a search reports is that of the whole Hessian of the literal network, on the images it is said to be measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.cells.space import DARTS
from nasarch.search.engine.context import SearchContext
from nasarch.search.recipes import dots, ftso
from tests.helpers.hessians import estimates, stopped
from tests.helpers.literal_settings import SMALL
from tests.helpers.nested import nested
from tests.literal import dots as literal_dots
from tests.literal import ftso as literal_ftso
from tests.literal.data import Batch, Drawn, shown, split, statistics
from tests.literal.learner import LiteralSetup
from tests.literal.record import Stage, Watched
from tests.literal.small import data, in_float64
from tests.literal.softmaxes import edge_weights, edges_of_pairs, operation_weights, pair_weights

FTSO = ftso.Ftso(epochs=1, layers=3, fractions=(0.6, 0.35), **SMALL)
DOTS = nested(
    dots.Dots(),
    operation_epochs=1,
    topology_epochs=1,
    operation_warmup=0,
    topology_warmup=0,
    operation_layers=3,
    topology_layers=3,
    topology_start=0.5,
    operation_scale=0.7,
    **SMALL,
)
SEED = 3


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with in_float64():
        yield


def sample(indices: Sequence[int], count: int) -> Batch:
    """So many of the images, drawn once for all by seed 0, as they are."""
    images = data()
    chosen = [indices[i] for i in torch.randperm(len(indices), generator=torch.Generator().manual_seed(0))[:count].tolist()]
    plain = replace(images.augmentation, padding=0, flip=False, cutout=0)
    mean, std = statistics(images.train.pixels)  # type: ignore[union-attr]
    drawn = Drawn(0, 0, 0, 0, 0, 0)
    return torch.stack([shown(images.train.pixels[i], drawn, plain, mean, std) for i in chosen]), images.train.labels[chosen]  # type: ignore[union-attr]


def reported(
    stage: Stage, weights: tuple[Tensor, Tensor], batch: Batch, beta_shape: tuple[int, ...], size: int = 99
) -> tuple[float, float]:
    """What power iteration makes of the whole Hessian in alpha and beta, and its true eigenvalue of largest size.

    The loss is the mean over the images, in batches of `size`.
    """
    alpha, beta = stage.alpha, stage.beta
    batches = list(zip(batch[0].split(size), batch[1].split(size), strict=True))
    loss = sum(stage.net.loss(part, weights) * len(part[1]) for part in batches) / len(batch[1])
    inputs = [alpha, *beta.values()]
    slope = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True, materialize_grads=True)
    flat = torch.cat([g.flatten() for g in slope])
    rows = [torch.autograd.grad(g, inputs, retain_graph=True, allow_unused=True, materialize_grads=True) for g in flat if g.requires_grad]
    places = [n for n, g in enumerate(flat) if g.requires_grad]
    matrix = torch.zeros(len(flat), len(flat))
    matrix[places] = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    largest = max(torch.linalg.eigvalsh((matrix + matrix.T) / 2).tolist(), key=abs)
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(alpha.shape, generator=generator), torch.randn(beta_shape, generator=generator)]
    parts = [start[0].flatten(), *(start[1][z, j - 2, : len(logits)] for (z, j), logits in beta.items())]
    return stopped(_estimates(matrix, torch.cat(parts), start), 1e-3), largest


def _estimates(matrix: Tensor, start: Tensor, drawn: Sequence[Tensor]) -> list[float]:
    """The first one belongs to a vector that has entries in surplus, on which the loss doesn't depend."""
    whole = sum(float((part * part).sum()) for part in drawn)
    values = estimates(matrix, 20, start=start)
    return [values[0] * float(start @ start) / whole, *values[1:]]


def parts(settings: Any) -> list[list[int]]:
    return split(data().train.labels.tolist(), settings.fractions, SEED)


def test_of_two_sides_it_is_measured_on_images_of_the_architecture() -> None:
    space = DARTS.with_nodes(2)
    watched = Watched().follow(ftso.search(SearchContext(data=data(), seed=SEED, hessian=True), FTSO))
    (stage,) = literal_ftso.search(LiteralSetup(data(), SEED), FTSO).stages
    weights = operation_weights(space, stage.alpha, stage.allowed), edge_weights(space, stage.beta)
    estimate, largest = reported(stage, weights, sample(parts(FTSO)[1], FTSO.batch_size), (2, 2, 3))
    assert watched.reports[-1].figures == {"eigenvalue": pytest.approx(estimate, rel=1e-7)}
    assert estimate == pytest.approx(largest, rel=0.1)
    other, _ = reported(stage, weights, sample(parts(FTSO)[0], FTSO.batch_size), (2, 2, 3))
    assert other != pytest.approx(estimate, rel=1e-3), "the images of the weights would have given another"


def test_of_several_batches_it_is_that_of_their_mean_loss() -> None:
    """Nine images: a batch of six and one of three."""
    space = DARTS.with_nodes(2)
    watched = Watched().follow(ftso.search(SearchContext(data=data(), seed=SEED, hessian=True, hessian_images=9), FTSO))
    (stage,) = literal_ftso.search(LiteralSetup(data(), SEED), FTSO).stages
    weights = operation_weights(space, stage.alpha, stage.allowed), edge_weights(space, stage.beta)
    estimate, _ = reported(stage, weights, sample(parts(FTSO)[1], 9), (2, 2, 3), FTSO.batch_size)
    assert watched.reports[-1].figures == {"eigenvalue": pytest.approx(estimate, rel=1e-7)}
    one, _ = reported(stage, weights, sample(parts(FTSO)[1], 6), (2, 2, 3))
    assert one != pytest.approx(estimate, rel=1e-3)


def test_of_one_level_it_is_measured_on_all_images_with_their_temperatures() -> None:
    space = DARTS.with_nodes(2)
    watched = Watched().follow(dots.search(SearchContext(data=data(), seed=SEED, hessian=True), DOTS))
    *_, stage = literal_dots.search(LiteralSetup(data(), SEED), DOTS).stages
    operations = operation_weights(space, stage.alpha, stage.allowed, temperature=0.5 * 0.7)
    weights = operations, edges_of_pairs(space, pair_weights(space, stage.beta, 0.5))
    images = sorted(sum(parts(DOTS), []))
    estimate, _ = reported(stage, weights, sample(images, DOTS.batch_size), (2, 2, 3))
    assert watched.reports[-1].figures == {"eigenvalue": pytest.approx(estimate, rel=1e-7)}
