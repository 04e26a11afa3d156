"""From scores to cells: which edges stay, how clearly, and which operation they carry."""

from __future__ import annotations

import pytest
import torch

from nasarch.search.discretize import genotype, margins, one_operation, strongest_edges, strongest_operations, strongest_subsets
from nasarch.space import DARTS, NATS

EDGES = {tuple(edge): e for e, edge in enumerate(DARTS.edges)}


def scores(**by_edge: float) -> torch.Tensor:
    """Zeros [2, 14] but for the normal cell's edges, written as e02=... for 0 -> 2."""
    score = torch.zeros(2, 14)
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


def test_ties_go_to_the_tie_breaker_and_then_to_the_order() -> None:
    score = scores(e03=0.50000001, e13=0.5, e23=0.49999999)
    plain = strongest_edges(DARTS, score.double())[1]
    assert [DARTS.edges[e].source for e in plain.kept] == [0, 1]
    tied = strongest_edges(DARTS, score, tie_breaker_ZE=scores(e23=1.0, e13=0.5), tie=1e-5)[1]
    assert [DARTS.edges[e].source for e in tied.kept] == [2, 1]
    no_ties = strongest_edges(DARTS, scores(e03=0.3, e13=0.2), tie_breaker_ZE=scores(e23=9.0), tie=1e-5)[1]
    assert [DARTS.edges[e].source for e in no_ties.kept] == [0, 1]


def test_margins_name_the_choice_and_its_lead() -> None:
    weight = scores(e03=0.5, e13=0.2, e23=0.3)
    first, second, *_ = margins(DARTS, strongest_edges(DARTS, weight), weight)
    assert (first.kept, first.dropped, first.lead) == ((0, 1), None, None)
    assert (second.kind, second.node, second.kept, second.dropped) == ("normal", 3, (0, 2), 1)
    assert second.lead == pytest.approx(0.1)
    assert second.weights == pytest.approx((0.5, 0.2, 0.3))


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
