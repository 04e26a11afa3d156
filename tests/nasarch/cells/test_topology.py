"""The topologies of a cell: how many there are, which of them are the same graph, and how a ranking of them is staged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.space import DARTS
from nasarch.cells.topology import canonical, chain, pooled, read, read_path, topologies, unified, written
from nasarch.cli.main import main
from nasarch.search.ranking import paths as rank_paths
from nasarch.search.ranking.budget import Budget
from nasarch.search.ranking.selection import SelectionVerdict
from nasarch.search.ranking.significance import Verdict
from nasarch.search.ranking.standings import standings
from nasarch.search.ranking.task import RankingTask
from nasarch.search.ranking.tournament import Candidate, Line


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
    assert graphs <= set(topologies())
    assert canonical("01-12-03-04") == "01-12-03-04"  # 01-04-12-03 is less, but there node 3 reads node 4


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


@pytest.fixture
def heats(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], list[int], str]]:
    """What a ranking of cells of two nodes has trained, with the accuracies above instead of a training."""
    heats: list[tuple[str, list[str], list[int], str]] = []

    def train_candidates(
        task: RankingTask, field: Any, stage: str, some: Sequence[Candidate], seeds: Sequence[int], words: str
    ) -> list[Line]:
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

    monkeypatch.setattr(rank_paths, "train_candidates", train_candidates)
    return heats


def test_a_ranking_is_staged_by_the_first_seed_and_judged_by_the_others(heats: list[Any]) -> None:
    """eDARTS sec. IV-D: all with the reduction cell fixed, then the best with one path for both; only ends with more seeds."""
    facts = {"best": 2, "ends": 1, "nodes": 2, "reduction": "01-12"}
    lines = rank_paths._stages(RankingTask("rank-paths", Budget(seed=5, seeds=3), facts, Path()), None)  # type: ignore[arg-type]
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
        "one": {"accuracies": {"5": 90.0, "6": 10.0, "7": 10.0}, "evaluated": {"mean": 10.0, "std": 0.0}},
        "both": {"accuracies": {"5": 10.0}, "evaluated": None},
    }
    assert "both" not in rank_paths._row("01-12", {"one": one, "both": both}, 5)
    assert rank_paths._ends({"one": one, "both": both}, 5) == [
        "  stage one: 01-12  30.00 +- 0.00 by the other seeds; selected with 70.00",
        "  stage one: 01-01  10.00 +- 0.00 by the other seeds; selected with 90.00",
        "  stage two: 01-02  20.00 +- 0.00 by the other seeds; selected with 20.00",
    ]


def test_a_ranking_writes_down_and_says_what_its_seeds_say(heats: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--nodes", "2", "--best", "2", "--ends", "1", "--reduction", "01-12", "--seeds", "3", "--seed", "5"]
    small = ["--size", "8", "--cells", "3", "--channels", "4", "--device", "cpu", "--val-images", "100", "--images", "200"]
    assert main(["rank-paths", *flags, *small, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out.splitlines()
    words = [
        "stage one, seed 5: 01-01 90.00 % down to 01-12 70.00 %",
        "standard deviation of all 3 paths 10.00 points",
        "stage one, best minus worst: 20.00 points by seed 5, which selected them; -20.00 +- 0.00 by seeds 6, 7, which did not",
        "stage two, 01-02 is the best of 2 by seed 5; no other one was trained with seeds 6, 7, so there is no verdict: "
        "take --ends 2 or more",
    ]
    ends = [
        "  stage one: 01-12  30.00 +- 0.00 by the other seeds; selected with 70.00",
        "  stage one: 01-01  10.00 +- 0.00 by the other seeds; selected with 90.00",
        "  stage two: 01-02  20.00 +- 0.00 by the other seeds; selected with 20.00",
    ]
    files = ", ".join(str(tmp_path / "run" / name) for name in ("paths.json", "table.md", "map.png"))
    assert said[1:] == [*words, *ends, f"result: {files}", "search along it: nasarch search edarts --path 01-02"]
    assert "evaluated on 100 images of the half held out by seed 5" in said[0]
    table = (tmp_path / "run" / "table.md").read_text().splitlines()
    assert table[2:5] == [
        "| one | 01-01 | 90.00 | 10.00 +- 0.00 |",
        "| one | 01-12 | 70.00 | 30.00 +- 0.00 |",
        "| two | 01-02 | 20.00 | 20.00 +- 0.00 |",
    ]
    assert table[6:] == [f"- {line}" for line in (said[0], *words)]
    found = json.loads((tmp_path / "run" / "paths.json").read_text())
    assert (found["best"], found["verdict"]["winner"], found["verdict"]["clear"]) == ("01-02", "01-02", None)
    assert found["ends"]["by_seed"] == {"5": 20.0, "6": -20.0, "7": -20.0} and found["noise"] == {"graphs": 3, "all": 10.0, "within": None}
    assert [row["path"] for row in found["paths"]] == ["01-01", "01-02", "01-12"] == [row["graph"] for row in found["graphs"]]
    assert (found["budget"]["seed"], found["budget"]["evaluated"], found["budget"]["trained_on"]) == (5, 100, 200)
    assert (tmp_path / "run" / "map.png").stat().st_size > 1000


def test_what_twins_say_of_noise_is_said_where_there_are_twins() -> None:
    ranked = standings(twins())
    found = {
        "noise": {"graphs": 3, "all": 7.2778, "within": 1.1547},
        "ends": {"best": ["a"], "by_seed": {"0": 1.0}, "selected_by": [0], "evaluated_by": [], "mean": None, "std": None},
    }
    chosen = SelectionVerdict(verdict=Verdict(winner="w", seeds=0, clear=None), selected_by=0, evaluated_by=(), of=6)
    words = rank_paths._summary(found, chosen, ranked, 0)
    assert words[0] == "stage one, seed 0: 01-01-01-01 70.00 % down to 01-01-02-13 50.00 %"
    assert words[1] == ("standard deviation of all 6 paths 7.28 points; of paths that are the same graph (there are 3) 1.15: that is noise")


def test_means_and_deviations_have_four_decimals() -> None:
    thirds = measured(**{"01_01_02_03": 60.0, "01_01_03_02": 61.0, "01_02_01_04": 61.0, "01_01_01_01": 70.0})
    assert rank_paths.graphs(thirds)[1]["mean"] == 60.6667
    assert rank_paths.noise(thirds) == {"graphs": 2, "all": 4.6904, "within": 0.5774}


@pytest.mark.parametrize(
    ("best", "ends", "nodes", "words"),
    [
        (180, 90, 4, ""),
        (181, 3, 4, "--best 181: there are 180 paths; choose 1 to 180"),
        (180, 91, 4, "--ends 91: choose 1 to 90"),
        (20, 20, 4, ""),
        (20, 21, 4, "--ends 21: choose 1 to 20, of the best"),
        (1, 1, 4, ""),
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
