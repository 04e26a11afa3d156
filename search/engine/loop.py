"""A stage of a search: when weights and architecture parameters are trained, by which rates. Knows no method, no gradients.

Every step runs through nasarch/runtime/captured.py, which on CUDA can record it once and replay it.

The epochs are driven by nasarch/runtime/loop.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype
from nasarch.data.loader import BatchLoader, endless
from nasarch.runtime import distributed
from nasarch.runtime.captured import Captured
from nasarch.runtime.loop import Position
from nasarch.runtime.meter import REMEDY, Meter
from nasarch.runtime.optimizers import load_state, set_rate, state_of
from nasarch.runtime.schedules import Schedule, constant

from .result import SearchResult
from .updates import PASSES, Batch, State, Step, Update, weights_only

Measure = Callable[[State], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a search is. Loss and accuracy (0 to 1) are means over the training images that this epoch has seen so far."""

    stage: str
    is_warmup: bool  # the weights alone are trained in this epoch
    epoch: int  # 1 to epochs
    epochs: int
    step: int  # 1 to steps, within the epoch
    steps: int
    loss: float
    accuracy: float
    images_per_second: float  # training and validation images
    learning_rate: float
    temperature: float
    result: SearchResult | None  # what the search would end with now; at the end of an epoch only
    figures: Mapping[str, float] = field(default_factory=dict)  # what was measured there, if anything was
    measured: SearchResult | None = None  # what the search would end with where figures were measured within an epoch

    @property
    def ends_epoch(self) -> bool:
        return self.result is not None

    @property
    def genotype(self) -> Genotype | None:
        """The present cell."""
        return self.result.genotype if self.result is not None else None


