"""The topologies of a cell: how many there are, which of them are the same graph, and how a ranking of them is staged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nasarch.search import rank_paths
from nasarch.search.edarts import read_path
from nasarch.search.rank_topologies import canonical, chain, pooled, read, topologies, unified, written
from nasarch.search.tournament import Contestant, Line
from nasarch.search.tournament_budget import Budget, Told
from nasarch.space import DARTS


def test_there_are_180_different_topologies_of_four_nodes() -> None:
    paths = topologies()
    assert len(set(paths)) == len(paths) == 1 * 3 * 6 * 10 and paths == sorted(paths)
    assert all(written(read_path(path, DARTS)) == path == written(read(path)) for path in paths)
    assert len({unified(path) for path in paths}) == 180 == len({pooled(path, chain(4)) for path in paths})
    assert [len(topologies(DARTS.with_nodes(nodes))) for nodes in (1, 2, 3)] == [1, 3, 18]


def test_some_of_them_are_the_same_graph() -> None:
    assert canonical("01-01-02-13") == canonical("01-01-03-12") == "01-01-02-13"  # nodes 2 and 3 change places
    assert canonical("01-12-23-34") == "01-12-23-34"
    graphs = {canonical(path) for path in topologies()}
    assert len(graphs) == 79 and all(canonical(graph) == graph for graph in graphs)


def test_stage_one_pools_in_the_reduction_cell_and_stage_two_has_one_path() -> None:
    first, second = pooled("01-02-13-04", chain(4)), unified("01-02-13-04")
    assert {op.operation for node in first.cells["normal"].nodes for op in node} == {"sep_conv_3x3"}
    assert {op.operation for node in first.cells["reduction"].nodes for op in node} == {"max_pool_3x3"}
    assert chain(4) == "01-12-23-34" == written([[op.source for op in node] for node in first.cells["reduction"].nodes])
    assert second.cells["normal"] == second.cells["reduction"] == first.cells["normal"]


def test_graphs_are_the_same_only_if_their_edges_are() -> None:
    """By hand: 01-12-01-14 has nodes 2 (0, 1), 3 (1, 2), 4 (0, 1), 5 (1, 4); with 3 and 4 exchanged it is 01-01-12-13."""
    assert canonical("01-12-01-14") == canonical("01-01-13-12") == canonical("01-01-12-13") == "01-01-12-13"
    assert canonical("01-12-01-12") == "01-01-12-12" != canonical("01-12-01-14")
    assert canonical("01-02-23") == "01-02-23" and canonical("01-02-01") == "01-01-02"
    assert read("10-21-32") == ((0, 1), (1, 2), (2, 3))
    assert canonical("0-0-1", inputs=1) == "0-0-1" == canonical("0-1-0", inputs=1)


def measured(stage: str = "one", seed: int = 0, **accuracies: float) -> list[Line]:
    return [
        {"stage": stage, "name": name.replace("_", "-"), "seed": seed, "accuracy": value, "parameters": 1}
        for name, value in accuracies.items()
    ]


TWINS = {
    "_01_01_02_13": 50.0,  # one graph
    "_01_01_03_12": 52.0,
    "_01_01_02_03": 60.0,  # another
    "_01_01_03_02": 61.0,
    "_01_02_01_04": 62.0,
    "_01_01_01_01": 70.0,
}


def twins() -> list[Line]:
    return measured(**{name.removeprefix("_"): value for name, value in TWINS.items()})


def test_noise_is_the_deviation_within_graphs_by_all_their_degrees_of_freedom() -> None:
    """Squares 2 with one degree of freedom and 2 with two: (4 / 3)^0.5, not the mean of deviations, nor of variances."""
    found = rank_paths.noise(twins())
    assert found == {"graphs": 3, "all": 7.2778, "within": 1.1547}
    apart = rank_paths.noise(measured(**{"01_01_01_01": 70.0, "01_01_23_04": 50.0}))
    assert apart == {"graphs": 2, "all": 14.1421, "within": None}


def test_graphs_are_ranked_by_their_means() -> None:
    rows = rank_paths.graphs(twins())
    assert rows == [
        {"graph": "01-01-01-01", "mean": 70.0, "paths": ["01-01-01-01"]},
        {"graph": "01-01-02-03", "mean": 61.0, "paths": ["01-01-02-03", "01-01-03-02", "01-02-01-04"]},
        {"graph": "01-01-02-13", "mean": 51.0, "paths": ["01-01-02-13", "01-01-03-12"]},
    ]


ACCURACY = {"01-01": 90.0, "01-02": 80.0, "01-12": 70.0}  # of stage one; of stage two the other way round, of other seeds 50


def test_a_ranking_is_staged_by_the_first_seed_and_judged_by_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """eDARTS sec. IV-D: all with the reduction cell fixed, then the best with one path for both; only ends with more seeds."""
    heats = []

    def contest(task: Told, field: Any, stage: str, some: Sequence[Contestant], seeds: Sequence[int], words: str) -> list[Line]:
        heats.append((stage, [one.name for one in some], list(seeds), words))
        for one in some:
            normal, reduction = one.genotype.cells["normal"], one.genotype.cells["reduction"]
            assert normal == unified(one.name).cells["normal"]
            assert reduction == (pooled("01-02", "01-12") if stage.startswith("one") else unified(one.name)).cells["reduction"]
        sign = 1 if stage == "one" else -1
        return [
            {"stage": stage, "name": one.name, "seed": seed, "accuracy": sign * ACCURACY[one.name] % 100, "parameters": 1}
            for one in some
            for seed in seeds
        ]

    monkeypatch.setattr(rank_paths, "contest", contest)
    facts = {"best": 2, "ends": 1, "nodes": 2, "reduction": "01-12"}
    lines = rank_paths._stages(Told("rank-paths", Budget(seed=5, seeds=3), facts, Path()), None)  # type: ignore[arg-type]
    assert heats == [
        ("one", ["01-01", "01-02", "01-12"], [5], "stage one"),
        ("both", ["01-01", "01-02"], [5], "stage two"),
        ("one-ends", ["01-01", "01-12"], [6, 7], "best and worst of stage one"),
        ("both-ends", ["01-02"], [6, 7], "best of stage two"),
    ]
    assert [line["stage"] for line in lines] == ["one"] * 3 + ["one-ends"] * 4 + ["both"] * 2 + ["both-ends"] * 2
    one, both = (rank_paths._by_first(lines, stage, 5) for stage in ("one", "both"))
    assert [(row.name, dict(row.accuracies)) for row in one] == [
        ("01-01", {5: 90.0, 6: 10.0, 7: 10.0}),
        ("01-02", {5: 80.0}),
        ("01-12", {5: 70.0, 6: 30.0, 7: 30.0}),
    ]  # in the order of the first seed, though the others have it the other way round
    assert [row.name for row in both] == ["01-02", "01-01"]
    row = rank_paths._row("01-01", {"one": one, "both": both}, 5)
    assert row == {
        "path": "01-01",
        "graph": "01-01",
        "one": {"accuracies": {"5": 90.0, "6": 10.0, "7": 10.0}, "judged": {"mean": 10.0, "std": 0.0}},
        "both": {"accuracies": {"5": 10.0}, "judged": None},
    }
    assert "both" not in rank_paths._row("01-12", {"one": one, "both": both}, 5)
    assert rank_paths._ends({"one": one, "both": both}, 5) == [
        "  stage one: 01-12  30.00 +- 0.00 by the other seeds; picked with 70.00",
        "  stage one: 01-01  10.00 +- 0.00 by the other seeds; picked with 90.00",
        "  stage two: 01-02  20.00 +- 0.00 by the other seeds; picked with 20.00",
    ]


@pytest.mark.parametrize(
    ("best", "ends", "nodes", "words"),
    [
        (180, 90, 4, ""),
        (181, 3, 4, "--best 181: there are 180 paths; choose 1 to 180"),
        (180, 91, 4, "--ends 91: choose 1 to 90"),
        (20, 20, 4, ""),
        (20, 21, 4, "--ends 21: choose 1 to 20, of the best"),
        (0, 1, 4, "--best 0"),
        (20, 0, 4, "--ends 0"),
        (3, 1, 2, ""),
        (1, 1, 1, "--nodes 1: a cell of one inner node"),
    ],
)
def test_how_many_paths_go_on_is_checked_at_its_limits(best: int, ends: int, nodes: int, words: str) -> None:
    if words:
        with pytest.raises(ValueError, match=words):
            rank_paths._facts(best, ends, nodes, None)
    else:
        found = rank_paths._facts(best, ends, nodes, None)
        assert found == {"best": best, "ends": ends, "nodes": nodes, "reduction": chain(nodes)}


def test_the_reduction_cell_of_stage_one_may_be_given() -> None:
    assert rank_paths._facts(20, 3, 4, "01-01-02-03")["reduction"] == "01-01-02-03"
    with pytest.raises(ValueError, match="has 3 nodes"):
        rank_paths._facts(20, 3, 4, "01-01-02")
