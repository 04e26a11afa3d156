"""Whole search steps equal the literal twin's, and each half of a step moves only what it should."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from nasarch.search.relaxation import Relaxation
from nasarch.search.updates import State, arch_first_order, first_order, weights_only
from nasarch.space import DARTS
from tests.test_supernet import MASKS, both, pairs

STEPS = 5


def state_of(net: torch.nn.Module, arch: torch.nn.Module, lr: float = 0.1) -> State:
    return State(
        net=net,
        arch=arch,
        weight_optimizer=torch.optim.SGD(net.parameters(), lr, 0.9, weight_decay=3e-4),
        arch_optimizer=torch.optim.Adam(arch.parameters(), 6e-4, (0.5, 0.999), weight_decay=1e-3),
        clip=5.0,
    )


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(count, 6, 3, 16, 16, generator=generator, dtype=torch.float64)
    return list(zip(images, torch.randint(10, (count, 6), generator=generator), strict=True))


def twin_weights(alpha: Tensor, beta: dict[tuple[int, int], Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 1 and 2 by hand: a softmax for every edge and one for every node of every cell kind."""
    operations = torch.stack(
        [torch.stack([torch.where(row, a, -torch.inf).softmax(0) for a, row in zip(alpha[z], mask[z], strict=True)]) for z in (0, 1)]
    )
    edges = torch.stack([torch.cat([beta[z, j].softmax(0) for j in DARTS.inner_nodes]) for z in (0, 1)])
    return operations, edges


@pytest.mark.parametrize("mask", [MASKS["all"], MASKS["4op"], MASKS["skip"]], ids=["all", "4op", "skip"])
def test_five_search_steps_equal_the_twin(mask: Tensor) -> None:
    net, twin = both(mask, partial=4)
    arch = Relaxation(DARTS, mask, subset=1, spread=1e-3, generator=torch.Generator().manual_seed(1)).double()
    alpha = arch.alpha.detach().clone().requires_grad_()
    beta = {(z, j): arch.beta[z, j - 2, :j].detach().clone().requires_grad_() for z in (0, 1) for j in DARTS.inner_nodes}
    state = state_of(net, arch)
    sgd = torch.optim.SGD(twin.parameters(), 0.1, 0.9, weight_decay=3e-4)
    adam = torch.optim.Adam([alpha, *beta.values()], 6e-4, (0.5, 0.999), weight_decay=1e-3)
    data = batches(2 * STEPS)

    for train, valid in zip(data[:STEPS], data[STEPS:], strict=True):
        ours = first_order(state, train, valid).loss
        adam.zero_grad()
        F.cross_entropy(twin(valid[0], *twin_weights(alpha, beta, mask)), valid[1]).backward()
        adam.step()
        sgd.zero_grad()
        theirs = F.cross_entropy(twin(train[0], *twin_weights(alpha, beta, mask)), train[1])
        theirs.backward()
        clip_grad_norm_(twin.parameters(), 5.0)
        sgd.step()
        assert abs(ours.item() - theirs.item()) <= 1e-9

    assert (arch.alpha - alpha).abs().max() <= 1e-9
    for (z, j), logits in beta.items():
        assert (arch.beta[z, j - 2, :j] - logits).abs().max() <= 1e-9
    assert max(float((a - b).detach().abs().max()) for a, b in pairs(net, twin)) <= 1e-9


def small_state() -> State:
    net, _ = both(MASKS["skip"], partial=4)
    return state_of(net, Relaxation(DARTS, MASKS["skip"], subset=1).double())


def test_warm_up_leaves_the_architecture() -> None:
    state, (train, valid) = small_state(), batches(2)
    before = [p.detach().clone() for p in state.net.parameters()]
    weights_only(state, train, valid)
    assert all(p.grad is None and not p.any() for p in state.arch.parameters())
    assert all((a != b).any() for a, b in zip(before, state.net.parameters(), strict=True))


def test_the_architecture_step_computes_no_weight_gradients() -> None:
    state, (_, valid) = small_state(), batches(2)
    before = [p.detach().clone() for p in state.net.parameters()]
    arch_first_order(state, valid)
    assert all(p.grad is None for p in state.net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, state.net.parameters(), strict=True))
    assert state.arch.beta.any()


def test_counts_the_images_classified_rightly() -> None:
    state, (train, valid) = small_state(), batches(2)
    state.net.train()
    with torch.no_grad():
        right = (state.net(train[0], state.arch()).argmax(1) == train[1]).sum()
    assert weights_only(state, train, valid).correct == right
