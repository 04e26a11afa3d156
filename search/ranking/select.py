"""`nasarch select RUN...`: the best of several searched cells by validation accuracy, with a significance test.

DARTS searches four times, trains each cell for 100 epochs and takes the one of the best validation accuracy (Liu et al. 2019, sec. 3.2).
Here every cell is trained with the same seeds on one part of the training images and evaluated on another: test images are never read.
Data set and size are those of the runs. The parts are the train and validation splits of the search, where all runs share them; runs with
different seeds don't, and then the parts are two halves drawn by `--seed`, so that a cell is evaluated on images of which its own search
used some for the weights and some for the architecture. The summary says which it is.

| file | holds |
|---|---|
| ranking.json | the cells by mean accuracy, with every seed's; the verdict; the budget |
| genotype.json | the winner, with the ranking in its provenance |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nasarch.atomic import write_text
from nasarch.console import console, print_rich
from nasarch.runtime import distributed
from nasarch.runtime.run_folder import as_json

from .budget import Budget
from .candidates import comparable, from_facts, load_candidates, origins, to_facts
from .console import prepare, ranking_table, train_candidates
from .protocol import EvaluationProtocol, budget_summary
from .significance import verdict
from .standings import Standing, standings
from .task import Facts, RankingTask, ranking_task
from .tournament import Candidate


def run(sources: Sequence[str], budget: Budget) -> None:
    """Run `nasarch select`; the arguments are those of the command (commands.py)."""
    task = ranking_task("select", budget, lambda: _facts(sources, budget))
    with prepare(task, by_test=False) as (task, protocol):
        cells = from_facts(task)
        seeds = range(task.budget.seed, task.budget.seed + task.budget.seeds)
        ranked = standings(train_candidates(task, protocol, "cells", cells, seeds, "cells"))
        if distributed.rank_and_world_size()[0] == 0:
            _conclude(task, protocol, cells, ranked)


def _facts(sources: Sequence[str], budget: Budget) -> Facts:
    cells = comparable(load_candidates(sources), least=2)
    return {"cells": to_facts(cells)} | origins(cells, budget)


def _conclude(task: RankingTask, protocol: EvaluationProtocol, cells: Sequence[Candidate], ranked: Sequence[Standing]) -> None:
    tested = verdict(ranked, len(protocol.val))
    budget = budget_summary(task, protocol)
    result = {"verdict": tested.to_dict(), "ranking": [one.to_dict() for one in ranked], "budget": budget}
    write_text(task.folder / "ranking.json", as_json(result))
    winner = next(cell.genotype for cell in cells if cell.name == tested.winner)
    about = winner.to_dict()["provenance"]
    chosen = {"by": "nasarch select", "verdict": tested.to_dict(), "ranking": [one.to_dict() for one in ranked], "budget": budget}
    replace(winner, provenance=about | {"source": about.get("source", {}) | {"selection": chosen}}).save(task.folder / "genotype.json")
    print_rich(ranking_table(ranked, "cell", f"accuracy on {len(protocol.val):,} held-out images"))
    words = [str(tested), f"winner: {task.folder / 'genotype.json'}", f"ranking: {task.folder / 'ranking.json'}"]
    console().print("\n".join(words), soft_wrap=True)
