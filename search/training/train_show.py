"""Progress of a training, on a terminal, in a file and for experiment loggers."""

from __future__ import annotations

from nasarch.runtime.loggers import RunLog
from nasarch.runtime.progress import ProgressDisplay

from .learner import Progress

FIGURES = ("loss", "accuracy", "learning_rate", "drop_path", "images_per_second")


def report(display: ProgressDisplay, title: str, progress: Progress) -> None:
    """Show the epoch, the step and the metrics of a training."""
    display.say(
        f"{title}, epoch {progress.epoch} of {progress.epochs}",
        f"loss {progress.loss:.4f}, accuracy {progress.accuracy:.3f}, {progress.images_per_second:,.0f} images/s",
        (progress.epoch - 1) * progress.steps + progress.step,
        progress.steps * progress.epochs,
        ends=progress.ends_epoch,
        step=f", step {progress.step} of {progress.steps}",
    )


def log_epoch(log: RunLog, progress: Progress) -> None:
    """Log the metrics of an epoch's end."""
    if progress.ends_epoch:
        log.log("training", progress.epoch, {name: getattr(progress, name) for name in FIGURES})
