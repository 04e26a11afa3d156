"""Progress of a training: a bar and a line an epoch on a terminal, lines in a file, events for TensorBoard."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from .board import Board
from .show import INTERVAL, Clock
from .train import Progress

FIGURES = ("loss", "accuracy", "learning_rate", "drop_path", "images_per_second")


class TrainDisplay:
    """A context; called with every `Progress` of a training."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title, self.clock = console, title, Clock()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
        self.bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task: TaskID | None = None
        self.written = time.monotonic()

    def __enter__(self) -> TrainDisplay:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.bar.stop()

    def __call__(self, place: Progress) -> None:
        done, total = (place.epoch - 1) * place.steps + place.step, place.steps * place.epochs
        left = self.clock.left("training", done, total)
        rest = "" if left is None else f"; {left} left"
        where = f"{self.title}, epoch {place.epoch} of {place.epochs}"
        figures = f"loss {place.loss:.4f}, accuracy {place.accuracy:.3f}, {place.images_per_second:,.0f} images/s{rest}"
        if self.task is None:
            self.task = self.bar.add_task(where, figures=figures)
        self.bar.update(self.task, description=where, completed=done, total=total, figures=figures)
        if place.ends_epoch or (not self.console.is_terminal and time.monotonic() - self.written >= INTERVAL):
            self.console.print(f"{where}, step {place.step} of {place.steps}: {figures}", highlight=False, soft_wrap=True)
            self.written = time.monotonic()


def on_board(board: Board, place: Progress) -> None:
    """The end of an epoch as events."""
    if place.ends_epoch:
        for name in FIGURES:
            board.writer.add_scalar(f"training/{name}", getattr(place, name), place.epoch)
