"""Softmaxes over operations, groups, edges and subsets of edges."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from nasarch.cells.space import DARTS, NATS
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.supernet.candidates import all_candidates, only
from tests.helpers.supernet_pairs import irregular

FREE = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")
PARAMETRIC = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")


def relaxed(**arguments) -> Relaxation:
    mask = arguments.pop("mask", all_candidates(DARTS))
    return Relaxation(DARTS, mask, init_std=1.0, generator=torch.Generator().manual_seed(5), **arguments).double()


def test_one_group_is_a_softmax_an_edge() -> None:
    arch = relaxed()
    torch.testing.assert_close(arch(), arch.alpha.softmax(2), rtol=1e-12, atol=0)


def test_groups_are_softmaxes_by_themselves() -> None:
    arch = relaxed(groups=(FREE, PARAMETRIC))
    expected = torch.cat([arch.alpha[..., :4].softmax(2), arch.alpha[..., 4:].softmax(2)], dim=2)
    torch.testing.assert_close(arch.operations(), expected, rtol=1e-12, atol=0)


def test_subsets_of_one_are_a_softmax_a_node() -> None:
    arch = relaxed(subset=1)
    for n, j in enumerate(DARTS.inner_nodes):
        rows = [e for e, edge in enumerate(DARTS.edges) if edge.target == j]
        torch.testing.assert_close(arch.edges()[:, rows], arch.beta[:, n, :j].softmax(1), rtol=1e-12, atol=0)


def test_without_softmax_an_edge_weighs_its_beta_which_starts_at_equal_weights() -> None:
    arch = Relaxation(DARTS, all_candidates(DARTS), subset=1, edge_softmax=False)
    soft = Relaxation(DARTS, all_candidates(DARTS), subset=1)
    assert torch.allclose(arch.edges(), soft.edges())
    with torch.no_grad():
        arch.beta[0, 1, 2] = -0.25  # node 3, its third edge
    assert arch.edges()[0, 4] == -0.25 and arch.edges()[0, 3].item() == pytest.approx(1 / 3)
    assert arch.temperature == 1 and arch.weights().edges_ZE[0, 4] == -0.25


def test_pairs_weigh_an_edge_by_the_pairs_that_hold_it() -> None:
    arch = relaxed(subset=2)
    weight_ZE = arch.edges()
    for n, j in enumerate(DARTS.inner_nodes):
        rows = [e for e, edge in enumerate(DARTS.edges) if edge.target == j]
        pairs = list(combinations(rows, 2))
        logits = arch.beta[0, n, : len(pairs)].softmax(0)
        for e in rows:
            by_hand = sum(logits[s] for s, pair in enumerate(pairs) if e in pair)
            torch.testing.assert_close(weight_ZE[0, e], by_hand, rtol=1e-12, atol=0)
        torch.testing.assert_close(weight_ZE[:, rows].sum(1), torch.full((2,), 2.0).double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("subset", [0, 1, 2])
def test_what_is_no_candidate_weighs_nothing_and_the_rest_is_finite(subset: int) -> None:
    mask = irregular()
    arch = relaxed(mask=mask, subset=subset)
    mix = arch()
    assert not mix[~mask].any() and mix[mask].gt(0).all()
    gradients = torch.autograd.grad((mix * torch.randn_like(mix)).sum(), list(arch.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_logits_are_divided_by_the_temperature_and_those_of_operations_by_its_scale_too() -> None:
    arch = relaxed(subset=1, operation_scale=0.5, groups=(FREE, PARAMETRIC))
    arch.temperature.fill_(0.3)
    logits = arch.alpha / 0.15
    expected = torch.cat([logits[..., :4].softmax(2), logits[..., 4:].softmax(2)], dim=2)
    torch.testing.assert_close(arch.operations(), expected, rtol=1e-12, atol=0)
    for n, j in enumerate(DARTS.inner_nodes):
        torch.testing.assert_close(arch.subsets()[:, n, :j], (arch.beta[:, n, :j] / 0.3).softmax(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(arch(), arch.operations() * arch.edges().unsqueeze(2), rtol=1e-12, atol=0)


def test_tables_are_as_they_are_now_but_pairs_as_at_temperature_one() -> None:
    arch = relaxed(subset=2)
    arch.temperature.fill_(0.2)
    tables = arch.weights()
    assert torch.equal(tables.operations_ZEO, arch.operations()) and torch.equal(tables.edges_ZE, arch.edges())
    assert not any(table.requires_grad for table in tables)
    for n, count in enumerate((1, 3, 6, 10)):
        torch.testing.assert_close(tables.pairs_ZNS[:, n, :count], arch.beta[:, n, :count].softmax(1), rtol=1e-12, atol=0)
        assert not tables.pairs_ZNS[:, n, count:].any()
    assert len(relaxed(subset=1).weights().pairs_ZNS) == len(relaxed().weights().pairs_ZNS) == 0


@pytest.mark.parametrize("subset", [1, 2])
def test_edges_without_candidates_take_no_part_in_the_softmax_of_their_node(subset: int) -> None:
    mask = irregular()
    mask[0, [3, 4]] = False  # node 3 of the normal cell is left with one edge, which then is its only subset
    arch = relaxed(mask=mask, subset=subset)
    for z in (0, 1):
        for n, j in enumerate(DARTS.inner_nodes):
            live = [e for e, edge in enumerate(DARTS.edges) if edge.target == j and mask[z, e].any()]
            sets = list(combinations(live, min(subset, len(live))))
            weights = arch.beta[z, n, : len(sets)].softmax(0)
            torch.testing.assert_close(arch.subsets()[z, n, : len(sets)], weights, rtol=1e-12, atol=0)
            for e, edge in enumerate(DARTS.edges):
                if edge.target == j:
                    by_hand = sum(w for w, held in zip(weights.tolist(), sets, strict=True) if e in held)
                    assert arch.edges()[z, e].item() == pytest.approx(by_hand, abs=1e-12)


def test_without_edge_weights_every_edge_with_a_candidate_weighs_one() -> None:
    mask = irregular()
    assert torch.equal(relaxed(mask=mask).edges(), mask.any(2).double())


def test_a_start_is_drawn_for_operations_first_and_then_for_edges() -> None:
    generator = torch.Generator().manual_seed(9)
    arch = Relaxation(DARTS, all_candidates(DARTS), subset=1, init_std=0.25, generator=torch.Generator().manual_seed(9))
    assert torch.equal(arch.alpha, 0.25 * torch.randn(2, 14, 8, generator=generator))
    assert torch.equal(arch.beta, 0.25 * torch.randn(2, 4, 5, generator=generator))
    assert not any(p.any() for p in Relaxation(DARTS, all_candidates(DARTS), subset=1).parameters())


def test_bias_shifts_the_logits() -> None:
    bias = torch.zeros(8, dtype=torch.float64)
    bias[4] = 1.0
    plain, attended = relaxed(), relaxed(bias=bias)
    torch.testing.assert_close(attended.operations(), (plain.alpha + bias).softmax(2), rtol=1e-12, atol=0)


def test_starts_equal_without_spread_and_repeats_with_a_generator() -> None:
    mask = only(NATS, "skip_connect", "nor_conv_3x3")
    assert Relaxation(NATS, mask)().unique().tolist() == [0.0, 0.5]
    assert torch.equal(relaxed().alpha, relaxed().alpha)


def test_its_state_is_its_parameters() -> None:
    assert list(relaxed(subset=1, bias=torch.ones(8)).state_dict()) == ["alpha", "beta"] and list(relaxed().state_dict()) == ["alpha"]


def test_groups_may_leave_out_what_is_no_candidate() -> None:
    arch = relaxed(mask=only(DARTS, "skip_connect", "sep_conv_3x3"), groups=(("skip_connect",), ("sep_conv_3x3", "dil_conv_3x3")))
    assert torch.equal(arch.operations(), only(DARTS, "skip_connect", "sep_conv_3x3").double())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": (FREE, ("conv",))}, "unknown operation 'conv'.*legal in space 'darts'"),
        ({"groups": (FREE,)}, "'sep_conv_3x3' is in 0 groups"),
        ({"groups": (FREE, FREE, PARAMETRIC)}, "'none' is in 2 groups"),
        ({"subset": -1}, "subset=-1"),
    ],
)
def test_refuses_contradictions(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        relaxed(**arguments)
