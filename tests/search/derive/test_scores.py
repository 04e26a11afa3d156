"""Without a budget the cell of the greatest score is that of the method's own rule, in the same order of edges, whatever ties there are."""

from __future__ import annotations

from itertools import combinations
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS, NATS, Space
from nasarch.models.zoo import network_of
from nasarch.search.derive.budget import Budget, Derivation
from nasarch.search.engine.discretize import strongest_subsets
from nasarch.search.engine.result import ArchitectureWeights
from nasarch.search.engine.scores import Scores
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts

CASES: dict[str, tuple[ModuleType, Any]] = {
    "darts": (darts, darts.Darts()),
    "pc-darts": (pc_darts, pc_darts.PcDarts()),
    "dots": (dots, dots.Dots()),
    "ftso, replaced": (ftso, ftso.Ftso()),
    "ftso, gradient": (ftso, ftso.Ftso(operator="gradient")),
    "ftso, no softmax": (ftso, ftso.Ftso(edge_softmax=False)),
    "edarts, path": (edarts, edarts.Edarts()),
    "edarts, no path": (edarts, edarts.Edarts(path=None)),
}
MODELS = {space.name: network_of(space) for space in (DARTS, NATS)}


def table(generator: torch.Generator, *shape: int, levels: int) -> Tensor:
    """Random weights; of few levels many are equal, and some zero."""
    drawn = torch.rand(shape, generator=generator)
    return (drawn * levels).floor() / levels if levels else drawn


def weights_of(space: Space, seed: int, pairs: bool = False) -> ArchitectureWeights:
    """Every other table has ties; every third has edges without operations."""
    generator, levels = torch.Generator().manual_seed(seed), 6 * (seed % 2)
    z, e, o = len(space.kinds), len(space.edges), len(space.operations)
    operations, edges = table(generator, z, e, o, levels=levels), table(generator, z, e, levels=levels)
    if seed % 3 == 2:
        operations *= table(generator, z, e, 1, levels=0) > 0.3
    more = {"pairs_ZNS": table(generator, z, space.nodes, 10, levels=levels)} if pairs else {}
    return ArchitectureWeights(operations, edges, **more)


def optimum(space: Space, scores: Scores) -> Genotype:
    (free,) = Derivation.of(space, scores, MODELS[space.name]).within(Budget())
    return Genotype("cell", space.name, free.cells)


def same(one: Genotype, other: Genotype) -> bool:
    return [cell.nodes for cell in one.cells.values()] == [cell.nodes for cell in other.cells.values()]


@pytest.mark.parametrize("case", CASES)
def test_without_a_budget_the_cell_is_that_of_the_method(case: str) -> None:
    recipe, settings = CASES[case]
    for seed in range(200):
        weights = weights_of(DARTS, seed)
        expected = recipe.derive(DARTS, settings, weights, "cell").genotype
        assert same(optimum(DARTS, recipe.scores(DARTS, settings, weights)), expected), seed


def test_dots_takes_the_best_pair_of_edges() -> None:
    settings = dots.Dots()
    for seed in range(200):
        weights = weights_of(DARTS, seed, pairs=True)
        operations = weights.operations_ZEO.clamp(min=1e-7)
        weights = weights._replace(operations_ZEO=operations)
        members = torch.zeros(2, 4, 10, 14, dtype=torch.bool)
        for n, j in enumerate(DARTS.inner_nodes):
            incoming = [e for e, edge in enumerate(DARTS.edges) if edge.target == j]
            pairs = list(combinations(incoming, 2))
            weights.pairs_ZNS[:, n, len(pairs) :] = 0
            for s, pair in enumerate(pairs):
                members[:, n, s, list(pair)] = True
        kept = strongest_subsets(DARTS, weights.pairs_ZNS, members, weights.edges_ZE)
        expected = dots.derive(DARTS, settings, weights, "cell", kept=kept).genotype
        assert same(optimum(DARTS, dots.scores(DARTS, settings, weights)), expected), seed


@pytest.mark.parametrize("case", ["darts", "ftso, gradient"])
def test_cells_of_nats_bench_keep_all_edges(case: str) -> None:
    recipe, settings = CASES[case]
    for seed in range(0, 200, 2):
        weights = weights_of(NATS, 6 * seed)
        expected = recipe.derive(NATS, settings, weights, "cell").genotype
        assert optimum(NATS, recipe.scores(NATS, settings, weights)) == expected, seed


def test_scores_are_sums_of_logarithms_of_the_methods_weights() -> None:
    """DARTS: operations; PC-DARTS: operations times edges; DOTS: pairs, and what an operation loses against the best of its edge."""
    weights = weights_of(DARTS, 0, pairs=True)
    weights = weights._replace(operations_ZEO=weights.operations_ZEO + 0.01)
    for recipe, settings, factor_ZE in (
        (darts, darts.Darts(), torch.ones(2, 14)),
        (pc_darts, pc_darts.PcDarts(), weights.edges_ZE),
    ):
        scores = recipe.scores(DARTS, settings, weights)
        for subset in scores.subsets[1][3]:
            expected = sum(float((weights.operations_ZEO[1, e, 4] * factor_ZE[1, e]).double().log()) for e in subset.edges)
            found = subset.score + sum(float(scores.operations_ZEO[1, e, 4]) for e in subset.edges)
            assert found == pytest.approx(expected, abs=1e-5)
    scores = dots.scores(DARTS, dots.Dots(), weights)
    assert sorted(map(sorted, (s.edges for s in scores.subsets[0][1]))) == [[2, 3], [2, 4], [3, 4]]
    found = [subset.score for subset in scores.subsets[0][1]]
    assert found == pytest.approx(weights.pairs_ZNS[0, 1, :3].double().log().tolist(), abs=1e-9)
    best = weights.operations_ZEO[0, 2, 1:].max()
    assert float(scores.operations_ZEO[0, 2, 4]) == pytest.approx(float((weights.operations_ZEO[0, 2, 4] / best).log()), abs=1e-6)


def test_none_and_what_is_no_candidate_is_never_taken() -> None:
    weights = weights_of(DARTS, 2)
    scores = darts.scores(DARTS, darts.Darts(), weights)
    some_ZE = weights.operations_ZEO[:, :, 1:].any(2)
    assert (scores.operations_ZEO[:, :, 0] == -torch.inf).all()
    assert torch.equal(scores.operations_ZEO[:, :, 1:].isfinite()[some_ZE], (weights.operations_ZEO[:, :, 1:] > 0)[some_ZE])


def test_edges_without_weight_are_no_choice_where_others_are_left_and_equal_ones_rank_in_order() -> None:
    edges = torch.tensor([[0.5] * 14] * 2)
    edges[:, [5, 7]] = 0  # of the edges 5 to 8 into node 4 two are left, of 2 to 4 into node 3 all
    scores = pc_darts.scores(DARTS, pc_darts.PcDarts(), ArchitectureWeights(torch.full((2, 14, 8), 0.125), edges))
    assert [subset.edges for subset in scores.subsets[0][2]] == [(6, 8)]
    of_node_3 = scores.subsets[1][1]
    assert [subset.edges for subset in of_node_3] == [(2, 3), (2, 4), (3, 4)]
    assert of_node_3[0].score > of_node_3[1].score > of_node_3[2].score > of_node_3[0].score - 1e-9
