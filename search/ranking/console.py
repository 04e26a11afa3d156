"""Progress of a ranking on a terminal: its summary, a bar over all training groups of a stage, a line for each that is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.table import Table

from nasarch.compute import deterministic
from nasarch.console import command_line, console, printable
from nasarch.runtime import distributed
from nasarch.runtime.progress import ProgressDisplay
from nasarch.search.training.learner import Progress

from .protocol import EvaluationProtocol, evaluation_protocol, summary_line
from .standings import Standing
from .task import RankingTask
from .tournament import Candidate, Line, TrainingGroup, is_over, open_tournament, train_groups, training_groups


class TournamentProgress:
    """Called with every report of the training groups of a stage, those of this process."""

    def __init__(self, display: ProgressDisplay, title: str, groups: Sequence[TrainingGroup], folder: Path) -> None:
        self.display, self.title = display, title
        number, count = distributed.rank_and_world_size()
        own = groups[number::count]
        self.total = sum(len(group.candidates) for group in own)
        self.done = sum(len(group.candidates) for group in own if is_over(folder, group))

    def __call__(self, group: TrainingGroup, progress: Progress) -> None:
        steps, all_steps = (progress.epoch - 1) * progress.steps + progress.step, progress.epochs * progress.steps
        count = len(group.candidates)
        moved, ends = self.done * all_steps + count * steps, steps == all_steps
        self.done += count if ends else 0
        first, *others = (candidate.name for candidate in group.candidates)
        name = first if not others else f"{first} and {len(others)} more"
        loss, accuracy = f"training loss {progress.loss:.4f}", f"accuracy {progress.accuracy:.3f}"
        self.display.say(
            f"{self.title}, seed {group.seed}, {self.done} of {self.total} networks",
            f"{name}, epoch {progress.epoch} of {progress.epochs}, {loss}, {accuracy}",
            moved,
            self.total * all_steps,
            ends=ends,
        )


@contextmanager
def prepare(task: RankingTask, *, by_test: bool) -> Iterator[tuple[RankingTask, EvaluationProtocol]]:
    """Load the data set, claim the folder in the block, and print the summary; as `evaluation_protocol` and `open_tournament`."""
    with ExitStack() as stack:
        stack.enter_context(deterministic(task.budget.machine.deterministic))
        task, protocol = stack.enter_context(open_tournament(task, evaluation_protocol(task, by_test=by_test)))
        console(quiet=distributed.rank_and_world_size()[0] > 0).print(summary_line(task, protocol), soft_wrap=True)
        yield task, protocol


def train_candidates(
    task: RankingTask, protocol: EvaluationProtocol, stage: str, candidates: Sequence[Candidate], seeds: Iterable[int], title: str
) -> list[Line]:
    """Train and evaluate all candidates with each seed, or resume that, with a progress bar; the lines of all."""
    shown = console(quiet=distributed.rank_and_world_size()[0] > 0)
    groups = training_groups(stage, candidates, seeds, protocol.networks_per_group)
    try:
        with ProgressDisplay(shown) as display:
            return train_groups(task, protocol, groups, TournamentProgress(display, title, groups, task.folder))
    except KeyboardInterrupt:
        shown.print(f"stopped; to go on: {command_line(task.command, '--resume', task.folder)}", soft_wrap=True)
        raise


def ranking_table(ranked: Sequence[Standing], heading: str, measured: str) -> Table:
    """Table of the standings, the best first."""
    table = Table(title=measured, title_justify="left")
    for name in (heading, "mean +- std, %", "by seed", "parameters"):
        table.add_column(name, justify="left" if name == heading else "right")
    for one in ranked:
        by_seed = " ".join(f"{one.accuracies[seed]:.2f}" for seed in sorted(one.accuracies))
        table.add_row(printable(one.name), one.text(), by_seed, f"{one.parameters:,}")
    return table
