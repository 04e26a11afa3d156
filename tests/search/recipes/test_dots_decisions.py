"""Decisions of DOTS: pairs of edges, groups of operations, winners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.cells.space import DARTS
from nasarch.search.recipes import dots
from nasarch.search.supernet.candidates import check_candidates, winners
from tests.helpers.decisions import DARTS_NODES, NAMES, NORMAL, REDUCTION, REDUCTION_NODES, edge, nodes, operations, sources
from tests.helpers.nested import nested
from tests.helpers.staged import searched

PAIRS = {2: {"01": 1.0}, 3: {"01": 0.3, "02": 0.4, "12": 0.3}, 4: {"01": 0.28, "02": 0.22, "03": 0.10, "12": 0.0, "13": 0.15, "23": 0.25}}


ORDER = {j: [f"{s}{t}" for s in range(j) for t in range(s + 1, j)] for j in range(2, 6)}  # itertools.combinations


def betas(pairs: Mapping[int, Mapping[str, float]], temperature: float) -> Tensor:
    """[N, S] of which the softmax at this temperature is `pairs`; nodes without have equal ones."""
    beta = torch.zeros(4, 10, dtype=torch.float64)
    for j, weights in pairs.items():
        shares = torch.tensor([weights[pair] for pair in ORDER[j]], dtype=torch.float64).clamp(min=1e-300)
        beta[j - 2, : len(ORDER[j])] = temperature * shares.log()
    return beta


def dots_settings(**changes: Any) -> dots.Dots:
    return nested(dots.Dots(), **{"operation_epochs": 2, "topology_epochs": 3, "operation_warmup": 0, "topology_warmup": 0} | changes)


def test_dots_keeps_the_best_pair_even_where_others_hold_stronger_edges() -> None:
    """At the last temperature, 10 * 0.72^2; of the pairs in the file T is 1."""
    temperature = 10 * 0.72**2
    beta = torch.stack([betas(PAIRS, temperature), betas({}, temperature)])
    result = searched(dots, dots_settings(), {}, {"beta": beta})
    found = result.found
    assert [set(node) for node in sources(found)] == [{0, 1}, {0, 2}, {0, 1}, {0, 1}]
    assert sources(found)[2] == [0, 1]
    assert [set(node) for node in sources(found, "reduction")] == [{0, 1}] * 4  # where all pairs weigh the same
    three, four = found.margins[1:3]
    assert (three.dropped, four.kept, four.dropped) == (1, (0, 1), 3)
    assert three.weights == pytest.approx((0.7, 0.6, 0.7)) and three.lead == pytest.approx(0.1)
    assert four.weights == pytest.approx((0.60, 0.43, 0.47, 0.50)) and four.lead == pytest.approx(-0.07)
    by_singles = dots.derive(DARTS, dots_settings(), found.weights, "cell")  # what a consensus does
    assert sources(by_singles)[2] == [0, 3] and by_singles.margins[2].lead == pytest.approx(0.03)
    at_one = torch.tensor([0.3, 0.4, 0.3], dtype=torch.float64) ** temperature
    torch.testing.assert_close(found.weights.pairs_ZNS[0, 1, :3], at_one / at_one.sum())
    assert result.presented[1].margins == found.margins


def test_the_edges_of_a_pair_are_listed_by_their_own_weights() -> None:
    pairs = {5: dict.fromkeys(ORDER[5], 0.05) | {"13": 0.4, "34": 0.2}}
    found = searched(dots, dots_settings(), {}, {"beta": torch.stack([betas(pairs, 5.184)] * 2)}).found
    assert sources(found)[3] == [3, 1] and found.margins[3].dropped == 4


FREE_AND_CONV = {
    "02": {"none": 2.0, "skip": 1.9, "dil5": 0.5, "sep3": 0.4},
    "12": {"avg": 0.3, "sep5": 0.2},
    "03": {"max": 0.1, "sep3": 3.0, "dil3": 3.1},
}


def test_dots_leaves_the_best_of_each_group_on_every_edge() -> None:
    alpha = operations(DARTS, FREE_AND_CONV, {}, rest=0.0)
    left = searched(dots, dots_settings(), {"alpha": alpha}).stages[1].candidates_ZEO
    short = {name: long for name, long in NAMES.items() if long in DARTS.operations}

    def names(edge_name: str) -> set[str]:
        row = left[0, edge(DARTS, edge_name)]
        return {name for name, long in short.items() if row[DARTS.operations.index(long)]}

    assert [names(name) for name in ("02", "12", "03")] == [{"none", "dil5"}, {"avg", "sep5"}, {"max", "dil3"}]
    assert (left.sum(2) == 2).all() and left[1, :, 0].all() and left[1, :, 4].all()  # equal ones: the first of each group


def test_dots_in_one_group_leaves_the_best_that_is_not_none() -> None:
    alpha = operations(DARTS, FREE_AND_CONV, {}, rest=0.0)
    left = searched(dots, dots_settings(grouped=False), {"alpha": alpha}).stages[1].candidates_ZEO
    chosen = [DARTS.operations[int(left[0, edge(DARTS, name)].nonzero())] for name in ("02", "12", "03")]
    assert chosen == ["skip_connect", "avg_pool_3x3", "dil_conv_3x3"]
    assert (left.sum(2) == 1).all() and not left[:, :, 0].any()


def test_what_dots_shows_of_its_operation_search_is_the_cell_by_darts_rule() -> None:
    """Of e^alpha, divided by their sums: .31 .85, - .47 .26, .18 .20 .19 .16, .78 .78 .78 .59 .79."""
    alpha = operations(DARTS, NORMAL, REDUCTION).log()
    shown = searched(dots, dots_settings(grouped=False, operation_start=1.0, operation_decay=1.0), {"alpha": alpha}).presented[0]
    assert nodes(shown) == DARTS_NODES and nodes(shown, "reduction") == REDUCTION_NODES


def test_a_cold_softmax_takes_no_candidate_away_and_none_never_holds_an_edge() -> None:
    """none and dil5 are left on edge 0 -> 2; at 1e-3 times the last temperature the softmax of none is 1, that of dil5 underflows."""
    first, second = operations(DARTS, FREE_AND_CONV, {}, rest=0.0), operations(DARTS, {"02": {"none": 50.0}}, {}, rest=0.0)
    found = searched(dots, dots_settings(), {"alpha": first}, {"alpha": second}).found
    assert nodes(found)[0] == [("dil5", 0), ("avg", 1)]
    row = found.weights.operations_ZEO[0, edge(DARTS, "02")]
    assert row.tolist() == pytest.approx([1.0, 0, 0, 0, 0, 0, 0, 1e-7], rel=1e-12, abs=0)


def test_operations_of_dots_are_the_better_ones_of_their_edges() -> None:
    first = operations(DARTS, FREE_AND_CONV, {}, rest=0.0)
    second = operations(DARTS, {"02": {"dil5": -1.0}, "12": {"sep5": 0.01}, "03": {"dil3": -0.01}}, {}, rest=0.0)
    found = searched(dots, dots_settings(), {"alpha": first}, {"alpha": second}).found
    assert nodes(found)[:2] == [[("dil5", 0), ("sep5", 1)], [("max", 0), ("sep3", 1)]]  # 1 -> 3 has none and sep3 left


def test_winners_are_candidates_of_their_group_and_the_first_of_equal_ones() -> None:
    weights = torch.tensor([[[0.9, 0.1, 0.5, 0.5], [0.2, 0.3, 0.0, 0.0]]])
    candidates = torch.tensor([[[False, True, True, True], [True, True, False, False]]])
    groups = torch.tensor([[True, True, False, False], [False, False, True, True]])
    expected = torch.tensor([[[False, True, True, False], [False, True, False, False]]])
    assert torch.equal(winners(weights, candidates, groups), expected)


def test_every_node_keeps_a_candidate_on_one_of_its_own_edges() -> None:
    mask = torch.ones(2, 14, 8, dtype=torch.bool)
    mask[1, [edge(DARTS, name) for name in ("03", "13", "23")]] = False
    with pytest.raises(ValueError, match="node 3 of the reduction cell has no candidate left"):
        check_candidates(DARTS, mask)
    mask[1, edge(DARTS, "23"), 5] = True
    check_candidates(DARTS, mask)
    alone = torch.zeros(2, 14, 8, dtype=torch.bool)
    alone[:, [edge(DARTS, f"0{j}") for j in (2, 3, 4, 5)], 3] = True
    check_candidates(DARTS, alone)
    for wrong in (mask.float(), mask[:1], mask[:, :13], mask[:, :, :7]):
        with pytest.raises(ValueError, match=r"space 'darts' needs a Boolean mask \[2, 14, 8\]"):
            check_candidates(DARTS, wrong)
