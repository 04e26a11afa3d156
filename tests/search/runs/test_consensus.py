"""The cell of the mean weights, and how much the cells of two halves of the runs agree."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cells.space import DARTS, NATS, Space
from nasarch.search.engine.result import ArchitectureWeights, Margin
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from nasarch.search.recipes.methods import METHODS, Method
from nasarch.search.runs.consensus import Agreement, agreements, consensus, mean
from nasarch.search.runs.gather import _agreement, _provenance, _same, _seeds, _stability
from nasarch.search.runs.history import kept_counts

Draw = Callable[[int], ArchitectureWeights]


def random_weights(space: Space, seed: int) -> ArchitectureWeights:
    generator = torch.Generator().manual_seed(seed)
    z, e, o = len(space.kinds), len(space.edges), len(space.operations)
    return ArchitectureWeights(torch.rand(z, e, o, generator=generator), torch.rand(z, e, generator=generator))


def test_the_mean_is_that_of_every_entry_in_the_digits_of_a_file() -> None:
    runs = [random_weights(DARTS, seed) for seed in range(3)]
    both = mean(runs)
    torch.testing.assert_close(both.operations_ZEO, sum(run.operations_ZEO for run in runs) / 3, rtol=0, atol=1e-6)
    torch.testing.assert_close(both.edges_ZE, sum(run.edges_ZE for run in runs) / 3, rtol=0, atol=1e-6)
    read = mean([ArchitectureWeights.from_lists(run.to_lists()) for run in runs])
    assert all(torch.equal(a, b) for a, b in zip(both, read, strict=True))


def test_one_run_that_is_sure_outweighs_two_that_are_not() -> None:
    """Node 3 of three edges: two runs lean to edges 0 and 1 a little, one is sure of 2."""
    runs = []
    for row in ([0.34, 0.34, 0.32], [0.34, 0.34, 0.32], [0.1, 0.3, 0.6]):
        weights = random_weights(DARTS, 0)
        weights.edges_ZE[:, 2:5] = torch.tensor(row)
        runs.append(weights)
    found = consensus(METHODS["dots"], dots.Dots(), DARTS, runs, "mean")
    assert [edge.source for edge in found.genotype.cells["normal"].nodes[1]] == [2, 1]
    assert found.margins[1].weights == pytest.approx((0.26, 0.98 / 3, 1.24 / 3))
    assert found.margins[1].lead == pytest.approx(0.98 / 3 - 0.26)


@pytest.mark.parametrize(
    ("method", "settings"),
    [(method, method.settings()) for method in METHODS.values()],
    ids=METHODS,
)
def test_runs_that_are_alike_agree_and_give_their_cell(method: Method, settings: Any) -> None:
    runs = [random_weights(DARTS, 0)] * 4
    rows = agreements(method, settings, DARTS, runs)
    assert [(row.runs, row.edges, row.operations) for row in rows] == [(1, 1.0, 1.0), (2, 1.0, 1.0)]
    assert consensus(method, settings, DARTS, runs, "mean").genotype == method.derive(DARTS, settings, runs[0], "one").genotype


def test_random_runs_agree_by_chance() -> None:
    runs = [random_weights(DARTS, seed) for seed in range(40)]
    rows = agreements(METHODS["pc-darts"], pc_darts.PcDarts(), DARTS, runs)
    assert [row.runs for row in rows] == [1, 2, 4, 8, 16, 20]
    for row in rows:
        assert row.chance == pytest.approx((2 / 3 + 2 / 4 + 2 / 5) / 3)
        near = 0.06 if row.runs <= 4 else 0.25  # deals of the same runs into large parts are much alike
        assert abs(row.edges - row.chance) < near and abs(row.operations - row.chance / 7) < near


@pytest.mark.parametrize(("count", "sizes"), [(2, [1]), (3, [1]), (4, [1, 2]), (7, [1, 2, 3]), (1, [])])
def test_halves_grow_to_half_of_the_runs(count: int, sizes: list[int]) -> None:
    runs = [random_weights(DARTS, seed) for seed in range(count)]
    assert [row.runs for row in agreements(METHODS["darts"], darts.Darts(), DARTS, runs)] == sizes


def test_where_all_edges_stay_only_operations_can_differ() -> None:
    runs = [random_weights(NATS, seed) for seed in range(8)]
    for row in agreements(METHODS["darts"], darts.Darts(), NATS, runs):
        assert row.edges == row.chance == 1.0 and 0.05 < row.operations < 0.6


def test_where_the_topology_is_given_the_operations_alone_differ() -> None:
    runs = [random_weights(DARTS, seed) for seed in range(4)]
    for row in agreements(METHODS["edarts"], edarts.Edarts(), DARTS, runs):
        assert row.edges == row.chance == 1.0 and row.operations < 0.6


def test_an_edge_that_no_run_searched_operations_on_is_not_taken() -> None:
    """FTSO by gradient: at node 5 edge 2 leads in the mean, but neither run had kept it."""
    runs = []
    for kept, dropped in (((0, 1), 3), ((3, 1), 0)):
        weights = ArchitectureWeights(torch.zeros(2, 14, 8), torch.full((2, 14), 0.25))
        weights.operations_ZEO[:, :9, 4] = 1.0
        rows = [e for e, edge in enumerate(DARTS.edges) if edge.target == 5]
        weights.edges_ZE[:, rows] = torch.tensor([0.0, 0.34, 0.3, 0.0, 0.01])
        weights.edges_ZE[:, rows[kept[0]]] = 0.35
        for source in kept:
            weights.operations_ZEO[:, rows[source], 6] = 1.0
        assert weights.edges_ZE[0, rows[dropped]] == 0.0
        runs.append(weights)
    found = consensus(METHODS["ftso"], ftso.Ftso(operator="gradient"), DARTS, runs, "mean")
    node = found.genotype.cells["normal"].nodes[3]
    assert node[0].source == 1 and node[1].source in (0, 3) and {edge.operation for edge in node} == {"dil_conv_3x3"}


def test_files_have_seven_decimals_and_pairs_where_there_are_some() -> None:
    weights = ArchitectureWeights(torch.full((1, 1, 1), 0.123456789), torch.full((1, 1), 0.00000004), torch.full((1, 1, 1), 0.98765432))
    lists = weights.to_lists()
    assert lists == {"operations": [[[0.1234568]]], "edges": [[0.0]], "pairs": [[[0.9876543]]]}
    read = ArchitectureWeights.from_lists(lists)
    assert read.pairs_ZNS.item() == pytest.approx(0.9876543) and read.operations_ZEO.shape == (1, 1, 1) and read.edges_ZE.shape == (1, 1)
    assert "pairs" not in weights._replace(pairs_ZNS=torch.zeros(0)).to_lists()
    learnt = ArchitectureWeights(*(torch.ones(1, requires_grad=True) for _ in range(3))).detached()
    assert not any(table.requires_grad for table in learnt)


def cell_of(node_3: tuple[int, int], operation: str = "sep_conv_3x3") -> ArchitectureWeights:
    """All nodes read 0 and 1 but node 3 of the normal cell; every edge carries sep_conv_3x3 but that from 0 to 4 of the normal cell."""
    weights = ArchitectureWeights(torch.full((2, 14, 8), 0.1), torch.zeros(2, 14))
    for e, edge in enumerate(DARTS.edges):
        weights.operations_ZEO[:, e, DARTS.operations.index("sep_conv_3x3")] = 0.9 if edge.source < 2 else 0.3
    for source in range(3):
        e = DARTS.edges.index((source, 3))  # type: ignore[arg-type]
        weights.operations_ZEO[0, e, 4] = 0.9 if source in node_3 else 0.3
    e = DARTS.edges.index((0, 4))  # type: ignore[arg-type]
    weights.operations_ZEO[0, e] = 0.1
    weights.operations_ZEO[0, e, DARTS.operations.index(operation)] = 0.9
    e = DARTS.edges.index((0, 2))  # type: ignore[arg-type]
    weights.operations_ZEO[1, e, DARTS.operations.index(operation)] = 0.95  # of a node without a choice, which does not count
    return weights


def test_agreement_is_the_share_of_edges_and_of_operations_where_there_is_a_choice() -> None:
    """Six nodes choose two edges each: 11 of 12 edges agree; of those all but one in their operation, too."""
    runs = [cell_of((0, 1)), cell_of((0, 2), "skip_connect")]
    (row,) = agreements(METHODS["darts"], darts.Darts(), DARTS, runs)
    assert (row.runs, row.edges, row.operations) == (1, pytest.approx(11 / 12), pytest.approx(10 / 12))
    assert row.chance == pytest.approx((2 / 3 + 2 / 4 + 2 / 5) / 3)


def test_halves_are_disjoint_and_dealt_anew() -> None:
    """Of two runs of one kind and two of another the halves of one are alike in a third of the deals, those of two in none or in all."""
    first, second = cell_of((0, 1)), cell_of((1, 2))
    one, two = agreements(METHODS["darts"], darts.Darts(), DARTS, [first, first, second, second])
    assert 0.2 < 1 - (1 - one.edges) * 12 < 0.47 and one.runs == 1
    assert two.edges > 11 / 12 and two.runs == 2
    usual, *by_seed = (
        agreements(METHODS["darts"], darts.Darts(), DARTS, [first, second, second], **seed) for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert usual == by_seed[0] != by_seed[1]


def test_counts_are_of_sources_by_node_over_the_runs() -> None:
    rows = [
        [Margin("normal", 2, (0.5, 0.5), (1, 0), None, None), Margin("normal", 3, (0.2, 0.5, 0.3), kept, 0, 0.1)]
        for kept in ((1, 2), (2, 0), (2, 1))
    ]
    assert kept_counts(rows) == [
        {"kind": "normal", "node": 2, "kept": [3, 3], "runs": 3},
        {"kind": "normal", "node": 3, "kept": [1, 2, 3], "runs": 3},
    ]


def test_runs_of_different_searches_are_not_brought_together(tmp_path: Path) -> None:
    usual = {"method": "FTSO", "settings": {"lr": 0.1}, "data": {"sha256": "a"}, "space": {"name": "darts", "nodes": 4}}

    def written(name: str, **changes: Any) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(usual | {"seed": 0} | changes))
        return tmp_path / name

    first = written("first")
    assert _same([first, written("other seed", seed=1)])["seed"] == 0
    for key, value in (("method", "DARTS"), ("settings", {"lr": 0.2}), ("data", {"sha256": "b"}), ("space", {"name": "darts", "nodes": 3})):
        with pytest.raises(ValueError, match=f"differ in {key}: only runs of the same search"):
            _same([first, written(key, seed=2, **{key: value})])
    with pytest.raises(ValueError, match="seed 7 is there twice"):
        _same([first, written("a", seed=7), written("b", seed=7)])


def test_the_agreement_is_counted_over_deals_into_two_halves() -> None:
    """200 deals drawn by the seed, each counted node by node: sources that both cells keep, and pairs of source and operation."""
    runs = [random_weights(DARTS, seed) for seed in range(5)]
    generator = torch.Generator().manual_seed(3)
    rows = []
    for size in (1, 2):
        edges, operations, choices, chances = 0, 0, 0, []
        for _ in range(200):
            dealt = torch.randperm(5, generator=generator).tolist()
            halves = (averaged([runs[i] for i in part]) for part in (dealt[:size], dealt[size : 2 * size]))
            cells = [darts.derive(DARTS, darts.Darts(), half, "x").genotype.cells for half in halves]
            for kind, node in itertools.product(("normal", "reduction"), (3, 4, 5)):  # node 2 reads both edges that it has
                one, other = ({(op.source, op.operation) for op in cell[kind].nodes[node - 2]} for cell in cells)
                edges += len({source for source, _ in one} & {source for source, _ in other})
                operations += len(one & other)
                choices += len(one)
                chances.append(len(one) / node)
        rows.append((size, edges / choices, operations / choices, sum(chances) / len(chances)))
    assert [tuple(row) for row in agreements(METHODS["darts"], darts.Darts(), DARTS, runs, seed=3)] == [pytest.approx(row) for row in rows]


def averaged(runs: list[ArchitectureWeights]) -> ArchitectureWeights:
    return ArchitectureWeights(sum(run.operations_ZEO for run in runs) / len(runs), sum(run.edges_ZE for run in runs) / len(runs))


def test_the_mean_is_of_rounded_tables() -> None:
    """As files hold them: two digits more would decide otherwise."""
    low, high = (
        ArchitectureWeights(torch.full((2, 14, 8), value, dtype=torch.double), torch.zeros(2, 14)) for value in (0.12345674, 0.12345676)
    )
    assert mean([low, low]).operations_ZEO[0, 0, 0].item() == pytest.approx(0.1234567, abs=2e-9)
    assert mean([low, high]).operations_ZEO[0, 0, 0].item() == pytest.approx((0.1234567 + 0.1234568) / 2, abs=6e-9)


def found_by(seed: int, seconds: float) -> Genotype:
    about = {"method": "FTSO", "source": {"seed": seed, "seconds": seconds, "settings": {"lr": 0.1}, "note": "a run"}}
    return Genotype("x", DARTS.name, resolve("ftso_cifar").cells, about)


def test_a_consensus_says_its_seeds_and_the_time_of_all_runs() -> None:
    runs = [found_by(7, 1.26), found_by(3, 2.5)]
    whole = _provenance(runs, [Agreement(1, 0.5, 0.25, 0.52)])
    assert whole["method"] == "FTSO" and whole["source"] == {
        "settings": {"lr": 0.1},
        "note": "the cell of the mean weights of 2 runs",
        "seeds": [7, 3],
        "seconds": 3.8,
        "agreement of halves": [{"runs": 1, "edges": 0.5, "operations": 0.25, "chance": 0.52}],
    }
    assert "agreement of halves" not in _provenance(runs, [])["source"]


def test_runs_in_a_folder_come_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    for name in ("seed-10", "seed-9", "seed-100", "seed-1", "other"):
        (tmp_path / name).mkdir()
    assert [path.name for path in _seeds(tmp_path)] == ["seed-1", "seed-9", "seed-10", "seed-100"]


def test_stability_and_agreement_are_shown_with_all_their_figures() -> None:
    counts = [
        {"kind": "normal", "node": 2, "kept": {"0": 3, "1": 3}, "runs": 3},
        {"kind": "normal", "node": 3, "kept": {"0": 1, "1": 2, "2": 3}, "runs": 3},
    ]
    shown = _stability(counts)
    assert shown.title == "how often each edge was kept in 3 runs"
    assert [column.header for column in shown.columns] == ["cell", "node", "from 0", "from 1", "from 2"]
    rows = list(zip(*(column.cells for column in shown.columns), strict=True))
    assert rows == [("normal", "2", "3", "3", ""), ("normal", "3", "1", "2", "3")]
    halves = _agreement([Agreement(4, 0.512, 0.25, 0.5222)])
    assert [column.header for column in halves.columns] == ["runs in a half", "edges", "edges with operations", "edges by chance"]
    assert [list(column.cells) for column in halves.columns] == [["4"], ["51.2%"], ["25.0%"], ["52.2%"]]
