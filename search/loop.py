"""The loop of a search, as a generator of progress. Knows time and order; no method, no gradients, no files.

Logging, progress bars and early stopping live with the caller, who may stop asking at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from nasarch.genotype import Genotype

from .batches import Batches, endless
from .schedules import Schedule, constant
from .updates import State, Update, weights_only

ONE = constant(1.0)
INTERVAL = 0.5  # seconds between two reports within an epoch


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a search is. Loss and accuracy (0 to 1) are means over the training images that this epoch has seen so far."""

    stage: str
    epoch: int  # 1 to epochs
    epochs: int
    step: int  # 1 to steps, within the epoch
    steps: int
    loss: float
    accuracy: float
    images_per_second: float  # both sides of the data counted
    learning_rate: float
    temperature: float
    genotype: Genotype | None  # the present cell; at the end of an epoch only

    @property
    def ends_epoch(self) -> bool:
        return self.genotype is not None


def fit(
    state: State,
    train: Batches,
    valid: Batches | None,
    update: Update,
    *,
    epochs: int,
    learning_rate: Schedule,
    derive: Callable[[], Genotype],
    stage: str,
    warmup: int = 0,
    iterations: int | None = None,
    temperature: Schedule = ONE,
) -> Iterator[Progress]:
    """Train `state` for `epochs` over `train`, with a batch of `valid` (if given) beside each; report twice a second and at an epoch's end.

    Args:
        learning_rate: of the weights, by epoch.
        derive: the cell that the search would give now.
        stage: what happens, for the reader.
        warmup: so many epochs move the weights alone.
        iterations: stop after so many steps, the epoch ending there.
        temperature: of the softmaxes, by epoch.

    Raises:
        ValueError: the loss is not finite.
    """
    others = endless(valid) if valid is not None else None
    last = len(train) * epochs if iterations is None else iterations
    done = 0
    state.net.train()
    for epoch in range(epochs):
        steps = min(len(train), last - done)
        if steps <= 0:
            break
        meter = _Meter()
        rate = _set_rate(state, learning_rate(epoch))
        state.arch.temperature = temperature(epoch)  # type: ignore[assignment]
        step_update = weights_only if epoch < warmup else update
        for step, batch in zip(range(1, steps + 1), train, strict=False):
            other = batch if others is None else next(others)
            result = step_update(state, batch, other)
            meter.add(result.loss, result.correct, len(batch[1]), len(batch[1]) + (0 if others is None else len(other[1])))
            ends = step == steps
            if ends or meter.due():
                loss, accuracy = meter.means(f"{stage}, epoch {epoch + 1}, step {step}")
                yield Progress(
                    stage=stage + (": weights only" if epoch < warmup else ""),
                    epoch=epoch + 1,
                    epochs=epochs,
                    step=step,
                    steps=steps,
                    loss=loss,
                    accuracy=accuracy,
                    images_per_second=meter.images_per_second(),
                    learning_rate=rate,
                    temperature=state.arch.temperature,  # type: ignore[arg-type]
                    genotype=derive() if ends else None,
                )
        done += steps


def _set_rate(state: State, rate: float) -> float:
    for group in state.weight_optimizer.param_groups:
        group["lr"] = rate
    return rate


class _Meter:
    """Sums on the device, so that a step never waits for the one before; read twice a second at most."""

    def __init__(self) -> None:
        self.loss: torch.Tensor | float = 0.0
        self.correct: torch.Tensor | int = 0
        self.images = self.all_images = 0
        self.start = self.reported = time.perf_counter()

    def add(self, loss: torch.Tensor, correct: torch.Tensor, images: int, all_images: int) -> None:
        self.loss = self.loss + loss * images
        self.correct = self.correct + correct
        self.images += images
        self.all_images += all_images

    def due(self) -> bool:
        return time.perf_counter() - self.reported >= INTERVAL

    def means(self, place: str) -> tuple[float, float]:
        self.reported = time.perf_counter()
        loss, accuracy = float(self.loss) / self.images, int(self.correct) / self.images
        if loss != loss or loss in (float("inf"), float("-inf")):
            raise ValueError(f"the loss is {loss} in {place}: choose a smaller learning rate")
        return loss, accuracy

    def images_per_second(self) -> float:
        return self.all_images / (time.perf_counter() - self.start)
