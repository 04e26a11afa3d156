"""The loop of a search, as a generator of progress. Knows time and order; no method, no gradients.

Logging, progress bars and early stopping live with the caller, who may stop asking at any time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from nasarch.genotype import Genotype

from .batches import Batches, endless
from .checkpoint import Checkpoint
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
    checkpoint: Checkpoint | None = None,
) -> Iterator[Progress]:
    """Train `state` for `epochs` over `train`, with a batch of `valid` (if given) beside each; report twice a second and at an epoch's end.

    Args:
        learning_rate: of the weights, by epoch.
        derive: the cell that the search would give now.
        stage: what happens, for the reader, and the name under which the checkpoint keeps it.
        warmup: so many epochs move the weights alone.
        iterations: stop after so many steps, the epoch ending there.
        temperature: of the softmaxes, by epoch.
        checkpoint: go on from what it holds of this stage, and keep the state there after every epoch, or when it asks for a stop.

    Raises:
        ValueError: the loss is not finite; the checkpoint then holds the state before this epoch.
        KeyboardInterrupt: the checkpoint asked for a stop, after a step, and holds the state.
    """
    place = _Place(checkpoint or Checkpoint(), stage, state, train, valid)
    others = endless(valid) if valid is not None else None
    last = len(train) * epochs if iterations is None else iterations
    state.net.train()
    for epoch in range(place.epochs, epochs):
        steps = min(len(train), last - epoch * len(train))
        if steps <= 0 or place.is_over:
            break
        rate = _set_rate(state, learning_rate(epoch))
        state.arch.temperature = temperature(epoch)  # type: ignore[assignment]
        step_update = weights_only if epoch < warmup else update
        meter = place.meter
        for step, batch in zip(range(place.step + 1, steps + 1), train, strict=False):
            other = batch if others is None else next(others)
            result = step_update(state, batch, other)
            meter.add(result.loss, result.correct, len(batch[1]), 0 if others is None else len(other[1]))
            ends = step == steps
            if ends or meter.due() or place.checkpoint.stop_requested:
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
            if place.checkpoint.stop_requested and not ends:
                place.keep(epoch, step)
                raise KeyboardInterrupt
        is_over = epoch + 1 == epochs or (epoch + 1) * len(train) >= last
        place.keep_epoch(epoch + 1, is_over=is_over)
        if place.checkpoint.stop_requested and not is_over:
            raise KeyboardInterrupt


class _Place:
    """How far a stage is, its state laid down in the checkpoint and taken up again."""

    def __init__(self, checkpoint: Checkpoint, stage: str, state: State, train: Batches, valid: Batches | None) -> None:
        self.checkpoint, self.stage, self.state = checkpoint, stage, state
        self.loaders = {"train": train} | ({} if valid is None else {"valid": valid})
        self.epochs = self.step = 0
        self.is_over = False
        self.meter = _Meter()
        if (kept := checkpoint.stage(stage)) is not None:
            self._take_up(kept)

    def keep_epoch(self, epochs: int, *, is_over: bool) -> None:
        """An epoch ended; of a stage that is over only what others read is kept."""
        self.step, self.meter = 0, _Meter()
        if is_over:
            self.checkpoint.keep(self.stage, {"epochs": epochs, "step": 0, "is_over": True, "arch": self._arch()})
        else:
            self.keep(epochs, 0)

    def keep(self, epochs: int, step: int) -> None:
        """Everything, after `step` steps of the epoch that follows `epochs` whole ones."""
        if self.checkpoint.path is None:
            return
        state = self.state
        self.checkpoint.keep(
            self.stage,
            {
                "epochs": epochs,
                "step": step,
                "is_over": False,
                "arch": self._arch(),
                "net": state.net.state_dict(),
                "weight_optimizer": state.weight_optimizer.state_dict(),
                "arch_optimizer": state.arch_optimizer.state_dict(),
                "loaders": {name: loader.state_dict() for name, loader in self.loaders.items()},
                "meter": self.meter.state_dict(),
            },
        )

    def _arch(self) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
        """The architecture parameters, and the gradients that recipes break ties with."""
        return {name: (p.detach().cpu(), None if p.grad is None else p.grad.cpu()) for name, p in self.state.arch.named_parameters()}

    def _take_up(self, kept: dict[str, Any]) -> None:
        for name, parameter in self.state.arch.named_parameters():
            value, gradient = kept["arch"][name]
            parameter.data.copy_(value)
            parameter.grad = None if gradient is None else gradient.to(parameter)
        self.epochs, self.step, self.is_over = kept["epochs"], kept["step"], kept["is_over"]
        if self.is_over:
            return
        self.state.net.load_state_dict(kept["net"])
        self.state.weight_optimizer.load_state_dict(kept["weight_optimizer"])
        self.state.arch_optimizer.load_state_dict(kept["arch_optimizer"])
        for name, loader in self.loaders.items():
            loader.load_state_dict(kept["loaders"][name])
        self.meter.load_state_dict(kept["meter"])


def _set_rate(state: State, rate: float) -> float:
    for group in state.weight_optimizer.param_groups:
        group["lr"] = rate
    return rate


class _Meter:
    """Sums on the device, so that a step never waits for the one before; read twice a second at most."""

    def __init__(self) -> None:
        self.loss: torch.Tensor | float = 0.0
        self.correct: torch.Tensor | int = 0
        self.images = self.timed = 0
        self.start = self.reported = time.perf_counter()

    def add(self, loss: torch.Tensor, correct: torch.Tensor, images: int, other_images: int) -> None:
        self.loss = self.loss + loss * images
        self.correct = self.correct + correct
        self.images += images
        self.timed += images + other_images

    def due(self) -> bool:
        return time.perf_counter() - self.reported >= INTERVAL

    def means(self, place: str) -> tuple[float, float]:
        self.reported = time.perf_counter()
        loss, accuracy = float(self.loss) / self.images, int(self.correct) / self.images
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss} in {place}: choose a smaller learning rate")
        return loss, accuracy

    def images_per_second(self) -> float:
        return self.timed / (time.perf_counter() - self.start)

    def state_dict(self) -> dict[str, Any]:
        return {"loss": torch.as_tensor(self.loss).cpu(), "correct": int(self.correct), "images": self.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss, self.correct, self.images = state["loss"], state["correct"], state["images"]
