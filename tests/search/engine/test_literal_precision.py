"""Lower precision, step by step as it is written out: arithmetic in the network, losses in float32, gradients scaled and unscaled."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.search.engine.updates import Update, first_order, one_level, weights_only
from nasarch.search.training.learner import Learner
from nasarch.search.training.recipes import Training
from nasarch.search.training.run import _learner
from tests.helpers.network_state import state_of, tensors
from tests.literal.small_training import BASE, SEED, data, plan

SCALE = 65536.0  # GradScaler's first
SETTINGS = replace(BASE, clip=0.01, aux_weight=0.4, weight_decay=0.0)
X = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(8) % 3


def learner_of(amp: str, settings: Training = SETTINGS) -> Learner:
    """Its gradients are small: in float16 those of most weights are 0 if the loss isn't scaled."""
    learner = _learner(plan(settings, data(), amp=amp), SEED, fresh=True)
    learner.net.fc.weight.data *= 1e-4
    learner.net.fc.bias.data *= 1e-4
    if learner.net.aux_head is not None:
        learner.net.aux_head.fc.weight.data *= 1e-4  # type: ignore[operator]
    return learner


def gradients(net: nn.Module, precision: torch.dtype, scale: float) -> tuple[Tensor, list[Tensor]]:
    """Of the loss of both classifiers, clipped when they are no longer scaled."""
    with torch.autocast("cpu", precision):
        logits, auxiliary = net.train()(X)
    loss = F.cross_entropy(logits.float(), Y) + 0.4 * F.cross_entropy(auxiliary.float(), Y)
    found = [g / scale for g in torch.autograd.grad(loss * scale, list(net.parameters()))]
    norm = torch.stack([g.square().sum() for g in found]).sum().sqrt()
    assert norm > SETTINGS.clip
    return loss.detach(), [g * SETTINGS.clip / (norm + 1e-6) for g in found]


def stepped(learner: Learner) -> Tensor:
    """The loss of the first step."""
    learner.start_epoch(0)
    return learner.step((X, Y), 0)[0]


