"""`nasarch select RUN...`: which of several searched cells is the best, and how sure that is.

DARTS searches four times, trains each cell for 100 epochs and takes the one of the best validation accuracy (Liu et al. 2019, sec. 3.2).
Here every cell is trained with the same seeds on one part of the training images and judged by another: test images are never read.
Data and size are those of the runs. The parts are the two sides of the search, where all runs have the same ones; runs with different
seeds have not, and then the parts are two halves drawn by `--seed`, so that a cell is judged by images of which its own search used
some for the weights and some for the architecture. The command says which it is.

| file | holds |
|---|---|
| ranking.json | the cells by mean accuracy, with every seed's; the verdict; the budget |
| genotype.json | the winner, with the ranking in its provenance |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from nasarch.atomic import write_text
from nasarch.cells.genotype import Genotype
from nasarch.console import print_rich
from nasarch.models.catalogue import find
from nasarch.runtime import distributed
from nasarch.runtime.run_folder import as_json

from .budget import Budget, Facts, RankingTask, told
from .console import contest, opened, ranking_table
from .origin import in_common
from .protocol import EvaluationProtocol
from .standings import Standing, in_words, standings, verdict
from .tournament import Candidate
from .tournament_opening import as_budget

USUAL = Budget()
Sources = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE|NAME ...")]


def select(sources: Sources = (), *, budget: Annotated[Budget, tyro.conf.arg(name="")] = USUAL) -> None:
    """Train candidate cells on one half of the training images, rank them by the other; test images are never read.

    The halves are the search's own two sides where all runs have the same ones, otherwise halves drawn by --seed. Data and size are
    those of the runs, unless --data and --size say otherwise.

    Args:
        sources: folders of runs, genotype files, or names that `nasarch models` lists; a folder of several seeds stands for all of them.
    """
    task = told("select", budget, lambda: _facts(sources, budget))
    field = opened(task, by_test=False)
    cells = from_facts(task)
    seeds = range(task.budget.seed, task.budget.seed + task.budget.seeds)
    ranked = standings(contest(task, field, "cells", cells, seeds, "cells"))
    if distributed.rank_and_world_size()[0] == 0:
        _conclude(task, field, cells, ranked)


def _facts(sources: Sequence[str], budget: Budget) -> Facts:
    cells = checked(named(sources), "select")
    return {"cells": as_facts(cells)} | origins(cells, budget)


def origins(cells: Sequence[Candidate], budget: Budget) -> Facts:
    """What those of the cells that come from folders were searched on; errors as in `in_common`."""
    return in_common((folder for cell in cells if (folder := Path(cell.name)).is_dir()), budget.dataset.size)


def named(sources: Sequence[str]) -> list[Candidate]:
    """The cells that the sources name, each by its source.

    Raises:
        ValueError: one is not there.
    """
    return [candidate for source in sources for candidate in _cells(source)]


def checked(found: list[Candidate], command: str) -> list[Candidate]:
    """The same cells.

    Raises:
        ValueError: they are fewer than two, one of them is there twice, or they are of different spaces.
    """
    if len(found) < 2:
        count = "1 cell is" if found else "no cells are"
        raise ValueError(f"{count} nothing to compare: `nasarch {command}` takes two or more, such as runs/a runs/b")
    names = [candidate.name for candidate in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"{twice} is there twice: name it once, and take --seeds for more trainings of each")
    for other in found[1:]:
        if other.genotype.space != found[0].genotype.space:
            spaces = f"{found[0].name} is of space {found[0].genotype.space!r}, {other.name} of {other.genotype.space!r}"
            raise ValueError(f"{spaces}: their networks differ in more than the cells; compare cells of one space")
    return found


def _cells(source: str) -> list[Candidate]:
    """Of a folder its genotype, or those of its seeds and their consensus."""
    folder = Path(source)
    if not folder.is_dir():
        return [Candidate(source, find(source))]
    places = [folder, *sorted(folder.glob("seed-*"), key=lambda path: (len(path.name), path.name)), folder / "consensus"]
    files = [place / "genotype.json" for place in places if (place / "genotype.json").is_file()]
    if not files:
        raise ValueError(f"no cell in {source}: give the folder of a finished search, a genotype's .json file, or a model's name")
    return [Candidate(str(file.parent), Genotype.load(file)) for file in files]


def as_facts(cells: Sequence[Candidate]) -> list[dict[str, Any]]:
    """For config.json, from which a resumed command takes them."""
    return [{"name": cell.name, "genotype": cell.genotype.to_dict()} for cell in cells]


def from_facts(task: RankingTask) -> list[Candidate]:
    """What `as_facts` gave."""
    return [Candidate(cell["name"], Genotype.from_dict(cell["genotype"])) for cell in task.facts["cells"]]


def _conclude(task: RankingTask, field: EvaluationProtocol, cells: Sequence[Candidate], ranked: Sequence[Standing]) -> None:
    said = verdict(ranked, len(field.val))
    budget = as_budget(task, field)
    found = {"verdict": said, "ranking": [one.to_dict() for one in ranked], "budget": budget}
    write_text(task.folder / "ranking.json", as_json(found))
    winner = next(cell.genotype for cell in cells if cell.name == said["winner"])
    about = winner.to_dict()["provenance"]
    chosen = {"by": "nasarch select", "verdict": said, "ranking": [one.to_dict() for one in ranked], "budget": budget}
    replace(winner, provenance=about | {"source": about.get("source", {}) | {"selection": chosen}}).save(task.folder / "genotype.json")
    print_rich(ranking_table(ranked, "cell", f"accuracy on {len(field.val):,} images that are held back"))
    words = [in_words(said, task.budget.seeds), f"winner: {task.folder / 'genotype.json'}", f"ranking: {task.folder / 'ranking.json'}"]
    Console().print("\n".join(words), highlight=False, soft_wrap=True)
