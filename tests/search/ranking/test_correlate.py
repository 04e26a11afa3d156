"""`nasarch correlate`: pairs of edges, their importance in each kind of search, Kendall's tau."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS, NATS
from nasarch.cli.main import main
from nasarch.models.network import CellNetwork
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.ranking import tournament
from nasarch.search.ranking.charts import scatter
from nasarch.search.ranking.correlate import _correlated, in_words, kendall, pairs
from nasarch.search.ranking.standings import Standing
from nasarch.search.runs.reader import Run, read_run
from nasarch.search.training.learner import Learner
from nasarch.search.training.recipes import RECIPES
from tests.helpers.ranking_commands import TINY, refused
from tests.helpers.written_run import write_run

SEARCH = ["--data", "digits", "--size", "8", "--layers", "3", "--channels", "4", "--device", "cpu"]
SEARCHES = {
    "darts": (["darts", "--epochs", "1", "--order", "first", "--nodes", "2"], "sum of the two edges' largest operation weights"),
    "pc-darts": (["pc-darts", "--epochs", "2", "--warmup", "1", "--batch-size", "64", "--nodes", "2"], "by which the search ranked them"),
}


@pytest.mark.parametrize("name", ["darts", pytest.param("pc-darts", marks=pytest.mark.slow)])
def test_importance_and_accuracy_of_pairs_are_correlated(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, measure = SEARCHES[name]
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(["search", *arguments, *SEARCH, "--out", str(run)]) == 0
    assert main(["correlate", str(run), *TINY[2:], "--seeds", "1", "--out", str(out)]) == 0  # the size is that of the search
    found = json.loads((out / "pairs.json").read_text())
    assert found["budget"]["size"] == [8, 8] and found["budget"]["data"] == "digits" and found["budget"]["steps"] == 8
    assert len(found["pairs"]) == 3 and measure in found["measure"] and -1 <= found["tau"] <= 1 and 0 <= found["p"] <= 1
    (row,) = [row for row in json.loads((run / "edges.json").read_text()) if (row["kind"], row["node"]) == ("normal", 3)]
    best = ", ".join(map(str, sorted(row["kept"])))
    assert found["pairs"][0]["pair"] == best and f"Kendall's tau {found['tau']:.3f}" in capsys.readouterr().out
    cells = [Genotype.from_dict(pair["genotype"]) for pair in json.loads((out / "config.json").read_text())["facts"]["pairs"]]
    assert len(set(cells)) == 3 and Genotype.load(run / "genotype.json") in cells and (out / "pairs.png").exists()
    (run / "weights.json").unlink()
    assert "holds no finished search" in refused(capsys, "correlate", str(run), *TINY)


def test_pairs_are_trained_by_another_recipe_with_its_auxiliary_head_and_cutout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DOTS, A.1 and Fig. 1, in small: `--recipe cifar --epochs 300`."""
    learners = list[Learner]()
    evaluated = tournament._evaluated
    monkeypatch.setattr(tournament, "_evaluated", lambda protocol, learner: learners.append(learner) or evaluated(protocol, learner))
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(["search", *SEARCHES["darts"][0], *SEARCH, "--out", str(run)]) == 0
    flags = ["--recipe", "cifar", "--size", "20", *TINY[2:], "--epochs", "1", "--batch-size", "100", "--seeds", "1"]
    assert main(["correlate", str(run), *flags, "--out", str(out)]) == 0
    assert "; recipe cifar; 3 cells, 4 channels; " in capsys.readouterr().out
    found, cells = json.loads((out / "pairs.json").read_text()), [learner.net.genotype for learner in learners]
    assert found["budget"]["recipe"] == "cifar" and (found["budget"]["lr"], found["budget"]["batch_size"]) == (0.025, 100)
    assert len(learners) == len(found["pairs"]) == 3 and all(learner.net.aux_head is not None for learner in learners)
    assert learners[0].settings == replace(RECIPES["cifar"].settings, epochs=1, batch_size=100, cells=3, channels=4)
    bare = [sum(weight.numel() for weight in CellNetwork(one, 10, cells=3, channels=4).parameters()) for one in cells]
    lines = [json.loads(line) for line in (out / "networks.jsonl").read_text().splitlines()]
    assert sorted(line["parameters"] for line in lines) == sorted(bare)
    before = (out / "pairs.json").read_bytes()
    assert main(["correlate", "--resume", str(out)]) == 0 and (out / "pairs.json").read_bytes() == before


