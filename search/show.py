"""Progress of a search on a terminal: a bar that moves; where output goes to a file, a line every quarter of a minute."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .loop import Progress as Place

INTERVAL = 15.0  # seconds between two lines in a file


class Display:
    """A context; called with every `Progress` of the loop."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title = console, title
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task: TaskID | None = None
        self.written = time.monotonic()

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.bar.stop()

    def __call__(self, place: Place) -> None:
        figures = f"loss {place.loss:.4f}, accuracy {place.accuracy:.3f}, {place.images_per_second:,.0f} images/s"
        where = f"{self.title}, {place.stage}, epoch {place.epoch} of {place.epochs}"
        if self.task is None:
            self.task = self.bar.add_task(where, figures=figures)
        done, total = (place.epoch - 1) * place.steps + place.step, place.steps * place.epochs
        self.bar.update(self.task, description=where, completed=done, total=total, figures=figures)
        if place.ends_epoch or (not self.console.is_terminal and time.monotonic() - self.written >= INTERVAL):
            self.console.print(f"{where}, step {place.step} of {place.steps}: {figures}", highlight=False, soft_wrap=True)
            self.written = time.monotonic()
