"""The loop of a search, as a generator of progress. Knows time and order; no method, no gradients.

Logging, progress bars and early stopping live with the caller, who may stop asking at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from nasarch.cells.genotype import Genotype
from nasarch.data.loader import BatchLoader, endless
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.schedules import Schedule, constant

from .place import StageState
from .result import SearchResult
from .updates import State, Update, weights_only

Measure = Callable[[State], Mapping[str, float]]
ONE = constant(1.0)
WARM = ": weights only"  # how the name of a stage ends while the architecture rests
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
    found: SearchResult | None  # what the search would end with now; at the end of an epoch only
    figures: Mapping[str, float] = field(default_factory=dict)  # what was measured there, if anything was

    @property
    def ends_epoch(self) -> bool:
        return self.found is not None

    @property
    def genotype(self) -> Genotype | None:
        """The present cell."""
        return self.found.genotype if self.found is not None else None


def fit(
    state: State,
    train: BatchLoader,
    valid: BatchLoader | None,
    update: Update,
    *,
    epochs: int,
    learning_rate: Schedule,
    derive: Callable[[], SearchResult],
    stage: str,
    warmup: int = 0,
    sparse: bool = False,
    iterations: int | None = None,
    temperature: Schedule = ONE,
    measure: Measure | None = None,
    measure_every: int | None = None,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Progress]:
    """Train `state` for `epochs` over `train`, with a batch of `valid` (if given) beside each; report twice a second and at an epoch's end.

    Args:
        learning_rate: of the weights, by epoch.
        derive: what the search would end with now.
        stage: what happens, for the reader, and the name under which the checkpoint keeps it.
        warmup: so many epochs move the weights alone.
        sparse: in every other epoch, too, only one step moves the architecture: the last but one, as the last batch may be small.
        iterations: stop after so many steps, the epoch ending there; at most as many as the epochs have.
        temperature: of the softmaxes, by epoch.
        measure: looks at the state at the end of every epoch, and gives figures by name.
        measure_every: it looks after so many steps of an epoch, too.
        checkpoint: go on from what it holds of this stage, and keep the state there after every epoch, or when it asks for a stop.

    Raises:
        ValueError: the loss is not finite; the checkpoint then holds the state before this epoch. Or the processes have drifted apart,
            or the epochs have fewer steps than `iterations`.
        KeyboardInterrupt: the checkpoint asked for a stop, after a step, and holds the state.
    """
    place = StageState(checkpoint or Checkpoint(), stage, state, train, valid)
    others = endless(valid) if valid is not None else None
    whole = len(train) * epochs
    if iterations is not None and iterations > whole:
        raise ValueError(f"iterations={iterations}: epochs={epochs} have {whole} steps; choose fewer iterations, or more epochs")
    last = whole if iterations is None else iterations
    state.net.train()
    state.arch.temperature = temperature(max(0, place.epochs - 1))  # type: ignore[assignment]  # of a stage that is over
    for epoch in range(place.epochs, epochs):
        steps = min(len(train), last - epoch * len(train))
        if steps <= 0 or place.is_over:
            break
        rate = _set_rate(state, learning_rate(epoch))
        state.arch.temperature = temperature(epoch)  # type: ignore[assignment]
        meter, stops = place.meter, False
        for step, batch in zip(range(place.step + 1, steps + 1), train, strict=False):
            other = batch if others is None or epoch < warmup else next(others)
            rests = epoch < warmup or (sparse and step != max(1, steps - 1))
            result = (weights_only if rests else update)(state, batch, other)
            meter.add(result.loss, result.correct, len(batch[1]), 0 if other is batch else len(other[1]))
            ends = step == steps
            looks = measure is not None and (ends or (measure_every is not None and step % measure_every == 0))
            if ends or looks or meter.due(INTERVAL):
                place.check(epoch, step)
                loss, accuracy = meter.means(f"{stage}, epoch {epoch + 1}", of_all=ends)
                yield Progress(
                    stage=stage + (WARM if epoch < warmup else ""),
                    epoch=epoch + 1,
                    epochs=epochs,
                    step=step,
                    steps=steps,
                    loss=loss,
                    accuracy=accuracy,
                    images_per_second=meter.images_per_second(),
                    learning_rate=rate,
                    temperature=state.arch.temperature,  # type: ignore[arg-type]
                    found=_agreed(derive()) if ends else None,
                    figures=measure(state) if measure is not None and looks else {},
                )
            stops = place.stop_requested(step, ends=ends)
            if stops and not ends:
                place.check(epoch, step)
                place.keep(epoch, step)
                raise KeyboardInterrupt
        is_over = (epoch + 1) * len(train) >= last
        place.keep_epoch(epoch + 1, is_over=is_over)
        if stops and not is_over:
            raise KeyboardInterrupt


def _agreed(found: SearchResult) -> SearchResult:
    """What was found, after all processes have found the same."""
    distributed.check_same(repr(found.genotype.to_dict()), "cells")
    return found


def _set_rate(state: State, rate: float) -> float:
    for group in state.weight_optimizer.param_groups:
        group["lr"] = rate
    return rate
