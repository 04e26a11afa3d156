"""`nasarch rank-paths`: all topologies of a cell, each trained as a small network, ranked (eDARTS, sec. III-B and IV-D, Fig. 3).

| stage | networks | seeds |
|---|---|---|
| one | all 180 paths, separable convolutions 3x3; the reduction cell of max pooling is the same for all | the first |
| both | the best 20 of them, the same path of separable convolutions in both cells | the first |
| ends | the best and the worst of stage one, and the best of stage two | the others |

The first seed selects and the others evaluate: best minus worst and the verdict are of the other seeds alone (selection.py).

| file | holds |
|---|---|
| paths.json | the paths by accuracy, with every accuracy by stage and seed; best minus worst; verdict; graphs; noise; budget |
| table.md | the paths that were trained with all seeds, and all of this in words |
| map.png | accuracy of stage one: a row for what the first nodes read, a column for what the last one reads (Fig. 3) |

Note:
    The paper trains on all training images and ranks by accuracy on the test images (sec. III-B and IV-D: 92.44 % down to 91.24 %,
    93.66 % in stage two): `--by-test`. A path is a choice, so by default the accuracy is that on the held-out half of the training
    images, and the test images are never read.
Note:
    The paper takes "one of the best paths" of stage two; here it is that of the best mean over the seeds that did not pick it. How many
    seeds the paper takes for a path is not said.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from nasarch.atomic import write_text
from nasarch.cells.space import DARTS
from nasarch.cells.topology import canonical, chain, pooled, read_path, topologies, unified
from nasarch.console import console
from nasarch.runtime import distributed
from nasarch.runtime.run_folder import as_json

from .budget import Budget
from .charts import accuracy_map
from .console import prepare, train_candidates
from .protocol import EvaluationProtocol, budget_summary, summary_line
from .selection import SelectionVerdict, best_and_worst, by_other_seeds, gap_in_words, markdown, selection_verdict
from .standings import Standing, standings
from .task import RankingTask, ranking_task
from .tournament import Candidate, Line


def run(best: int, ends: int, nodes: int, reduction: str | None, by_test: bool, budget: Budget) -> None:
    """Run `nasarch rank-paths`; the arguments are those of the command (commands.py)."""
    task = ranking_task("rank-paths", budget, lambda: _facts(best, ends, nodes, reduction) | ({"by_test": True} if by_test else {}))
    with prepare(task, by_test=task.facts.get("by_test", False)) as (task, protocol):
        lines = _stages(task, protocol)
        if distributed.rank_and_world_size()[0] == 0:
            _conclude(task, protocol, lines)


def _facts(best: int, ends: int, nodes: int, reduction: str | None) -> dict[str, Any]:
    """Raises ValueError for numbers or a path that can't be."""
    if nodes < 2:
        raise ValueError(f"--nodes {nodes}: a cell of one inner node has one topology, so nothing is ranked; choose 2 or more")
    space = DARTS.with_nodes(nodes)
    count = len(topologies(space))
    if not 1 <= best <= count:
        raise ValueError(f"--best {best}: there are {count} paths; choose 1 to {count}")
    most = min(best, count // 2)
    if not 1 <= ends <= most:
        raise ValueError(f"--ends {ends}: choose 1 to {most}, of the best (--best {best}) and without a path at both ends of {count}")
    read_path(reduction or chain(nodes), space)
    return {"best": best, "ends": ends, "nodes": nodes, "reduction": reduction or chain(nodes)}


def _stages(task: RankingTask, protocol: EvaluationProtocol) -> list[Line]:
    facts, first = task.facts, task.budget.seed
    ends, others = facts["ends"], range(first + 1, first + task.budget.seeds)
    paths = topologies(DARTS.with_nodes(facts["nodes"]))

    def one(names: Sequence[str]) -> list[Candidate]:
        return [Candidate(name, pooled(name, facts["reduction"])) for name in names]

    def both(names: Sequence[str]) -> list[Candidate]:
        return [Candidate(name, unified(name)) for name in names]

    lines = train_candidates(task, protocol, "one", one(paths), [first], "stage one")
    ranked = names(lines)
    second = train_candidates(task, protocol, "both", both(ranked[: facts["best"]]), [first], "stage two")
    extremes = list(dict.fromkeys([*ranked[:ends], *ranked[-ends:]]))
    lines += train_candidates(task, protocol, "one-ends", one(extremes), others, "best and worst of stage one")
    return lines + second + train_candidates(task, protocol, "both-ends", both(names(second)[:ends]), others, "best of stage two")


def names(lines: Sequence[Line]) -> list[str]:
    """The paths, the best first."""
    return [standing.name for standing in standings(lines)]


def _conclude(task: RankingTask, protocol: EvaluationProtocol, lines: Sequence[Line]) -> None:
    seed, count = task.budget.seed, task.facts["ends"]
    first = [line for line in lines if line["stage"] == "one"]
    stages = {stage: _by_first(lines, stage, seed) for stage in ("one", "both")}
    chosen = selection_verdict(stages["both"], seed, len(protocol.val))
    best = chosen.verdict.winner
    result = {
        "best": best,
        "verdict": chosen.to_dict(),
        "ends": best_and_worst(stages["one"], seed, count),
        "noise": noise(first),
        "graphs": graphs(first),
        "paths": [_row(one.name, stages, seed) for one in stages["one"]],
        "budget": budget_summary(task, protocol),
    }
    words = _summary(result, chosen, stages["one"], seed)
    remarks = "".join(f"- {line}\n" for line in (summary_line(task, protocol), *words))
    text = f"{markdown({'one': stages['one'], 'two': stages['both']}, seed, count)}\n{remarks}"
    write_text(task.folder / "paths.json", as_json(result))
    write_text(task.folder / "table.md", text)
    accuracy_map({line["name"]: line["accuracy"] for line in first}, task.folder / "map.png")
    files = ", ".join(str(task.folder / name) for name in ("paths.json", "table.md", "map.png"))
    printed = [*words, *_ends(stages, seed), f"result: {files}", f"search along it: nasarch search edarts --path {best}"]
    console().print("\n".join(printed), soft_wrap=True)


def _by_first(lines: Sequence[Line], stage: str, seed: int) -> list[Standing]:
    """The paths of a stage with all their seeds, in the order of their accuracies by the first seed."""
    ranked = standings([line for line in lines if line["stage"].startswith(stage)])
    order = names([line for line in lines if line["stage"] == stage])
    return sorted(ranked, key=lambda one: order.index(one.name))


def _row(name: str, stages: dict[str, list[Standing]], seed: int) -> dict[str, Any]:
    """A path with its accuracies by stage and seed, and their mean and standard deviation by the seeds that did not select it."""
    row: dict[str, Any] = {"path": name, "graph": canonical(name)}
    for stage, ranked in stages.items():
        own = [one for one in ranked if one.name == name]
        if own:
            row[stage] = {"accuracies": own[0].to_dict()["accuracies"], "evaluated": None}
        for other in by_other_seeds(own, seed):
            row[stage]["evaluated"] = {key: other.to_dict()[key] for key in ("mean", "std")}
    return row


def graphs(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The different graphs among the paths, the best mean first."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(canonical(line["name"]), []).append(line)
    rows = [
        {
            "graph": graph,
            "mean": round(statistics.fmean(line["accuracy"] for line in members), 4),
            "paths": [line["name"] for line in members],
        }
        for graph, members in groups.items()
    ]
    return sorted(rows, key=lambda row: -row["mean"])


def noise(lines: Sequence[Line]) -> dict[str, Any]:
    """The standard deviation over all paths, and that within graphs, over paths that differ in their first weights alone."""
    groups: dict[str, list[float]] = {}
    for line in lines:
        groups.setdefault(canonical(line["name"]), []).append(line["accuracy"])
    twins = [group for group in groups.values() if len(group) > 1]
    freedom = sum(len(group) - 1 for group in twins)
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in twins)
    return {
        "graphs": len(groups),
        "all": round(statistics.stdev(line["accuracy"] for line in lines), 4),
        "within": round((squares / freedom) ** 0.5, 4) if freedom else None,
    }


def _summary(result: dict[str, Any], chosen: SelectionVerdict, ranked: Sequence[Standing], seed: int) -> list[str]:
    """Summary of the ranking, a line each."""
    spread, top, bottom = result["noise"], ranked[0], ranked[-1]
    ends = f"{top.name} {top.accuracies[seed]:.2f} % down to {bottom.name} {bottom.accuracies[seed]:.2f} %"
    deviation = f"standard deviation of all {len(ranked)} paths {spread['all']:.2f} points"
    if spread["within"] is not None:
        deviation += f"; of paths that are the same graph (there are {spread['graphs']}) {spread['within']:.2f}: that is noise"
    return [
        f"stage one, seed {seed}: {ends}",
        deviation,
        f"stage one, {gap_in_words(result['ends'])}",
        f"stage two, {chosen}",
    ]


def _ends(stages: dict[str, list[Standing]], seed: int) -> list[str]:
    """A line for each path that the other seeds evaluated."""
    lines = []
    for title, ranked in zip(("stage one", "stage two"), stages.values(), strict=True):
        selected = {one.name: one.accuracies[seed] for one in ranked}
        others = by_other_seeds(ranked, seed)
        lines += [f"  {title}: {one.name}  {one.text()} by the other seeds; selected with {selected[one.name]:.2f}" for one in others]
    return lines
