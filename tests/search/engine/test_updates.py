"""Whole search steps equal the literal twin's, and each half of a step moves only what it should."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from nasarch.cells.space import DARTS
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.updates import (
    PASSES,
    OptimizerSettings,
    State,
    Update,
    arch_exact_second_order,
    arch_first_order,
    arch_second_order,
    first_order,
    initial_state,
    one_level,
    weights_only,
)
from nasarch.search.settings.pc_darts import PcDarts
from nasarch.search.supernet.candidates import all_candidates
from nasarch.search.supernet.network import Supernet
from tests.helpers.supernet_pairs import MASKS, both, pairs

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
    arch = Relaxation(DARTS, mask, subset=1, init_std=1e-3, generator=torch.Generator().manual_seed(1)).double()
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


def second_order_state() -> tuple[State, list[tuple[Tensor, Tensor]]]:
    """Before its third step, so that there is momentum; in evaluation mode BN is a constant map, and the loss is smooth in w."""
    net, _ = both(MASKS["4op"], partial=2)
    arch = Relaxation(DARTS, MASKS["4op"], subset=1, init_std=1e-1, generator=torch.Generator().manual_seed(1)).double()
    state, data = state_of(net, arch, lr=0.02), batches(4)
    weights_only(state, data[0], data[1])
    return state, data[2:]


def through_one_step(state: State, train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor]) -> list[Tensor]:
    """d L_val(w - xi * step(w, alpha), alpha) / d alpha, one explicit SGD step differentiated."""
    weights = dict(state.net.named_parameters())
    loss = F.cross_entropy(torch.func.functional_call(state.net, weights, (train[0], state.arch())), train[1])
    slope = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    buffers = [state.weight_optimizer.state[w]["momentum_buffer"] for w in weights.values()]
    after = {
        name: w.detach() - 0.02 * (g + 3e-4 * w.detach() + 0.9 * b) for (name, w), g, b in zip(weights.items(), slope, buffers, strict=True)
    }
    loss = F.cross_entropy(torch.func.functional_call(state.net, after, (valid[0], state.arch())), valid[1])
    return list(torch.autograd.grad(loss, list(state.arch.parameters())))


@pytest.mark.parametrize(
    ("step", "relative"),
    [(lambda s, t, v: arch_second_order(s, t, v, epsilon=1e-6), 1e-5), (arch_exact_second_order, 1e-8)],
    ids=["finite difference", "exact"],
)
def test_second_order_is_the_gradient_through_one_weight_step(step, relative: float) -> None:
    state, (train, valid) = second_order_state()
    expected = through_one_step(state, train, valid)
    weights = [p.detach().clone() for p in state.net.parameters()]
    first_term = torch.autograd.grad(F.cross_entropy(state.net(valid[0], state.arch()), valid[1]), list(state.arch.parameters()))
    step(state, train, valid)
    for p, e, first in zip(state.arch.parameters(), expected, first_term, strict=True):
        assert (p.grad - e).abs().max() <= relative * e.abs().max()
        assert (first - e).abs().max() > 1e-3 * e.abs().max()
    assert all(torch.equal(a, b) for a, b in zip(weights, state.net.parameters(), strict=True))


def test_one_level_moves_both_by_the_gradients_of_one_pass() -> None:
    state, (train, valid) = small_state(), batches(2)
    loss = F.cross_entropy(state.net(train[0], state.arch()), train[1])
    expected = torch.autograd.grad(loss, [*state.arch.parameters()])
    one_level(state, train, valid)
    for p, e in zip(state.arch.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, e, rtol=1e-9, atol=1e-12)
    assert state.arch.beta.any() and all(p.grad is not None for p in state.net.parameters())


@pytest.mark.parametrize("update", PASSES)
def test_channels_are_drawn_for_as_many_passes_as_an_update_makes(update: Update) -> None:
    mask = all_candidates(DARTS)
    net = Supernet(DARTS, mask, channels=8, layers=3, partial=4, random_channels=True)
    passes: list[int] = []
    net.sampler.register_forward_hook(lambda *_: passes.append(1))
    state = initial_state(net, Relaxation(DARTS, mask, subset=1), OptimizerSettings.of(PcDarts()))
    batch = torch.randn(4, 3, 8, 8), torch.tensor([1, 2, 3, 4])
    update(state, batch, batch)
    assert len(passes) == PASSES[update]
