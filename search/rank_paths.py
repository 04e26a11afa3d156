"""`nasarch rank-paths`: all topologies of a cell, each trained as a small network, ranked (eDARTS, sec. III-B and IV-D, Fig. 3).

| stage | networks | seeds |
|---|---|---|
| one | all 180 paths, separable convolutions 3x3; the reduction cell of max pooling is the same for all | the first |
| both | the best 20 of them, the same path of separable convolutions in both cells | the first |
| ends | the best and the worst of stage one, and the best of stage two | the others |

| file | holds |
|---|---|
| paths.json | the paths by accuracy, with every accuracy by stage and seed; the graphs among them; the noise |
| map.png | accuracy of stage one: a row for what the first nodes read, a column for what the last one reads (Fig. 3) |

Note:
    The paper ranks by accuracy on the test images (92.44 % down to 91.24 %). A path is a choice, so here the half of the training images
    that is held back judges, and the test images are never read.
Note:
    The paper takes "one of the best paths" of stage two; here it is the best mean over all seeds. How many seeds the paper takes
    for a path is not said.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from rich.console import Console

from nasarch.files import write_text
from nasarch.space import DARTS

from . import ranks
from .rank_chart import accuracy_map
from .rank_topologies import canonical, chain, pooled, topologies, unified
from .run_folder import as_json
from .tournament import Contestant, Line, established
from .tournament_budget import Budget, Told, told
from .tournament_ground import Ground, ground
from .tournament_show import contest
from .tournament_table import Standing, in_words, standings, verdict

USUAL = Budget()


def rank_paths(
    budget: Annotated[Budget, tyro.conf.arg(name="")] = USUAL,
    *,
    best: int = 20,
    ends: int = 3,
    nodes: int = DARTS.nodes,
    reduction: str | None = None,
) -> None:
    """Rank all topologies of a cell by the accuracy of small networks, on images held back: eDARTS' way to its path.

    Args:
        best: so many paths go on to stage two, the same path in both cells (sec. IV-D).
        ends: so many of the best and worst of stage one, and of the best of stage two, are trained with all seeds.
        nodes: inner nodes of a cell; 4 have 180 topologies.
        reduction: path of the reduction cell of max pooling in stage one; by default each node reads the two before it.
    """
    task = told("rank-paths", budget, lambda: _facts(best, ends, nodes, reduction))
    field = established(task, ground(task, by_test=False))
    lines = _stages(task, field)
    if ranks.place()[0] == 0:
        _conclude(task, field, lines)


def _facts(best: int, ends: int, nodes: int, reduction: str | None) -> dict[str, Any]:
    """Raises ValueError for numbers or a path that can't be."""
    from .edarts import read_path  # its way of writing paths

    space = DARTS.with_nodes(nodes)
    count = len(topologies(space))
    if not 1 <= best <= count:
        raise ValueError(f"--best {best}: there are {count} paths; choose 1 to {count}")
    if not 1 <= ends <= best:
        raise ValueError(f"--ends {ends}: choose 1 to {best}, the number of the best (--best)")
    read_path(reduction or chain(nodes), space)
    return {"best": best, "ends": ends, "nodes": nodes, "reduction": reduction or chain(nodes)}


def _stages(task: Told, field: Ground) -> list[Line]:
    facts, first = task.facts, task.budget.seed
    ends, others = facts["ends"], range(first + 1, first + task.budget.seeds)
    paths = topologies(DARTS.with_nodes(facts["nodes"]))

    def one(names: Sequence[str]) -> list[Contestant]:
        return [Contestant(name, pooled(name, facts["reduction"])) for name in names]

    def both(names: Sequence[str]) -> list[Contestant]:
        return [Contestant(name, unified(name)) for name in names]

    lines = contest(task, field, "one", one(paths), [first], "stage one")
    ranked = names(lines)
    second = contest(task, field, "both", both(ranked[: facts["best"]]), [first], "stage two")
    extremes = list(dict.fromkeys([*ranked[:ends], *ranked[-ends:]]))
    lines += contest(task, field, "one-ends", one(extremes), others, "best and worst of stage one")
    return lines + second + contest(task, field, "both-ends", both(names(second)[:ends]), others, "best of stage two")


def names(lines: Sequence[Line]) -> list[str]:
    """The paths, the best first."""
    return [standing.name for standing in standings(lines)]


def _conclude(task: Told, field: Ground, lines: Sequence[Line]) -> None:
    first = [line for line in lines if line["stage"] == "one"]
    by_stage = {stage: standings([line for line in lines if line["stage"].startswith(stage)]) for stage in ("one", "both")}
    whole = [standing for standing in by_stage["both"] if len(standing.accuracies) == task.budget.seeds]
    said = verdict(whole, len(field.judges))
    found = {
        "best": said["winner"],
        "verdict": said,
        "noise": noise(first),
        "graphs": graphs(first),
        "paths": [_row(name, by_stage) for name in names(first)],
    }
    write_text(task.folder / "paths.json", as_json(found))
    accuracy_map({line["name"]: line["accuracy"] for line in first}, task.folder / "map.png")
    _say(task, found, by_stage, said)


def _row(name: str, by_stage: dict[str, list[Standing]]) -> dict[str, Any]:
    """A path with its accuracies by stage and seed."""
    found = {stage: standing.to_dict() for stage, ranked in by_stage.items() for standing in ranked if standing.name == name}
    accuracies = {stage: {key: row[key] for key in ("mean", "std", "accuracies")} for stage, row in found.items()}
    return {"path": name, "graph": canonical(name), **accuracies}


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


def _say(task: Told, found: dict[str, Any], by_stage: dict[str, list[Standing]], said: dict[str, Any]) -> None:
    console, paths, spread = Console(), found["paths"], found["noise"]
    top, bottom = paths[0], paths[-1]
    first = str(task.budget.seed)
    accuracies = [row["one"]["accuracies"][first] for row in (top, bottom)]
    lines = [
        f"stage one, seed {first}: {top['path']} {accuracies[0]:.2f} % down to {bottom['path']} {accuracies[1]:.2f} %",
        f"standard deviation of all {len(paths)} paths {spread['all']:.2f} points",
    ]
    if spread["within"] is not None:
        lines[-1] += f"; of paths that are the same graph (there are {spread['graphs']}) {spread['within']:.2f}: that is noise"
    ends = paths[: task.facts["ends"]] + paths[-task.facts["ends"] :]
    if task.budget.seeds > 1:
        lines += [f"  {row['path']}  {row['one']['mean']:.2f} +- {row['one']['std']:.2f} over {task.budget.seeds} seeds" for row in ends]
    lines += [f"stage two: {in_words(said, task.budget.seeds)}"]
    lines += [
        f"result: {task.folder / 'paths.json'}, {task.folder / 'map.png'}",
        f"search along it: nasarch search edarts --path {found['best']}",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
