"""The cell of the mean weights, and how much the cells of two halves of the runs agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nasarch.search import darts, dots, edarts, ftso, pc_darts
from nasarch.search.consensus import agreements, consensus, mean
from nasarch.search.found import Weights
from nasarch.space import DARTS, NATS, Space

Draw = Callable[[int], Weights]


def random_weights(space: Space, seed: int) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    z, e, o = len(space.kinds), len(space.edges), len(space.operations)
    return Weights(torch.rand(z, e, o, generator=generator), torch.rand(z, e, generator=generator))


def test_the_mean_is_that_of_every_entry_in_the_digits_of_a_file() -> None:
    runs = [random_weights(DARTS, seed) for seed in range(3)]
    both = mean(runs)
    torch.testing.assert_close(both.operations_ZEO, sum(run.operations_ZEO for run in runs) / 3, rtol=0, atol=1e-6)
    torch.testing.assert_close(both.edges_ZE, sum(run.edges_ZE for run in runs) / 3, rtol=0, atol=1e-6)
    read = mean([Weights.from_lists(run.to_lists()) for run in runs])
    assert all(torch.equal(a, b) for a, b in zip(both, read, strict=True))


def test_one_run_that_is_sure_outweighs_two_that_are_not() -> None:
    """Node 3 of three edges: two runs lean to edges 0 and 1 a little, one is sure of 2."""
    runs = []
    for row in ([0.34, 0.34, 0.32], [0.34, 0.34, 0.32], [0.1, 0.3, 0.6]):
        weights = random_weights(DARTS, 0)
        weights.edges_ZE[:, 2:5] = torch.tensor(row)
        runs.append(weights)
    found = consensus(dots, dots.Dots(), DARTS, runs, "mean")
    assert [edge.source for edge in found.genotype.cells["normal"].nodes[1]] == [2, 1]
    assert found.margins[1].weights == pytest.approx((0.26, 0.98 / 3, 1.24 / 3))
    assert found.margins[1].lead == pytest.approx(0.98 / 3 - 0.26)


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [(darts, darts.Darts()), (pc_darts, pc_darts.PcDarts()), (dots, dots.Dots()), (edarts, edarts.Edarts()), (ftso, ftso.Ftso())],
    ids=["darts", "pc-darts", "dots", "edarts", "ftso"],
)
def test_runs_that_are_alike_agree_and_give_their_cell(recipe: Any, settings: Any) -> None:
    runs = [random_weights(DARTS, 0)] * 4
    rows = agreements(recipe, settings, DARTS, runs)
    assert [(row.runs, row.edges, row.operations) for row in rows] == [(1, 1.0, 1.0), (2, 1.0, 1.0)]
    assert consensus(recipe, settings, DARTS, runs, "mean").genotype == recipe.derive(DARTS, settings, runs[0], "one").genotype


def test_random_runs_agree_by_chance() -> None:
    runs = [random_weights(DARTS, seed) for seed in range(40)]
    rows = agreements(pc_darts, pc_darts.PcDarts(), DARTS, runs)
    assert [row.runs for row in rows] == [1, 2, 4, 8, 16, 20]
    for row in rows:
        assert row.chance == pytest.approx((2 / 3 + 2 / 4 + 2 / 5) / 3)
        near = 0.06 if row.runs <= 4 else 0.25  # deals of the same runs into large parts are much alike
        assert abs(row.edges - row.chance) < near and abs(row.operations - row.chance / 7) < near


@pytest.mark.parametrize(("count", "sizes"), [(2, [1]), (3, [1]), (4, [1, 2]), (7, [1, 2, 3]), (1, [])])
def test_halves_grow_to_half_of_the_runs(count: int, sizes: list[int]) -> None:
    runs = [random_weights(DARTS, seed) for seed in range(count)]
    assert [row.runs for row in agreements(darts, darts.Darts(), DARTS, runs)] == sizes


def test_where_all_edges_stay_only_operations_can_differ() -> None:
    runs = [random_weights(NATS, seed) for seed in range(8)]
    for row in agreements(darts, darts.Darts(), NATS, runs):
        assert row.edges == row.chance == 1.0 and 0.05 < row.operations < 0.6


def test_where_the_topology_is_given_the_operations_alone_differ() -> None:
    runs = [random_weights(DARTS, seed) for seed in range(4)]
    for row in agreements(edarts, edarts.Edarts(), DARTS, runs):
        assert row.edges == row.chance == 1.0 and row.operations < 0.6


def test_an_edge_that_no_run_searched_operations_on_is_not_taken() -> None:
    """FTSO by gradient: at node 5 edge 2 leads in the mean, but neither run had kept it."""
    runs = []
    for kept, dropped in (((0, 1), 3), ((3, 1), 0)):
        weights = Weights(torch.zeros(2, 14, 8), torch.full((2, 14), 0.25))
        weights.operations_ZEO[:, :9, 4] = 1.0
        rows = [e for e, edge in enumerate(DARTS.edges) if edge.target == 5]
        weights.edges_ZE[:, rows] = torch.tensor([0.0, 0.34, 0.3, 0.0, 0.01])
        weights.edges_ZE[:, rows[kept[0]]] = 0.35
        for source in kept:
            weights.operations_ZEO[:, rows[source], 6] = 1.0
        assert weights.edges_ZE[0, rows[dropped]] == 0.0
        runs.append(weights)
    found = consensus(ftso, ftso.Ftso(operator="gradient"), DARTS, runs, "mean")
    node = found.genotype.cells["normal"].nodes[3]
    assert node[0].source == 1 and node[1].source in (0, 3) and {edge.operation for edge in node} == {"dil_conv_3x3"}
