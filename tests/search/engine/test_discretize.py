"""From scores to cells: which edges stay, how clearly, and which operation they carry."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nasarch.cells.space import DARTS, NATS
from nasarch.search.engine.discretize import (
    KeptEdges,
    by_kind,
    edges_of,
    genotype,
    given_edges,
    margins,
    one_operation,
    strongest_edges,
    strongest_operations,
    strongest_scores,
    strongest_subsets,
)

EDGES = {tuple(edge): e for e, edge in enumerate(DARTS.edges)}


def scores(**by_edge: float) -> torch.Tensor:
    """Zeros [2, 14] (float64) but for the normal cell's edges, written as e02=... for 0 -> 2."""
    score = torch.zeros(2, 14, dtype=torch.float64)
    for name, value in by_edge.items():
        score[0, EDGES[int(name[1]), int(name[2])]] = value
    return score


def test_keeps_the_two_strongest_edges_of_each_node_strongest_first() -> None:
    kept = strongest_edges(DARTS, scores(e35=3.0, e15=5.0, e04=-1.0, e34=1.0))
    cell = genotype(DARTS, kept, one_operation(DARTS, "sep_conv_3x3"), name="x", provenance={}).cells["normal"]
    assert [[edge.source for edge in node] for node in cell.nodes] == [[0, 1], [0, 1], [3, 1], [1, 3]]
    assert cell.concat == (2, 3, 4, 5)


def test_a_subset_is_kept_as_a_whole() -> None:
    """Node 3 keeps edges 0 and 2 although 1 weighs more: its best pair is (0, 2). A subset that does not exist weighs nothing."""
    pairs = {3: [(0, 1), (0, 2), (1, 2)], 2: [(0, 1)]}
    members, weights = torch.zeros(2, 4, 10, 14), torch.zeros(2, 4, 10)
    for j in DARTS.inner_nodes:
        for s, pair in enumerate(pairs.get(j, [(0, 1)])):
            members[:, j - 2, s, [EDGES[i, j] for i in pair]] = 1
    weights[0, 1, :3] = torch.tensor([0.3, 0.4, 0.3])
    kept = strongest_subsets(DARTS, weights, members, scores(e03=0.7, e13=0.9, e23=0.8))[1]
    assert [DARTS.edges[e].source for e in kept.kept] == [2, 0] and [DARTS.edges[e].source for e in kept.dropped] == [1]


def sources(score: torch.Tensor, **arguments: Any) -> list[int]:
    """Of the edges that node 3 of the normal cell keeps and drops, in their order."""
    _, _, kept, dropped = strongest_edges(DARTS, score, **arguments)[1]
    return [DARTS.edges[e].source for e in kept + dropped]


def test_scores_are_compared_in_float64_and_equal_ones_go_by_the_order_of_edges() -> None:
    assert sources(scores(e03=0.5, e13=0.5 + 1e-9, e23=0.5 + 2e-9)) == [2, 1, 0]  # in float32 these are one number
    assert sources(scores(e03=0.5, e13=0.5, e23=0.5)) == [0, 1, 2]
    assert sources(scores(e03=0.4, e13=0.5, e23=0.5)) == [1, 2, 0]
    assert sources(scores(e03=-0.4, e13=-0.5, e23=-0.3)) == [2, 0, 1]


@pytest.mark.parametrize(
    ("ahead", "order"),
    [(0.4e-5, [2, 1, 0]), (-0.4e-5, [2, 1, 0]), (0.6e-5, [1, 2, 0]), (-0.6e-5, [2, 0, 1])],
    ids=["within the tolerance", "within it, behind", "just ahead of it", "just behind it"],
)
def test_ties_within_the_tolerance_go_to_the_tie_breaker(ahead: float, order: list[int]) -> None:
    """Edges 0 and 2 have a multiple of the tolerance, and edge 1 a little more or less, which rounds to the same one or to the next."""
    score, breaker = scores(e03=0.5, e13=0.5 + ahead, e23=0.5), scores(e03=-1.0, e13=2.0, e23=3.0)
    assert sources(score, tie_breaker_ZE=breaker, tie=1e-5) == order
    assert sources(score, tie_breaker_ZE=breaker) == ([1, 2, 0] if ahead > 0 else [2, 0, 1])  # exact ties alone


def test_the_tie_breaker_says_nothing_where_scores_differ_and_its_own_ties_go_by_the_order() -> None:
    far = scores(e03=0.3, e13=0.2, e23=0.1)
    assert sources(far, tie_breaker_ZE=scores(e13=5.0, e23=9.0), tie=1e-5) == [0, 1, 2]
    assert sources(scores(), tie_breaker_ZE=scores(e03=1.0, e13=1.0, e23=2.0), tie=1e-5) == [2, 0, 1]
    assert sources(scores(), tie=1e-5) == [0, 1, 2]


