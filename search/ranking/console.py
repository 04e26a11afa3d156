"""Progress of a tournament on a terminal: its budget, a bar over all heats of a stage, a line for each that is over, with the time left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nasarch.runtime import distributed
from nasarch.runtime.progress import ProgressDisplay
from nasarch.search.training.learner import Progress

from .budget import RankingTask
from .protocol import EvaluationProtocol, ground
from .standings import Standing
from .tournament import Candidate, Line, TrainingGroup, established, is_over, play, training_groups
from .tournament_opening import opening


class TournamentProgress:
    """Called with every report of the heats of a stage, those of this process."""

    def __init__(self, live: ProgressDisplay, title: str, wanted: Sequence[TrainingGroup], folder: Path) -> None:
        self.live, self.title = live, title
        number, count = distributed.rank_and_world_size()
        own = wanted[number::count]
        self.total = sum(len(group.candidates) for group in own)
        self.done = sum(len(group.candidates) for group in own if is_over(folder, group))

    def __call__(self, group: TrainingGroup, place: Progress) -> None:
        steps, all_steps = (place.epoch - 1) * place.steps + place.step, place.epochs * place.steps
        count = len(group.candidates)
        moved, ends = self.done * all_steps + count * steps, steps == all_steps
        self.done += count if ends else 0
        self.live.say(
            f"{self.title}, seed {group.seed}, {self.done} of {self.total} networks",
            f"{_named(group)}, epoch {place.epoch} of {place.epochs}, training loss {place.loss:.4f}, accuracy {place.accuracy:.3f}",
            moved,
            self.total * all_steps,
            ends=ends,
        )


def opened(task: RankingTask, *, by_test: bool) -> EvaluationProtocol:
    """Load the data, establish the folder, and say the budget; errors as in `ground` and `established`."""
    field = established(task, ground(task, by_test=by_test))
    Console(quiet=distributed.rank_and_world_size()[0] > 0).print(opening(task, field), highlight=False, soft_wrap=True)
    return field


def contest(
    task: RankingTask, ground: EvaluationProtocol, stage: str, candidates: Sequence[Candidate], seeds: Iterable[int], title: str
) -> list[Line]:
    """Train and judge all contestants with each seed, or finish that, and show it; the lines of all."""
    console = Console(quiet=distributed.rank_and_world_size()[0] > 0)
    wanted = training_groups(stage, candidates, seeds, ground.together)
    try:
        with ProgressDisplay(console) as live:
            return play(task, ground, wanted, TournamentProgress(live, title, wanted, task.folder))
    except KeyboardInterrupt:
        console.print(f"stopped; to go on: nasarch {task.command} --resume {task.folder}", highlight=False, soft_wrap=True)
        raise


def _named(group: TrainingGroup) -> str:
    first, *others = group.candidates
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
