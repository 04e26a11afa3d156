"""Trainings of fixed networks on the simulated device: each part of a recipe by itself, networks trained as one, and their evaluation.

Trainings run through `train.fit`, with a report after each of the steps of two epochs, the last of which has fewer images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import torch

from nasarch.cells.genotype import resolve
from nasarch.data.loader import BatchLoader
from nasarch.models.network import CellNetwork
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.fused.learner import FusedLearner, evaluate_each
from nasarch.search.fused.network import FusedNetwork
from nasarch.search.training import learner as train
from nasarch.search.training.evaluate import evaluate
from nasarch.search.training.learner import Learner
from nasarch.search.training.recipes import SHALLOW, Training
from tests.simulated_cuda.searches import cuda_during, data, parted_batches
from tests.simulated_cuda.steps import PRECISIONS, STEP
from tests.simulated_cuda.watch import SimulatedCuda

CELLS, CHANNELS, BATCH_SIZE = 3, 4, 5  # 24 images: the last step of an epoch has four, an even number, as mixup wants none
PLAIN = replace(SHALLOW, epochs=2, drop_path=0.0, batch_size=BATCH_SIZE)
SETTINGS: dict[str, Training] = {
    "plain": PLAIN,
    "without clipping, Nesterov": replace(PLAIN, clip=0.0, nesterov=True),
    "drop path": replace(PLAIN, drop_path=0.4),
    "cutout": replace(PLAIN, cutout=4),
    "label smoothing": replace(PLAIN, label_smoothing=0.1),
    "mixup": replace(PLAIN, mixup=0.2),
    "colour jitter": replace(PLAIN, colour_jitter=0.4),
    "moving average": replace(PLAIN, ema=0.9),
    "auxiliary head": replace(PLAIN, aux_weight=0.4),
    "everything": replace(
        PLAIN, drop_path=0.4, cutout=4, label_smoothing=0.1, mixup=0.2, colour_jitter=0.4, ema=0.9, aux_weight=0.4, warmup=0.5
    ),
}


def network(name: str = "pc_darts_cifar", *, aux_head: bool = False) -> CellNetwork:
    return CellNetwork(resolve(name), 2, cells=CELLS, channels=CHANNELS, aux_head=aux_head)


def training(settings: Training, precision: torch.dtype | None, cuda: SimulatedCuda) -> None:
    """A whole one, and the evaluation of what it gives."""
    net, images = network(aux_head=settings.aux_weight > 0).to("cuda"), data()
    learner = Learner(net, settings, seed=0, mean_std=(images.mean, images.std), precision=precision, steps=5)
    fit(cuda, learner, settings)
    found = evaluate(learner.result(), images.train, images, batch_size=7, device=learner.device, workers=0)
    assert found.images == len(images.train)
    assert {x.device.type for x in [*learner.result().parameters(), *learner.result().buffers()]} == {"cuda"}


def fit(cuda: SimulatedCuda, learner: Any, settings: Training) -> None:
    """With steps and batches noted by themselves."""
    images, step = data(), learner.step
    augmentation = replace(images.augmentation, cutout=settings.cutout)
    with (
        mock.patch.object(learner, "step", lambda *told: cuda_during(cuda, STEP, step, *told)),
        mock.patch("nasarch.runtime.loop.INTERVAL", 0.0),
        parted_batches(cuda),
    ):
        batches = BatchLoader(images.train, images, batch_size=BATCH_SIZE, seed=0, device="cuda", augmentation=augmentation)
        reports = [*train.fit(learner, batches, Checkpoint())]
    assert len(reports) == 2 * len(batches) and reports[-1].ends_epoch


def fleet(cuda: SimulatedCuda) -> None:
    """Three networks of other operations, trained and judged as one."""
    nets = [network(name) for name in ("darts_v1_cifar", "pc_darts_cifar", "ftso_cifar")]
    settings, images = replace(PLAIN, drop_path=0.4), data()
    learner = FusedLearner(FusedNetwork(nets, cells=CELLS, channels=CHANNELS).to("cuda"), settings, seed=0)
    fit(cuda, learner, settings)
    assert len(evaluate_each(learner.net, images.train, images, batch_size=7, device=learner.device, workers=0)) == len(nets)
    learner.net.weights_of(1)


def cases() -> dict[str, Callable[[SimulatedCuda], None]]:
    found = {name: partial(training, settings, None) for name, settings in SETTINGS.items()}
    lowered = {f"everything, {name}": partial(training, SETTINGS["everything"], PRECISIONS[name]) for name in ("bf16", "fp16")}
    return {**found, **lowered, "fleet": fleet}