class SearchStage:
    """A stage that trains `state` over the batches of `train`, with a batch of `valid` (if given) beside each.

    Args:
        name: what happens, for the reader, and the name of the stage in the checkpoint.
        epochs: of the stage.
        learning_rate: of the weights, by epoch.
        derive: returns what the search would end with now.
        warmup: number of first epochs that train the weights alone.
        sparse: in every other epoch, too, only one step trains the architecture: the last but one, as the last batch may be small.
        iterations: number of steps after which the stage ends; at most as many as the epochs have.
        temperature: of the softmaxes, by epoch.
        measure: called with the state at the end of every epoch; returns figures by name.
        measure_every: number of steps after which it is called within an epoch, too.
        capture: record the steps as CUDA graphs and replay them, where the device is one of CUDA.

    Raises:
        ValueError: the epochs have fewer steps than `iterations`.
    """

    def __init__(
        self,
        state: State,
        train: BatchLoader,
        valid: BatchLoader | None,
        update: Update,
        *,
        name: str,
        epochs: int,
        learning_rate: Schedule,
        derive: Callable[[], SearchResult],
        warmup: int = 0,
        sparse: bool = False,
        iterations: int | None = None,
        temperature: Schedule | None = None,
        measure: Measure | None = None,
        measure_every: int | None = None,
        capture: bool = False,
    ) -> None:
        self.state, self.update, self.derive = state, update, derive
        self.name, self.epochs, self.warmup, self.sparse = name, epochs, warmup, sparse
        self.learning_rate, self.temperature = learning_rate, temperature or constant(1.0)
        self.measure = measure
        self.report_steps = measure_every if measure is not None else None
        self.captures, self.captured = capture, dict[Update, Captured]()
        self.device, self.remedy = next(state.net.parameters()).device, REMEDY
        self.batches: Iterable[Batch] = train
        self.loaders = {"train": train} | ({} if valid is None else {"valid": valid})
        self.valid_batches = endless(valid) if valid is not None else None
        self.steps = len(train)
        self.total_steps = self.steps * epochs if iterations is None else iterations
        if self.total_steps > self.steps * epochs:
            steps = self.steps * epochs
            raise ValueError(f"iterations={iterations}: epochs={epochs} have {steps} steps; choose fewer iterations, or more epochs")
        state.net.train()

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate and the temperature."""
        self.is_warmup, self.rate = epoch < self.warmup, self.learning_rate(epoch)
        set_rate(self.state.weight_optimizer, self.rate)
        self._set_temperature(epoch)

    def step(self, batch: Batch, number: int, meter: Meter) -> None:
        """Train weights and architecture parameters on a batch, or the weights alone."""
        epoch, step = divmod(number, self.steps)
        steps = min(self.steps, self.total_steps - epoch * self.steps)
        other = batch if self.valid_batches is None or self.is_warmup else next(self.valid_batches)
        is_weights_only = self.is_warmup or (self.sparse and step + 1 != max(1, steps - 1))
        loss, correct = self._updated(*((weights_only, batch, batch) if is_weights_only else (self.update, batch, other)))
        count = len(batch[1])
        meter.add(loss, (loss * count, correct), count, images=count + (0 if other is batch else len(other[1])))

    def _updated(self, update: Update, train: Batch, valid: Batch) -> Sequence[Tensor]:
        """Make the step; channels that are sampled are drawn before it."""
        if update not in self.captured:
            self.captured[update] = Captured(partial(_step, update, self.state), enabled=self.captures)
        sampler = getattr(self.state.net, "sampler", None)
        channels = [] if sampler is None else [sampler.draw(PASSES[update]).to(self.device, non_blocking=True)]
        return self.captured[update](*train, *(() if valid is train else valid), *channels)

    def report(self, position: Position, means: Sequence[float]) -> Progress:
        """The progress, with the present cell at the end of an epoch; the processes have to agree on the cell."""
        ends = position.step == position.steps
        measures = ends or (self.report_steps is not None and position.step % self.report_steps == 0)
        # the first steps under float16 may be left out, so that there is nothing yet to derive a cell from
        present = self.derive() if ends or (measures and not self.state.scaler.is_enabled()) else None
        if present is not None:
            distributed.check_same(repr(present.genotype.to_dict()), "cells")
        return Progress(
            stage=self.name,
            is_warmup=self.is_warmup,
            **position._asdict(),
            epochs=self.epochs,
            loss=means[0],
            accuracy=means[1],
            learning_rate=self.rate,
            temperature=self.degrees,
            result=present if ends else None,
            measured=None if ends else present,
            figures=self.measure(self.state) if self.measure is not None and measures else {},
        )

    def state_dict(self, *, is_over: bool) -> dict[str, Any]:
        """All that the next step depends on; of a stage that is over the architecture parameters, which the next stage reads.

        Of these also the gradients, with which recipes break ties, and the candidate operations that they are of.
        """
        state = self.state
        arch = {name: (p.detach().cpu(), None if p.grad is None else p.grad.cpu()) for name, p in state.arch.named_parameters()}
        read_next = {"arch": arch, "candidates": state.arch.candidates_ZEO.cpu()}
        if is_over:
            return read_next
        return read_next | {
            "net": state.net.state_dict(),
            "weight_optimizer": state_of(state.weight_optimizer),
            "arch_optimizer": state_of(state.arch_optimizer),
            "loaders": {name: loader.state_dict() for name, loader in self.loaders.items()},
            "scaler": state.scaler.state_dict(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            ValueError: it is of a search among other candidates.
        """
        state = self.state
        if not torch.equal(saved["candidates"], state.arch.candidates_ZEO.cpu()):  # type: ignore[arg-type]
            raise ValueError(
                f"the checkpoint of stage {self.name!r} is of a search among other candidate operations: resume it with the same "
                "--operations-from, or search again in another folder"
            )
        for name, parameter in state.arch.named_parameters():
            value, gradient = saved["arch"][name]
            parameter.data.copy_(value)
            parameter.grad = None if gradient is None else gradient.to(parameter)
        if saved["is_over"]:
            self._set_temperature(saved["epochs"] - 1)
            return
        state.net.load_state_dict(saved["net"])
        load_state(state.weight_optimizer, saved["weight_optimizer"])
        load_state(state.arch_optimizer, saved["arch_optimizer"])
        if saved["scaler"]:  # empty where nothing is scaled
            state.scaler.load_state_dict(saved["scaler"])
        for name, loader in self.loaders.items():
            loader.load_state_dict(saved["loaders"][name])

    def _set_temperature(self, epoch: int) -> None:
        self.degrees = self.temperature(epoch)
        self.state.arch.temperature.fill_(self.degrees)  # type: ignore[operator]


def _step(update: Update, state: State, *tensors: Tensor) -> Step:
    """The update on training and validation images and labels (one batch is both), and the drawn channels if they are sampled."""
    if len(tensors) % 2:
        state.net.sampler.use(tensors[-1])  # type: ignore[operator,union-attr]
    (x, y), others = tensors[:2], tensors[2:4]
    return update(state, (x, y), (others[0], others[1]) if len(others) == 2 else (x, y))
