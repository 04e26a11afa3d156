"""Progress display: a bar on a terminal, a line at each epoch's end, and in a file a line every quarter of a minute as well.

Knows no method and no figures: text and figures are given, the time left is computed here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from nasarch.console import printable

P = TypeVar("P")

INTERVAL = 15.0  # seconds between two lines in a file


class ProgressDisplay:
    """A context with a bar. `of` says of what the time is that is left: " of this stage"."""

    def __init__(self, console: Console, of: str = "") -> None:
        self.console, self.of, self.clock = console, of, Clock()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[figures]}", markup=False))
        self.bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task: TaskID | None = None
        self.written = time.monotonic()

    def __enter__(self) -> ProgressDisplay:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.bar.stop()

    def say(self, where: str, figures: str, done: int, total: int, *, ends: bool, step: str = "", note: str = "", stage: str = "") -> None:
        """`done` of `total` steps of the stage are over. The line alone has also the step and the note; it is always written if `ends`."""
        left = self.clock.left(stage, done, total)
        rest = "" if left is None else f"; {left} left{self.of}"
        self._move(where, figures + rest, done, total)
        if ends or (not self.console.is_terminal and time.monotonic() - self.written >= INTERVAL):
            self.console.print(f"{where}{step}: {figures}{note}{rest}", highlight=False, soft_wrap=True)
            self.written = time.monotonic()

    def _move(self, where: str, figures: str, done: int, total: int) -> None:
        if self.task is None:
            self.task = self.bar.add_task(printable(where), figures=figures)
        if done < self.bar.tasks[0].completed:
            self.bar.reset(self.task)  # another stage, another pace
        self.bar.update(self.task, description=printable(where), completed=done, total=total, figures=figures)


class Clock:
    """The pace of a stage, since its first report; a warm-up has a pace of its own."""

    def __init__(self) -> None:
        self.stage: str | None = None
        self.first, self.start = 0, 0.0

    def left(self, stage: str, done: int, total: int) -> str | None:
        """Until `total` steps, `done` of which are over; None as long as there is no pace, and at the end."""
        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.first, self.start = stage, done, now
        if done == self.first or done == total:
            return None
        return duration((total - done) * (now - self.start) / (done - self.first))


def duration(seconds: float | None) -> str:
    """Seconds as text: "59.9 s", "12 min" or "3 h 05 min"; empty for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def to_all(reports: Sequence[Callable[[P], None]]) -> Callable[[P], None]:
    """One function that hands what it gets to each of the reports."""

    def hand_on(progress: P) -> None:
        for report in reports:
            report(progress)

    return hand_on
