"""Progress of a tournament on a terminal: its budget, a bar over all heats of a stage, a line for each that is over, with the time left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nasarch.runtime import distributed
from nasarch.runtime.progress import Live
from nasarch.search.training.learner import Progress

from .budget import Told
from .protocol import Ground, ground
from .standings import Standing
from .tournament import Contestant, Heat, Line, established, heats, is_over, play
from .tournament_opening import opening


class Tally:
    """Called with every report of the heats of a stage, those of this process."""

    def __init__(self, live: Live, title: str, wanted: Sequence[Heat], folder: Path) -> None:
        self.live, self.title = live, title
        number, count = distributed.place()
        own = wanted[number::count]
        self.total = sum(len(heat.contestants) for heat in own)
        self.done = sum(len(heat.contestants) for heat in own if is_over(folder, heat))

    def __call__(self, heat: Heat, place: Progress) -> None:
        steps, all_steps = (place.epoch - 1) * place.steps + place.step, place.epochs * place.steps
        count = len(heat.contestants)
        moved, ends = self.done * all_steps + count * steps, steps == all_steps
        self.done += count if ends else 0
        self.live.say(
            f"{self.title}, seed {heat.seed}, {self.done} of {self.total} networks",
            f"{_named(heat)}, epoch {place.epoch} of {place.epochs}, training loss {place.loss:.4f}, accuracy {place.accuracy:.3f}",
            moved,
            self.total * all_steps,
            ends=ends,
        )


def opened(task: Told, *, by_test: bool) -> Ground:
    """Load the data, establish the folder, and say the budget; errors as in `ground` and `established`."""
    field = established(task, ground(task, by_test=by_test))
    Console(quiet=distributed.place()[0] > 0).print(opening(task, field), highlight=False, soft_wrap=True)
    return field


def contest(task: Told, ground: Ground, stage: str, contestants: Sequence[Contestant], seeds: Iterable[int], title: str) -> list[Line]:
    """Train and judge all contestants with each seed, or finish that, and show it; the lines of all."""
    console = Console(quiet=distributed.place()[0] > 0)
    wanted = heats(stage, contestants, seeds, ground.together)
    try:
        with Live(console) as live:
            return play(task, ground, wanted, Tally(live, title, wanted, task.folder))
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
