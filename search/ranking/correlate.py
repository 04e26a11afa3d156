"""`nasarch correlate RUN`: does the importance that a search gave to pairs of edges rank them as their accuracy does? (DOTS, Fig. 1, A.1)

The cell is kept as found but for its last node, which reads each pair of the earlier nodes in turn (10 pairs of 5 edges); each network
is trained by itself and tested. Kendall's tau compares the two rankings: 1 the same, 0 none, -1 reversed.

| search | importance of a pair |
|---|---|
| DOTS, of which pairs are on file | the weight of the pair (at temperature 1, which ranks as any other) |
| any other | the sum of what the method ranked its two edges by: DARTS' largest operation weight other than `none`, PC-DARTS' product |

| file | holds |
|---|---|
| pairs.json | importance and accuracies of each pair, tau and its p-value; the budget |
| pairs.png | accuracy over importance |

Note:
    Which cell the paper varies is not said; the normal cell is the default. Its networks are those of the evaluation with cutout and
    auxiliary head, trained for 300 epochs: `--recipe cifar --epochs 300`. By default they are shallow ones.
Note:
    An edge that the derived cell does not have carries the operation of greatest weight that the search gave it (DARTS' rule).
Note:
    Runs of DOTS from before pairs were kept have edge weights alone, which sum over pairs; the sum of two of them stands for the pair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from nasarch.atomic import write_text
from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.cells.space import Edge, Space
from nasarch.console import console, print_rich
from nasarch.runtime import distributed
from nasarch.runtime.run_folder import as_json
from nasarch.search.engine.discretize import strongest_operations
from nasarch.search.engine.result import SearchResult
from nasarch.search.runs.reader import Run, find_runs
from nasarch.search.runs.run import read_search_result

from .budget import Budget
from .charts import scatter
from .console import prepare, ranking_table, train_candidates
from .origin import in_common
from .protocol import budget_summary
from .standings import Standing, standings
from .task import ranking_task
from .tournament import Candidate


class Pair(NamedTuple):
    """Two sources of the last node, their importance to the search, and the cells with them."""

    sources: tuple[int, int]
    importance: float
    genotype: Genotype

    @property
    def name(self) -> str:
        return f"{self.sources[0]}, {self.sources[1]}"


def run(run: str, cell: str, budget: Budget) -> None:
    """Run `nasarch correlate`; the arguments are those of the command (commands.py)."""
    task = ranking_task("correlate", budget, lambda: _facts(run, cell, budget))
    with prepare(task, by_test=True) as (task, protocol):
        pairs = [Candidate(pair["name"], Genotype.from_dict(pair["genotype"])) for pair in task.facts["pairs"]]
        seeds = range(task.budget.seed, task.budget.seed + task.budget.seeds)
        ranked = standings(train_candidates(task, protocol, "pairs", pairs, seeds, "pairs"))
        if distributed.rank_and_world_size()[0] > 0:
            return
        result = _correlated(task.facts, ranked) | {"budget": budget_summary(task, protocol)}
        write_text(task.folder / "pairs.json", as_json(result))
        scatter(result, task.folder / "pairs.png")
        print_rich(ranking_table(ranked, "pair of edges", f"accuracy on the {len(protocol.val):,} test images"))
        words = f"{in_words(result)}\n{task.folder / 'pairs.json'}, {task.folder / 'pairs.png'}"
        console().print(words, soft_wrap=True)


def _facts(source: str, kind: str, budget: Budget) -> dict[str, Any]:
    if not source:
        raise ValueError("no run: give the folder of a finished search; or --resume DIR")
    run, *others = find_runs([Path(source)])
    if others:
        raise ValueError(f"{source} holds {1 + len(others)} runs: name one of them, such as {run.folder}")
    result = read_search_result(run.folder)
    chosen, measure = pairs(run, result, kind)
    return {
        "run": source,
        "method": run.config["method"],
        "seed": run.config["seed"],
        "cell": kind,
        "measure": measure,
        "searched": in_common([run.folder], budget.dataset.size)["searched"],
        "pairs": [{"name": p.name, "importance": p.importance, "genotype": p.genotype.to_dict()} for p in chosen],
    }


def pairs(run: Run, result: SearchResult, kind: str) -> tuple[list[Pair], str]:
    """All pairs of edges into the last node of the cell, and in words what their importance is.

    Raises:
        ValueError: the space keeps all edges, has no such cell, or the search left no choice among the edges of that node.
    """
    space = run.space
    if space.kept_edges != 2 or kind not in space.kinds or space.nodes < 2:
        raise ValueError(f"space {space.name!r} with {space.nodes} inner nodes leaves no pairs to choose: give a search in space 'darts'")
    last = space.inner_nodes[-1]
    operations = _operations(space, result, kind)
    chosen = list(combinations(range(last), 2))
    importance, measure = _importance(space, result, kind, chosen)
    if not all(map(math.isfinite, importance)):
        raise ValueError(f"the importances of the pairs are {importance}, no numbers: the search has diverged; search again")
    if len(set(importance)) < 2:
        raise ValueError(
            f"the search gave all pairs of the last node of the {kind} cell the importance {importance[0]:g}: nothing is ranked"
        )
    cells = [_with_pair(result.genotype, kind, pair, operations) for pair in chosen]
    return [Pair(*three) for three in zip(chosen, importance, cells, strict=True)], measure


def _operations(space: Space, result: SearchResult, kind: str) -> dict[int, str]:
    """Operation of each edge into the last node, by its source."""
    last, z = space.inner_nodes[-1], space.kinds.index(kind)
    strongest = strongest_operations(space, result.weights.operations_ZEO)[z]
    own = {op.source: op.operation for op in result.genotype.cells[kind].nodes[-1]}
    operations = {}
    for i in range(last):
        e = space.edges.index(Edge(i, last))
        if i not in own and not result.weights.operations_ZEO[z, e].any():
            raise ValueError(
                f"the search had no operation on the edge from {i} to {last} of the {kind} cell, so there is nothing to rank it by: "
                "give one that chose among all edges of that node"
            )
        operations[i] = own.get(i, strongest[e])
    return operations


def _importance(space: Space, result: SearchResult, kind: str, chosen: Sequence[tuple[int, int]]) -> tuple[list[float], str]:
    weights, z = result.weights, space.kinds.index(kind)
    if len(weights.pairs_ZNS):
        return weights.pairs_ZNS[z, space.nodes - 1, : len(chosen)].tolist(), "weight of the pair"
    (row,) = [margin.weights for margin in result.margins if margin.kind == kind and margin.node == space.inner_nodes[-1]]
    if len(row) != space.inner_nodes[-1]:
        raise ValueError(f"edges.json has {len(row)} weights for the last node of the {kind} cell, of {space.inner_nodes[-1]} edges")
    uniform = len(weights.edges_ZE.unique()) == 1
    words = f"sum of the two edges' {'largest operation weights' if uniform else 'weights, by which the search ranked them'}"
    return [row[i] + row[j] for i, j in chosen], words


def _with_pair(genotype: Genotype, kind: str, pair: tuple[int, int], operations: dict[int, str]) -> Genotype:
    cell = genotype.cells[kind]
    last = tuple(Op(operations[i], i) for i in pair)
    cells = {**genotype.cells, kind: Cell((*cell.nodes[:-1], last), cell.concat, cell.inputs)}
    return Genotype(f"{genotype.name} {pair[0]} {pair[1]}", genotype.space, cells)


def _correlated(facts: dict[str, Any], ranked: Sequence[Standing]) -> dict[str, Any]:
    """Content of pairs.json, pairs in the order of their importance."""
    by_name = {one.name: one for one in ranked}
    rows = [
        {"pair": pair["name"], "importance": pair["importance"]} | by_name[pair["name"]].to_dict()
        for pair in sorted(facts["pairs"], key=lambda pair: -pair["importance"])
    ]
    tau, p = kendall([row["importance"] for row in rows], [row["mean"] for row in rows])
    return {key: facts[key] for key in ("run", "method", "seed", "cell", "measure")} | {"tau": tau, "p": p, "pairs": rows}


def in_words(result: dict[str, Any]) -> str:
    """The correlation for people."""
    if result["tau"] is None:
        return "all pairs are equally accurate: nothing to correlate; take a larger budget"
    return f"Kendall's tau {result['tau']:.3f}, p = {result['p']:.3g}, {len(result['pairs'])} pairs; importance: {result['measure']}"


def kendall(first: Sequence[float], second: Sequence[float]) -> tuple[float | None, float | None]:
    """Kendall's tau (b, for ties) and its two-sided p-value; None where all values of `second` are the same."""
    from scipy.stats import kendalltau

    if len(set(second)) < 2:
        return None, None
    test = kendalltau(first, second)
    return float(test.statistic), float(test.pvalue)
