"""Progress of a detector's training: a bar and a line an epoch on a terminal, lines in a file."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from nasarch.search.show import INTERVAL, Clock

from .detect_train import Progress


class DetectDisplay:
    """A context; called with every `Progress` of a training."""

    def __init__(self, console: Console) -> None:
        self.console, self.clock = console, Clock()
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
        self.bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task: TaskID | None = None
        self.written = time.monotonic()

    def __enter__(self) -> DetectDisplay:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.bar.stop()

    def __call__(self, place: Progress) -> None:
        done, total = (place.epoch - 1) * place.steps + place.step, place.steps * place.epochs
        left = self.clock.left("training", done, total)
        where = f"epoch {place.epoch} of {place.epochs}"
        losses = f"loss {place.loss:.3f} (classes {place.classification:.3f}, boxes {place.localisation:.3f})"
        figures = f"{losses}, {place.images_per_second:,.0f} images/s{'' if left is None else f'; {left} left'}"
        if self.task is None:
            self.task = self.bar.add_task(where, figures=figures)
        self.bar.update(self.task, description=where, completed=done, total=total, figures=figures)
        if place.ends_epoch or (not self.console.is_terminal and time.monotonic() - self.written >= INTERVAL):
            self.console.print(f"{where}, step {place.step} of {place.steps}: {figures}", highlight=False, soft_wrap=True)
            self.written = time.monotonic()
