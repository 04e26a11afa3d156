"""Progress of a search on a terminal: a bar that moves and a line an epoch; in a file, a line every quarter of a minute as well."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from nasarch.genotype import Genotype

from .figures import imagenet_multi_adds, skips
from .loop import WARM
from .loop import Progress as Place
from .summary import duration

INTERVAL = 15.0  # seconds between two lines in a file


class Display:
    """A context; called with every `Progress` of the loop."""

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title, self.clock = console, title, Clock()
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
        where = f"{self.title}, {stage_name(place.stage)}, epoch {place.epoch} of {place.epochs}"
        done, total = (place.epoch - 1) * place.steps + place.step, place.steps * place.epochs
        left = self.clock.left(place.stage, done, total)
        self._move(where, figures, done, total)
        if place.ends_epoch or (not self.console.is_terminal and time.monotonic() - self.written >= INTERVAL):
            cell = "" if place.genotype is None else f"; {cell_figures(place.genotype)}"
            rest = "" if left is None else f"; {left} left of this stage"
            self.console.print(f"{where}, step {place.step} of {place.steps}: {figures}{cell}{rest}", highlight=False, soft_wrap=True)
            self.written = time.monotonic()

    def _move(self, where: str, figures: str, done: int, total: int) -> None:
        if self.task is None:
            self.task = self.bar.add_task(where, figures=figures)
        if done < self.bar.tasks[0].completed:
            self.bar.reset(self.task)  # another stage, another pace
        self.bar.update(self.task, description=where, completed=done, total=total, figures=figures)


class Clock:
    """The pace of a stage, since its first report; a warm-up has a pace of its own."""

    def __init__(self) -> None:
        self.stage, self.first, self.start = "", 0, 0.0

    def left(self, stage: str, done: int, total: int) -> str | None:
        """Until `total` steps, `done` of which are over; None as long as there is no pace, and at the end."""
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.first, self.start = stage, done, now
        if done == self.first or done == total:
            return None
        return duration((total - done) * (now - self.start) / (done - self.first))


def stage_name(stage: str) -> str:
    """For people to read."""
    return f"{stage.removesuffix(WARM)} (warm-up: only weights)" if stage.endswith(WARM) else stage


def cell_figures(cells: Genotype) -> str:
    """Skip connections and cost of a cell."""
    counts = ", ".join(f"{count} {kind}" for kind, count in skips(cells).items())
    cost = imagenet_multi_adds(cells)
    return f"skip connections: {counts}" + ("" if cost is None else f"; {cost:.0f} M multi-adds on ImageNet")
