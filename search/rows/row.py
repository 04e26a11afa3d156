"""Row of a paper's table or figure: what is searched, chosen, trained and tested, and the figures that the paper reports for it.

A row is a value that knows no PyTorch; `nasarch reproduce` runs it (search/reproduce). Its steps are those of the paper, each a command:

| step | stage | command |
|---|---|---|
| `Search`, `RankPaths` | search | `nasarch search METHOD`, `nasarch rank-paths` |
| `Select` | choose | `nasarch select` |
| `Train`, `Compare`, `Correlate`, `Detect` | train | `nasarch train`, `compare`, `correlate`, `detect train` |
| (after `Train`) | test | `nasarch evaluate` |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

CIFAR10, CIFAR100, IMAGENET, IMAGENET16, COCO = "cifar10", "cifar100", "imagenet", "imagenet16-120", "coco"


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search with the settings of a preset, `runs` times (seeds `seed`, `seed` + 1, ...).

    Args:
        method: the method's name on the command line.
        preset: name of the settings, with their data set and space.
        data: another data set than the preset's.
        runs: number of searches.
        seed: the first seed.
        flags: further words of the command.
    """

    method: str
    preset: str
    data: str | None = None
    runs: int = 1
    seed: int = 0
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RankPaths:
    """All topologies of a cell by short trainings (eDARTS, sec. III-B and IV-D)."""

    data: str = CIFAR10
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Select:
    """The best of several searched cells by validation accuracy after `epochs` of training by a recipe (DARTS, sec. 3.2)."""

    epochs: int = 100
    recipe: str = "cifar"


@dataclass(frozen=True, kw_only=True)
class Train:
    """A training of the chosen cell, or of `model`, by a recipe, `runs` times, each tested once at its end.

    Args:
        recipe: name of a training recipe (`nasarch train --recipe`).
        data: data set to train and to test on.
        epochs: number of epochs, where the row has others than the recipe.
        runs: number of trainings.
        model: name of a published cell's model; None takes the cell of this row's search.
        after: number of epochs of the search after which the cell is taken; None takes the final one.
        flags: further words of the command.
    """

    recipe: str
    data: str = CIFAR10
    epochs: int | None = None
    runs: int = 1
    model: str | None = None
    after: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Shallow networks of 5 cells and 16 channels, 100 epochs (eDARTS, sec. IV-A): of `models`, or of all cells of the search."""

    models: tuple[str, ...] = ()
    data: str = CIFAR10
    seeds: int = 10


@dataclass(frozen=True, kw_only=True)
class Correlate:
    """Rank correlation between the importance of pairs of edges and their accuracy, trained by a recipe (DOTS, Fig. 1)."""

    data: str = CIFAR10
    epochs: int = 300
    recipe: str = "cifar"


@dataclass(frozen=True, kw_only=True)
class Detect:
    """An SSD detector on the published cell of `model`, trained for `epochs` and evaluated on COCO (PC-DARTS, sec. 4.5)."""

    model: str
    size: int
    data: str = COCO
    epochs: int = 120
    flags: tuple[str, ...] = ()


Step: TypeAlias = Search | RankPaths | Select | Train | Compare | Correlate | Detect
STAGES = ("search", "choose", "train", "test")


class Figure(NamedTuple):
    """A figure that a row reports: `metric` is a key of `nasarch.search.reproduce.metrics.METRICS`.

    `reported` is None where the paper has no number, for instance a point in a picture; `words` then say what it has.
    """

    metric: str
    reported: float | None
    std: float | None = None
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row.

    Args:
        name: such as "pc-darts/table1/cifar10".
        place: where the paper has it.
        steps: in their order; none if it can't be run.
        figures: what the paper reports.
        notes: what the paper leaves open or contradicts, and how that is settled here.
        reason: why it can't be run.
    """

    name: str
    place: str
    steps: tuple[Step, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None

    def __post_init__(self) -> None:
        if bool(self.steps) == (self.reason is not None):
            raise ValueError(f"row {self.name}: give it steps, or the reason why it can't be run")

    def step(self, *kinds: type) -> Any:
        """The first step of one of these kinds; None without."""
        return next((step for step in self.steps if isinstance(step, kinds)), None)


def error(reported: float | None, std: float | None = None, words: str = "") -> Figure:
    """Test error, %."""
    return Figure("test error", reported, std, words)


def top5(reported: float | None) -> tuple[Figure, ...]:
    """Top-5 test error, %, if it is reported."""
    return () if reported is None else (Figure("top-5 error", reported),)


def size(parameters: float | None = None, multi_adds: float | None = None) -> tuple[Figure, ...]:
    """Parameters and multi-adds in millions, of the network that the paper trains, where they are reported."""
    figures = (Figure("parameters", parameters), Figure("multi-adds", multi_adds))
    return tuple(figure for figure in figures if figure.reported is not None)


def days(reported: float | None) -> tuple[Figure, ...]:
    """GPU-days of one search, on the paper's GPU, if they are reported."""
    return () if reported is None else (Figure("search cost", reported),)


class Published(NamedTuple):
    """A line of a table about a published network: its figures, and the model of its cell in this package, if there is one."""

    slug: str
    title: str
    error: float | None
    std: float | None = None
    top5: float | None = None
    parameters: float | None = None
    multi_adds: float | None = None
    days: float | None = None
    model: str | None = None

    def row(self, table: str, place: str, train: Train) -> Row:
        """The row: its cell, trained by the recipe of the table's other rows."""
        figures = (error(self.error, self.std), *top5(self.top5), *size(self.parameters, self.multi_adds), *days(self.days))
        name, where = f"{table}/{self.slug}", f"{place}, {self.title}"
        if self.model is None:
            return Row(name=name, place=where, figures=figures, reason=NO_CELL)
        return Row(name=name, place=where, steps=(replace(train, model=self.model),), figures=figures, notes=(QUOTED,))


NO_CELL = "no cell of this package's search space, or one that was never published"
QUOTED = "quoted from another paper; its published cell is trained by this table's recipe, and nothing is searched"
