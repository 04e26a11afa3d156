"""Whole searches of all methods on the simulated device, through the search context, with a few steps an epoch and a report after each.

| part | holds |
|---|---|
| step | updates |
| batch | what makes a batch: crops, flips, normalisation |
| outside | all else: building, reports, the eigenvalue, choosing the cell |

Not run: images on disk, whose batches lie in pinned memory, which takes a driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any
from unittest import mock

import torch

from nasarch.data.dataset import Augmentation, Dataset, Images
from nasarch.data.loader import BatchLoader
from nasarch.search.engine import context as search_context
from nasarch.search.engine import loop
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.updates import Update
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from tests.helpers.nested import nested
from tests.simulated_cuda.steps import STEP
from tests.simulated_cuda.watch import SimulatedCuda

BATCH = "batch"
IMAGES, PIXELS = 24, 16
SIZE = {"nodes": 2, "channels": 8, "batch_size": 5}  # epochs of 3 steps, the last one of two images
NETWORK = {**SIZE, "layers": 3}
PATH = {"path": "01-01", "images": 12}
AUGMENTATION = Augmentation(padding=2, flip=True, cutout=4)


def data(augmentation: Augmentation = AUGMENTATION) -> Dataset:
    """Noise of two classes, in memory."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (IMAGES, 3, PIXELS, PIXELS), dtype=torch.uint8, generator=generator)
    images = Images(pixels, torch.arange(IMAGES) % 2)
    return Dataset(name="noise", train=images, test=None, class_names=("a", "b"), augmentation=augmentation, source="noise")


SEARCHES: dict[str, tuple[ModuleType, Any, dict[str, Any]]] = {
    "ftso": (ftso, ftso.Ftso(epochs=1, **NETWORK), {"hessian": True, "hessian_every": 2}),
    "ftso, one iteration": (ftso, ftso.Ftso(epochs=1, iterations=1, **NETWORK), {}),
    "ftso, random resized crops": (ftso, ftso.Ftso(epochs=1, **NETWORK), {"data": data(Augmentation(crop_scale=(0.2, 1.0), flip=True))}),
    "ftso, operators by gradient": (ftso, ftso.Ftso(epochs=1, operator="gradient", operator_epochs=1, **NETWORK), {}),
    "ftso, two operations": (ftso, ftso.Ftso(epochs=1, topology_operation=("skip_connect", "sep_conv_3x3"), **NETWORK), {}),
    "darts, first order": (darts, darts.Darts(order="first", epochs=1, **NETWORK), {}),
    "darts, second order": (darts, darts.Darts(order="second", epochs=1, **NETWORK), {"hessian": True}),
    "darts, exact order": (darts, darts.Darts(order="exact", epochs=1, **NETWORK), {}),
    "pc-darts": (pc_darts, pc_darts.PcDarts(epochs=2, warmup=1, **NETWORK), {"hessian": True}),
    "pc-darts, random channels": (pc_darts, pc_darts.PcDarts(epochs=1, warmup=0, random_channels=True, **NETWORK), {"hessian": True}),
    "pc-darts, bf16": (pc_darts, pc_darts.PcDarts(epochs=1, warmup=0, **NETWORK), {"amp": "bf16"}),
    "pc-darts, fp16": (pc_darts, pc_darts.PcDarts(epochs=1, warmup=0, **NETWORK), {"amp": "fp16"}),
    "dots": (
        dots,
        nested(
            dots.Dots(),
            operation_epochs=2,
            operation_warmup=1,
            topology_epochs=2,
            topology_warmup=1,
            operation_layers=3,
            topology_layers=3,
            **SIZE,
        ),
        {"hessian": True},
    ),
    "edarts, attention off": (edarts, edarts.Edarts(epochs=1, attention="off", **PATH, **NETWORK), {}),
    "edarts, attention at the start": (edarts, edarts.Edarts(epochs=1, attention="start", **PATH, **NETWORK), {}),
    "edarts, attention in every pass": (edarts, edarts.Edarts(epochs=1, attention="forward", **PATH, **NETWORK), {}),
    "edarts, attention after updates": (edarts, edarts.Edarts(epochs=1, attention="update", sparse=False, **PATH, **NETWORK), {}),
}


def search(method: ModuleType, recipe: Any, context: dict[str, Any], cuda: SimulatedCuda) -> None:
    """A whole search, to its end."""
    with parted(cuda):
        progress = method.search(SearchContext(**{"data": data(), "device": "cuda", **context}), recipe)
        reports = []
        while True:
            try:
                reports.append(next(progress))
            except StopIteration as end:
                result = end.value
                break
    assert reports[-1].ends_epoch and set(result.genotype.cells) == {"normal", "reduction"}
    assert all("eigenvalue" in report.figures for report in reports if report.ends_epoch) is context.get("hessian", False)


@contextmanager
def parted(cuda: SimulatedCuda) -> Iterator[None]:
    """Updates and batches are noted by themselves, and every step is reported."""
    search_stage = search_context.SearchStage

    def within(update: Update) -> Update:
        return lambda *told: cuda_during(cuda, STEP, update, *told)

    def parted_stage(state: Any, train: Any, valid: Any, update: Update, **schedule: Any) -> Any:
        return search_stage(state, train, valid, within(update), **schedule)

    with (
        mock.patch.object(search_context, "SearchStage", parted_stage),
        mock.patch.object(loop, "weights_only", within(loop.weights_only)),
        mock.patch("nasarch.runtime.loop.INTERVAL", 0.0),
        parted_batches(cuda),
    ):
        yield


def cuda_during(cuda: SimulatedCuda, part: str, do: Callable[..., Any], *told: Any) -> Any:
    with cuda.during(part):
        return do(*told)


@contextmanager
def parted_batches(cuda: SimulatedCuda) -> Iterator[None]:
    """The making of batches is noted by itself."""
    iterate = BatchLoader.__iter__

    def parted(self: BatchLoader) -> Iterator[Any]:
        source = iterate(self)
        while (batch := cuda_during(cuda, BATCH, next, source, None)) is not None:
            yield batch

    with mock.patch.object(BatchLoader, "__iter__", parted):
        yield


def cases() -> dict[str, Callable[[SimulatedCuda], None]]:
    return {name: partial(search, *told) for name, told in SEARCHES.items()}
