"""`nasarch compare NAME...`: cells under one shallow recipe, tested on the test images (eDARTS, sec. IV-A, Table III), beside random ones.

The paper trains networks of 5 cells and 16 channels for 100 epochs with 10 seeds; what was changed of that is in the table's file.

| file | holds |
|---|---|
| ranking.json | the cells by mean accuracy, with every seed's, and the budget |
| table.md | the table, and the budget in words |

The significance test that `select` and `rank-paths` add is in significance.py.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from nasarch.atomic import write_text
from nasarch.cells.random_cells import random_cells
from nasarch.cells.space import SPACES
from nasarch.console import console, print_rich
from nasarch.models.zoo import MODELS
from nasarch.runtime import distributed
from nasarch.runtime.run_folder import as_json

from .budget import Budget
from .candidates import comparable, from_facts, load_candidates, origins, to_facts
from .console import prepare, ranking_table, train_candidates
from .protocol import budget_summary, summary_line
from .standings import markdown, standings
from .task import Facts, ranking_task
from .tournament import Candidate

ZOO = ("darts_v1_cifar", "darts_v2_cifar", "p_darts_cifar", "pc_darts_cifar", "dots_cifar", "ftso_cifar", "edarts_cifar")


def run(sources: Sequence[str], random_cells_number: int, budget: Budget) -> None:
    """Run `nasarch compare`; the arguments are those of the command (commands.py)."""

    def facts() -> Facts:
        cells = _field(sources, random_cells_number, budget.seed)
        return {"cells": to_facts(cells), "searched": origins(cells, budget)["searched"]}

    task = ranking_task("compare", budget, facts)
    with prepare(task, by_test=True) as (task, protocol):
        seeds = range(task.budget.seed, task.budget.seed + task.budget.seeds)
        ranked = standings(train_candidates(task, protocol, "cells", from_facts(task), seeds, "cells"))
        if distributed.rank_and_world_size()[0] > 0:
            return
        result = {"ranking": [one.to_dict() for one in ranked], "budget": budget_summary(task, protocol)}
        write_text(task.folder / "ranking.json", as_json(result))
        write_text(task.folder / "table.md", f"{markdown(ranked, 'cell')}\n{summary_line(task, protocol)}\n")
        print_rich(ranking_table(ranked, "cell", f"accuracy on the {len(protocol.val):,} test images"))
        console().print(f"table: {task.folder / 'table.md'}, {task.folder / 'ranking.json'}", soft_wrap=True)


def _field(sources: Sequence[str], drawn: int, seed: int) -> list[Candidate]:
    candidates = load_candidates(sources or [name for name in ZOO if name in MODELS])
    generator, space = random.Random(seed), SPACES[candidates[0].genotype.space]
    names_of_random = [f"random {i + 1}" for i in range(drawn)]
    return comparable(candidates + [Candidate(name, random_cells(space, generator, name)) for name in names_of_random])