def test_margins_name_the_choice_and_its_lead() -> None:
    weight = scores(e03=0.5, e13=0.2, e23=0.3)
    first, second, *_ = margins(DARTS, strongest_edges(DARTS, weight), weight)
    assert (first.kept, first.dropped, first.lead) == ((0, 1), None, None)
    assert (second.kind, second.node, second.kept, second.dropped) == ("normal", 3, (0, 2), 1)
    assert second.lead == pytest.approx(0.1)
    assert second.weights == pytest.approx((0.5, 0.2, 0.3))


def test_margins_of_a_reduction_cell_are_read_from_its_own_row() -> None:
    weight = scores(e03=0.5, e13=0.2, e23=0.3)
    weight[1, [EDGES[0, 3], EDGES[1, 3], EDGES[2, 3]]] = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    found = margins(DARTS, strongest_edges(DARTS, weight), weight)
    assert [(one.kind, one.node) for one in found] == [(kind, j) for kind in ("normal", "reduction") for j in (2, 3, 4, 5)]
    assert (found[5].kept, found[5].dropped, found[5].lead) == ((2, 1), 0, pytest.approx(0.2))


def test_a_lead_is_negative_where_the_edges_were_not_chosen_by_these_weights() -> None:
    """It is that of the last one kept over the first one dropped: 0.2 - 0.5, not of the strongest kept, nor over the last dropped."""
    kept = [KeptEdges("normal", 4, (EDGES[2, 4], EDGES[1, 4]), (EDGES[0, 4], EDGES[3, 4]))]
    (one,) = margins(DARTS, kept, scores(e04=0.5, e14=0.2, e24=0.9, e34=0.1))
    assert (one.kept, one.dropped, one.lead, one.weights) == ((2, 1), 0, pytest.approx(-0.3), (0.5, 0.2, 0.9, 0.1))


def test_the_best_operation_of_an_edge_is_found_without_touching_the_scores() -> None:
    score = torch.zeros(2, 14, 8)
    score[0, 3, :3], score[1, 5, [0, 7]] = torch.tensor([0.9, 0.2, 0.4]), torch.tensor([0.9, 0.3])
    before = score.clone()
    names, best = strongest_operations(DARTS, score), strongest_scores(DARTS, score)
    assert (names[0][3], names[1][5], names[0][0]) == ("avg_pool_3x3", "dil_conv_5x5", "max_pool_3x3")
    assert (best[0, 3], best[1, 5], best[0, 0]) == (score[0, 3, 2], score[1, 5, 7], 0) and torch.equal(score, before)


def test_given_edges_are_those_of_the_sources_in_every_cell_in_their_order() -> None:
    kept = given_edges(DARTS, [(0, 1), (2, 0), (1, 3), (4, 0)])
    assert [(one.kind, one.node) for one in kept] == [(kind, j) for kind in ("normal", "reduction") for j in (2, 3, 4, 5)]
    assert [[tuple(DARTS.edges[e]) for e in one.kept] for one in kept[4:]] == [
        [(0, 2), (1, 2)],
        [(2, 3), (0, 3)],
        [(1, 4), (3, 4)],
        [(4, 5), (0, 5)],
    ]
    assert all(one.dropped == () for one in kept)
    cells = genotype(DARTS, kept, one_operation(DARTS, "skip_connect"), name="x", provenance={"note": "n"})
    assert edges_of(DARTS, cells) == kept and cells.provenance["note"] == "n"
    assert by_kind(kept) == dict.fromkeys(("normal", "reduction"), [0, 1, 4, 2, 6, 8, 13, 9])


def test_a_topology_of_too_few_or_too_many_nodes_is_none_of_the_space() -> None:
    for sources in ([(0, 1)] * 3, [(0, 1)] * 5):
        with pytest.raises(ValueError, match="zip"):
            given_edges(DARTS, sources)
    cells = genotype(DARTS, given_edges(DARTS, [(0, 1)] * 4), one_operation(DARTS, "skip_connect"), name="x", provenance={})
    with pytest.raises(ValueError, match="zip"):
        edges_of(DARTS.with_nodes(5), cells)


def test_a_space_without_a_number_of_kept_edges_keeps_all() -> None:
    kept = strongest_edges(NATS, torch.rand(1, 6))
    found = genotype(NATS, kept, one_operation(NATS, "nor_conv_3x3"), name="x", provenance={})
    assert [len(node) for node in found.cells["normal"].nodes] == [1, 2, 3]
    assert found.to_nats() == "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def test_none_is_never_the_strongest_operation() -> None:
    score = torch.rand(2, 14, 8)
    score[:, :, 0] = 2.0
    names = strongest_operations(DARTS, score)
    assert all(name != "none" for row in names for name in row)
    assert names[1][3] == DARTS.operations[1:][int(score[1, 3, 1:].argmax())]


@pytest.mark.parametrize("name", ["none", "sep_conv_9x9"])
def test_refuses_an_operation_that_cannot_replace(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'.*legal are max_pool_3x3"):
        one_operation(DARTS, name)
