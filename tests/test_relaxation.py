"""Softmaxes over operations, groups, edges and subsets of edges."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from nasarch.search.candidates import all_candidates, only
from nasarch.search.relaxation import Relaxation
from nasarch.space import DARTS, NATS
from tests.test_supernet import irregular

FREE = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")
PARAMETRIC = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")


def relaxed(**arguments) -> Relaxation:
    mask = arguments.pop("mask", all_candidates(DARTS))
    return Relaxation(DARTS, mask, spread=1.0, generator=torch.Generator().manual_seed(5), **arguments).double()


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


def test_temperature_sharpens() -> None:
    arch = relaxed(subset=1)
    soft, arch.temperature = arch().max(), 0.01
    assert arch.operations().max(2).values.min() > 0.9 > soft


def test_bias_shifts_the_logits() -> None:
    bias = torch.zeros(8, dtype=torch.float64)
    bias[4] = 1.0
    plain, attended = relaxed(), relaxed(bias=bias)
    torch.testing.assert_close(attended.operations(), (plain.alpha + bias).softmax(2), rtol=1e-12, atol=0)


def test_starts_equal_without_spread_and_repeats_with_a_generator() -> None:
    mask = only(NATS, "skip_connect", "nor_conv_3x3")
    assert Relaxation(NATS, mask)().unique().tolist() == [0.0, 0.5]
    assert torch.equal(relaxed().alpha, relaxed().alpha)


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
