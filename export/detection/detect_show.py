"""What a detector's training says of itself while it runs."""

from __future__ import annotations

from nasarch.runtime.progress import ProgressDisplay

from .learner import Progress


def report(live: ProgressDisplay, place: Progress) -> None:
    """Where the training is, and its losses."""
    losses = f"loss {place.loss:.3f} (classes {place.classification:.3f}, boxes {place.localisation:.3f})"
    live.say(
        f"epoch {place.epoch} of {place.epochs}",
        f"{losses}, {place.images_per_second:,.0f} images/s",
        (place.epoch - 1) * place.steps + place.step,
        place.steps * place.epochs,
        ends=place.ends_epoch,
        step=f", step {place.step} of {place.steps}",
    )