def descents(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Along what the first step went: the gradients, without weight decay."""
    return [optimizer.state[parameter]["momentum_buffer"] for group in optimizer.param_groups for parameter in group["params"]]


def error(ours: list[Tensor], expected: list[Tensor]) -> float:
    """The norm of the difference by that of the expected: of all, or of the first, the stem's kernel, where gradients are smallest."""
    both = (_flat(ours, expected), _flat(ours[:1], expected[:1]))
    return max(float((torch.cat(a) - torch.cat(b)).norm() / torch.cat(b).norm()) for a, b in both)


def _flat(*lists: list[Tensor]) -> list[list[Tensor]]:
    return [[value.flatten() for value in values] for values in lists]


@pytest.mark.parametrize(("amp", "precision", "scale"), [("bf16", torch.bfloat16, 1.0), ("fp16", torch.float16, SCALE)])
def test_a_step_is_that_of_the_lower_precision_with_its_scale(amp: str, precision: torch.dtype, scale: float) -> None:
    learner = learner_of(amp)
    loss, expected = gradients(copy.deepcopy(learner.net), precision, scale)
    exact = gradients(copy.deepcopy(learner.net).double().float(), torch.bfloat16 if amp == "fp16" else torch.float16, scale)[1]
    ours = stepped(learner)
    step = descents(learner.optimizer)
    assert ours.dtype == torch.float32 and ours.item() == pytest.approx(loss.item(), rel=1e-6)
    assert error(step, expected) < 1e-3 < 5e-3 < error(step, exact)  # the other precision gives another step
    assert learner.scaler.get_scale() == scale


def test_without_its_scale_float16_loses_what_float32_has() -> None:
    """So that the test above would see a loss that is not scaled, or one that is scaled and clipped before it is unscaled."""
    net = learner_of("fp16").net
    with_scale, without = (gradients(copy.deepcopy(net), torch.float16, scale)[1] for scale in (SCALE, 1.0))
    assert error(without, with_scale) > 0.02


def test_a_step_that_overflows_leaves_the_weights_and_halves_the_scale() -> None:
    learner = learner_of("fp16")
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    before = [parameter.detach().clone() for parameter in learner.net.parameters()]
    stepped(learner)
    assert all(torch.equal(a, b) for a, b in zip(before, learner.net.parameters(), strict=True)) and learner.scaler.get_scale() == 2.0**59
    other = learner_of("fp16")
    other.load_state_dict(learner.state_dict())
    assert other.scaler.get_scale() == 2.0**59
    assert learner_of("bf16").scaler.is_enabled() is learner_of("off").scaler.is_enabled() is False


@pytest.mark.parametrize(("amp", "aux_weight"), [("bf16", 0.4), ("fp16", 0.4), ("bf16", 0.0)])
def test_the_network_alone_is_in_lower_precision(amp: Any, aux_weight: float) -> None:
    """Convolutions see the lower one, losses float32, in every term; weights and statistics stay."""
    learner, seen = learner_of(amp, replace(SETTINGS, label_smoothing=0.1, aux_weight=aux_weight)), set[torch.dtype]()
    learner.net.stem[0][0].register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    learner.loss.register_forward_hook(lambda module, inputs, output: seen.add(inputs[0].dtype))
    stepped(learner)
    assert seen == {torch.float32, {"bf16": torch.bfloat16, "fp16": torch.float16}[amp]}
    assert {value.dtype for value in learner.net.state_dict().values()} == {torch.float32, torch.int64}


# ---- a step of a search


@pytest.mark.parametrize("update", [weights_only, first_order, one_level], ids=lambda update: update.__name__)
def test_a_step_of_a_search_in_float16_is_that_of_its_scaled_loss(update: Update) -> None:
    state, twin = state_of(torch.float16), state_of(torch.float16)
    for one in (state, twin):
        for last in list(one.net.parameters())[-2:]:
            last.data *= 1e-4
        one.clip = 0.01
        for optimizer in (one.weight_optimizer, one.arch_optimizer):
            for group in optimizer.param_groups:
                group.update(weight_decay=0.0)
    generator = torch.Generator().manual_seed(1)
    train, valid = ((torch.randn(8, 3, 8, 8, generator=generator), Y) for _ in range(2))
    update(state, train, valid)
    weights, arch = scaled(twin, train, SCALE), scaled(twin, train if update is one_level else valid, SCALE)
    count = len(list(state.net.parameters()))
    norm = torch.stack([g.square().sum() for g in weights[:count]]).sum().sqrt()
    clipped = [g * 0.01 / (norm + 1e-6) for g in weights[:count]]
    if update is not first_order:  # there the architecture has moved before
        assert error(descents(state.weight_optimizer), clipped) < 1e-3
    moments = [state.arch_optimizer.state[p].get("exp_avg") for p in state.arch.parameters()]
    if update is not weights_only:
        assert error([m / 0.5 for m in moments], arch[count:]) < 1e-3  # Adam's first moment: 0.5 of the gradient
    else:
        assert moments == [None] * len(moments)
        assert error(scaled(twin, train, 1.0)[:count], weights[:count]) > 0.02  # without the scale
    assert state.scaler.get_scale() == SCALE and {tensor.dtype for tensor in tensors(state)} == {torch.float32}


def scaled(state: Any, batch: tuple[Tensor, Tensor], scale: float) -> list[Tensor]:
    """Gradients of the weights and of the architecture parameters, by the scaled loss of a copy."""
    net, arch = copy.deepcopy(state.net), copy.deepcopy(state.arch)
    mix = arch()
    with torch.autocast("cpu", torch.float16):
        logits = net(batch[0], mix)
    loss = F.cross_entropy(logits.float(), batch[1])
    return [g / scale for g in torch.autograd.grad(loss * scale, [*net.parameters(), *arch.parameters()])]
