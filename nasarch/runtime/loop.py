"""The epoch loop of searches and trainings, as a generator of progress. Knows time, order and the checkpoint; no network, no gradients.

Logging, progress bars and early stopping live with the caller, who may stop iterating at any time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from . import distributed
from .checkpoint import Checkpoint
from .meter import Meter

INTERVAL = 0.5  # seconds between two reports within an epoch
Batch = TypeVar("Batch")
Progress = TypeVar("Progress", covariant=True)


class Position(NamedTuple):
    """The epoch and step that a report is about, and the speed since the epoch began."""

    epoch: int  # 1 to epochs
    step: int  # 1 to steps, within the epoch
    steps: int
    images_per_second: float  # all processes together


class Stage(Protocol[Batch, Progress]):
    """A stage of training: what `run_epochs` drives.

    Attributes:
        name: of the stage, in messages and in the checkpoint.
        device: where the losses lie.
        remedy: what the error about a loss that is not finite advises.
        steps: an epoch has.
        total_steps: of all epochs; the last epoch may be cut short by it.
        report_steps: report after every so many steps of an epoch, too, whatever the time; None for no such reports.
        batches: iterating over it gives the rest of the present epoch.
    """

    name: str
    device: torch.device
    remedy: str
    steps: int
    total_steps: int
    report_steps: int | None
    batches: Iterable[Batch]

    def start_epoch(self, epoch: int) -> None:
        """Set what depends on the epoch, counted from 0."""

    def step(self, batch: Batch, number: int, meter: Meter) -> None:
        """Make one step, counted from 0 over all epochs, and add its losses to the meter."""

    def report(self, position: Position, means: Sequence[float]) -> Progress:
        """What is yielded; `means` are those of the meter."""

    def state_dict(self, *, is_over: bool) -> dict[str, Any]:
        """What the next step, or if the stage is over the next stage, depends on. All processes call this at the same time."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned, with the keys epochs and is_over besides."""


def run_epochs(stage: Stage[Batch, Progress], checkpoint: Checkpoint) -> Iterator[Progress]:
    """Run the epochs of a stage from where the checkpoint is; report twice a second and at an epoch's end, and save the state there.

    Raises:
        ValueError: a loss is not finite; the checkpoint then holds the state before this epoch. Or it is of another network.
        KeyboardInterrupt: the checkpoint asked for a stop, after a step, and holds the state.
    """
    meter, first, done = Meter(stage.device, stage.remedy), 0, 0
    if (state := checkpoint.stage(stage.name)) is not None:
        stage.load_state_dict(state)
        first, done = state["epochs"], state["step"]
        if distributed.is_main():  # its sums are those of all processes
            meter.load_state_dict(state["meter"])

    def save(epochs: int, step: int, *, is_over: bool) -> None:
        position = {"epochs": epochs, "step": step, "is_over": is_over, "meter": meter.state_dict()}
        state = stage.state_dict(is_over=is_over) | position
        if checkpoint.path is not None:
            checkpoint.save(stage.name, state)

    for epoch in range(first, math.ceil(stage.total_steps / stage.steps)):
        steps, where = min(stage.steps, stage.total_steps - epoch * stage.steps), f"{stage.name}, epoch {epoch + 1}"
        stage.start_epoch(epoch)
        stops = False
        for step, batch in zip(range(done + 1, steps + 1), stage.batches, strict=False):
            stage.step(batch, epoch * stage.steps + step - 1, meter)
            ends = step == steps
            if ends or meter.due(INTERVAL) or (stage.report_steps and step % stage.report_steps == 0):
                meter.check(where, step)
                means = meter.means(where, all_processes=ends)
                yield stage.report(Position(epoch + 1, step, steps, meter.images_per_second()), means)
            stops = distributed.stop_agreed(checkpoint.stop_requested, step, stage.device, ends=ends)
            if stops and not ends:
                meter.check(where, step)
                save(epoch, step, is_over=False)
                raise KeyboardInterrupt
        done, meter = 0, Meter(stage.device, stage.remedy)
        is_over = (epoch + 1) * stage.steps >= stage.total_steps
        save(epoch + 1, 0, is_over=is_over)
        if stops and not is_over:
            raise KeyboardInterrupt