@pytest.mark.slow
def test_dots_weighs_pairs(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    stages = ["--operation.epochs", "1", "--operation.warmup", "0", "--topology.epochs", "1", "--topology.warmup", "0", "--nodes", "3"]
    layers = ["--operation.layers", "3", "--topology.layers", "3", *SEARCH[:4], *SEARCH[6:]]
    assert main(["search", "dots", *stages, *layers, "--out", str(run)]) == 0
    pairs = json.loads((run / "weights.json").read_text())["pairs"][0][-1]
    assert len(pairs) == 6 and sum(pairs) == pytest.approx(1, abs=1e-5)
    assert main(["correlate", str(run), *TINY, "--seeds", "1", "--out", str(out)]) == 0
    found = json.loads((out / "pairs.json").read_text())
    assert found["measure"] == "weight of the pair" and len(found["pairs"]) == 6
    assert sorted(row["importance"] for row in found["pairs"]) == pytest.approx(sorted(pairs))


def test_tau_is_that_of_the_definition() -> None:
    assert kendall([1, 2, 3, 4], [10, 20, 30, 40])[0] == pytest.approx(1)
    assert kendall([1, 2, 3, 4], [40, 30, 20, 10])[0] == pytest.approx(-1)
    tau, p = kendall([1, 2, 3, 4], [1, 3, 2, 4])  # 5 of 6 pairs agree; 8 of 24 orders are as far from none, in either direction
    assert tau == pytest.approx(4 / 6) and p == pytest.approx(8 / 24)
    assert kendall([1, 2, 3, 4, 5], [5, 4, 3, 2, 1])[1] == pytest.approx(2 / 120)
    assert kendall([1, 2, 3], [5, 5, 5]) == (None, None)


def test_tau_counts_ties_on_both_sides_and_looks_at_ranks_alone() -> None:
    """tau-b: four of six pairs agree, one is tied on either side: 4 / (5 * 5)^0.5; tau-a has 4 / 6, tau-c 0.75, gamma 1."""
    assert kendall([1, 2, 2, 3], [1, 2, 3, 3])[0] == pytest.approx(0.8)
    assert kendall([0.1, 0.2, 0.3, 900.0], [1.0, 3.0, 2.0, 2.5])[0] == pytest.approx(2 / 6)  # 4 agree, 2 do not; Pearson's r is 0.29


def ranked(**means: float) -> list[Standing]:
    return [Standing(name.replace("_", ", "), {0: mean - 1, 1: mean + 1}, 1000) for name, mean in means.items()]


def test_importance_is_correlated_with_the_mean_accuracy_of_the_same_pair() -> None:
    """In the file pairs stand by importance, whatever came out first; 0, 2 and 1, 2 are the wrong way round."""
    importances = {"0, 1": 0.5, "0, 2": 0.2, "1, 2": 0.3, "2, 3": 0.7}
    pairs = [{"name": name, "importance": value, "genotype": {}} for name, value in importances.items()]
    facts = {"run": "r", "method": "DOTS", "seed": 3, "cell": "normal", "measure": "m", "searched": {}, "pairs": pairs}
    found = _correlated(facts, ranked(**{"2_3": 90.0, "0_1": 80.0, "0_2": 70.0, "1_2": 60.0}))
    assert [(row["pair"], row["importance"], row["mean"]) for row in found["pairs"]] == [
        ("2, 3", 0.7, 90.0),
        ("0, 1", 0.5, 80.0),
        ("1, 2", 0.3, 60.0),
        ("0, 2", 0.2, 70.0),
    ]
    assert found["tau"] == pytest.approx(4 / 6) and found["p"] == pytest.approx(1 / 3)
    assert {key: found[key] for key in ("run", "method", "seed", "cell", "measure")} == {
        "run": "r",
        "method": "DOTS",
        "seed": 3,
        "cell": "normal",
        "measure": "m",
    }
    assert found["pairs"][0]["std"] == 1.4142 and found["pairs"][0]["accuracies"] == {"0": 89.0, "1": 91.0}
    assert in_words(found) == "Kendall's tau 0.667, p = 0.333, 4 pairs; importance: m"


def test_equal_accuracies_are_said_and_drawn(tmp_path: Path) -> None:
    rows = [{"pair": f"{i}, 4", "importance": 0.1 * i, "mean": 50.0, "std": None} for i in range(4)]
    found = {"tau": None, "p": None, "method": "DARTS", "cell": "normal", "measure": "weight of the pair", "pairs": rows}
    assert "equally accurate" in in_words(found)
    scatter(found, tmp_path / "pairs.png")
    assert (tmp_path / "pairs.png").stat().st_size > 1000


def a_run(tmp_path: Path, operations: torch.Tensor, edges: tuple[float, ...]) -> tuple[Run, SearchResult]:
    run = read_run(write_run(tmp_path / "run"))
    assert run.genotype is not None and run.margins is not None
    margins = [margin._replace(weights=edges[: margin.node]) for margin in run.margins]
    return run, SearchResult(run.genotype, margins, ArchitectureWeights(operations, torch.linspace(0.1, 0.9, 10).view(2, 5)))


def test_an_edge_that_was_dropped_carries_its_strongest_operation(tmp_path: Path) -> None:
    operations = torch.full((2, 5, 8), 0.1)
    operations[:, :, DARTS.operations.index("none")] = 0.9
    operations[0, 2, DARTS.operations.index("dil_conv_5x5")] = 0.5  # from 0 to 3, the last node of cells with two
    chosen, measure = pairs(*a_run(tmp_path, operations, (0.5, 0.2, 0.1)), "normal")
    assert [pair.sources for pair in chosen] == [(0, 1), (0, 2), (1, 2)] and "ranked" in measure
    assert [pair.importance for pair in chosen] == pytest.approx([0.7, 0.6, 0.3])
    assert chosen[0].genotype.cells["normal"].nodes[-1][0] == ("dil_conv_5x5", 0)


def test_of_dots_the_importance_is_the_weight_of_the_pair_itself(tmp_path: Path) -> None:
    """Edges 0 and 1 weigh most by themselves (0.7 and 0.6), but the pair 0, 2 is the most important; the other cell has its own."""
    run, found = a_run(tmp_path, torch.full((2, 5, 8), 0.1), (0.7, 0.6, 0.7))
    weights = torch.zeros(2, 2, 3)
    weights[0, 0, 0] = weights[1, 0, 0] = 1.0  # of the first node
    weights[0, 1], weights[1, 1] = torch.tensor([0.3, 0.4, 0.3]), torch.tensor([0.6, 0.1, 0.3])
    found = found._replace(weights=found.weights._replace(pairs_ZNS=weights))
    for kind, expected in (("normal", [0.3, 0.4, 0.3]), ("reduction", [0.6, 0.1, 0.3])):
        chosen, measure = pairs(run, found, kind)
        assert [pair.importance for pair in chosen] == pytest.approx(expected) and measure == "weight of the pair"
        assert [pair.name for pair in chosen] == ["0, 1", "0, 2", "1, 2"]
        for pair in chosen:
            varied, other = pair.genotype.cells[kind], {"normal": "reduction", "reduction": "normal"}[kind]
            assert (
                tuple(op.source for op in varied.nodes[-1]) == pair.sources and varied.nodes[:-1] == found.genotype.cells[kind].nodes[:-1]
            )
            assert pair.genotype.cells[other] == found.genotype.cells[other]


def test_edges_that_the_cell_has_keep_their_operation_and_what_they_are_ranked_by_is_named(tmp_path: Path) -> None:
    operations = torch.full((2, 5, 8), 0.1)
    operations[1, 2:, DARTS.operations.index("sep_conv_5x5")] = 0.5
    run, found = a_run(tmp_path, operations, (0.1, 0.2, 0.4))
    kept = {op.source: op.operation for op in found.genotype.cells["reduction"].nodes[-1]}
    assert set(kept) == {1, 2}
    chosen, measure = pairs(run, found, "reduction")
    assert [[tuple(op) for op in pair.genotype.cells["reduction"].nodes[-1]] for pair in chosen] == [
        [("sep_conv_5x5", 0), (kept[1], 1)],
        [("sep_conv_5x5", 0), (kept[2], 2)],
        [(kept[1], 1), (kept[2], 2)],
    ]
    assert measure == "sum of the two edges' weights, by which the search ranked them"
    even = found._replace(weights=found.weights._replace(edges_ZE=torch.ones(2, 5)))
    assert pairs(run, even, "reduction")[1] == "sum of the two edges' largest operation weights"
    few = found._replace(margins=[margin._replace(weights=(0.5, 0.5)) for margin in found.margins])
    with pytest.raises(ValueError, match="edges.json has 2 weights for the last node of the normal cell, of 3 edges"):
        pairs(run, few, "normal")


def test_a_search_without_a_choice_has_nothing_to_correlate(tmp_path: Path) -> None:
    operations = torch.full((2, 5, 8), 0.1)
    run, found = a_run(tmp_path, operations, (0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="importance 1: nothing is ranked"):
        pairs(run, found, "normal")
    diverged = found._replace(margins=[margin._replace(weights=(0.5, float("nan"), 0.1)[: margin.node]) for margin in found.margins])
    with pytest.raises(ValueError, match="no numbers: the search has diverged"):
        pairs(run, diverged, "normal")
    operations[0, 2] = 0.0
    with pytest.raises(ValueError, match="no operation on the edge from 0 to 3 of the normal cell"):
        pairs(run, found, "normal")
    nats = Run(**{**vars(run), "space": NATS})
    with pytest.raises(ValueError, match="leaves no pairs to choose"):
        pairs(nats, found, "normal")
