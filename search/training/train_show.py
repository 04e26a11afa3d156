"""What a training says of itself while it runs, on a terminal, in a file and for TensorBoard."""

from __future__ import annotations

from nasarch.runtime.progress import ProgressDisplay
from nasarch.runtime.tensorboard import TensorBoardLogger

from .learner import Progress

FIGURES = ("loss", "accuracy", "learning_rate", "drop_path", "images_per_second")


def report(live: ProgressDisplay, title: str, place: Progress) -> None:
    """Where the training is, and its figures."""
    live.say(
        f"{title}, epoch {place.epoch} of {place.epochs}",
        f"loss {place.loss:.4f}, accuracy {place.accuracy:.3f}, {place.images_per_second:,.0f} images/s",
        (place.epoch - 1) * place.steps + place.step,
        place.steps * place.epochs,
        ends=place.ends_epoch,
        step=f", step {place.step} of {place.steps}",
    )


def log_epoch(logger: TensorBoardLogger, progress: Progress) -> None:
    """Write the metrics of an epoch's end as TensorBoard events."""
    if progress.ends_epoch:
        logger.log("training", {name: getattr(progress, name) for name in FIGURES}, progress.epoch)
