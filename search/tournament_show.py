"""Progress of a tournament on a terminal: a bar over all heats of a stage, and a line for each that is over, with the time left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from . import ranks
from .show import INTERVAL, Clock
from .tournament import Contestant, Heat, Line, heats, is_over, play
from .tournament_budget import Told
from .tournament_ground import Ground
from .tournament_table import Standing
from .train import Progress


class TournamentDisplay:
    """A context; called with every report of the heats of a stage, those of this process."""

    def __init__(self, console: Console, title: str, wanted: Sequence[Heat], folder: Path) -> None:
        self.console, self.title, self.clock = console, title, Clock()
        number, count = ranks.place()
        own = wanted[number::count]
        self.total = sum(len(heat.contestants) for heat in own)
        self.done = sum(len(heat.contestants) for heat in own if is_over(folder, heat))
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
        self.bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task: TaskID | None = None
        self.written = time.monotonic()

    def __enter__(self) -> TournamentDisplay:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.bar.stop()

    def __call__(self, heat: Heat, place: Progress) -> None:
        steps, all_steps = (place.epoch - 1) * place.steps + place.step, place.epochs * place.steps
        count = len(heat.contestants)
        done, total = self.done * all_steps + count * steps, self.total * all_steps
        left = self.clock.left(self.title, done, total)
        ends = steps == all_steps
        self.done += count if ends else 0
        where = f"{self.title}, seed {heat.seed}: {self.done} of {self.total} networks"
        figures = f"{_named(heat)}, epoch {place.epoch} of {place.epochs}: training loss {place.loss:.4f}, accuracy {place.accuracy:.3f}"
        figures += "" if left is None else f"; {left} left"
        if self.task is None:
            self.task = self.bar.add_task(where, figures=figures)
        self.bar.update(self.task, description=where, completed=done, total=total, figures=figures)
        if ends or (not self.console.is_terminal and time.monotonic() - self.written >= INTERVAL):
            self.console.print(f"{where}; {figures}", highlight=False, soft_wrap=True)
            self.written = time.monotonic()


def contest(task: Told, ground: Ground, stage: str, contestants: Sequence[Contestant], seeds: Iterable[int], title: str) -> list[Line]:
    """Train and judge all contestants with each seed, or finish that, and show it; the lines of all."""
    console = Console(quiet=ranks.place()[0] > 0)
    wanted = heats(stage, contestants, seeds, ground.together)
    try:
        with TournamentDisplay(console, title, wanted, task.folder) as display:
            return play(task, ground, wanted, display)
    except KeyboardInterrupt:
        console.print(f"stopped; to go on: nasarch {task.command} --resume {task.folder}", highlight=False, soft_wrap=True)
        raise


def _named(heat: Heat) -> str:
    first, *others = heat.contestants
    return first.name if not others else f"{first.name} and {len(others)} more"


def ranking_table(ranked: Sequence[Standing], heading: str, measured: str) -> Table:
    """A line a contestant, the best first."""
    table = Table(title=measured, title_justify="left")
    for name in (heading, "mean +- std, %", "by seed", "parameters"):
        table.add_column(name, justify="left" if name == heading else "right")
    for one in ranked:
        by_seed = " ".join(f"{one.accuracies[seed]:.2f}" for seed in sorted(one.accuracies))
        table.add_row(one.name, one.text(), by_seed, f"{one.parameters:,}")
    return table
