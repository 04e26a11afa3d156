"""Optimizers whose state moves between devices: against torch's own, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nasarch.runtime.optimizers import adam, load_state, set_gradients, set_rate, sgd, state_of


def weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (4,))]


def steps(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        generator = torch.Generator().manual_seed(number)
        set_gradients(parameters, [torch.randn(p.shape, generator=generator) for p in parameters])
        optimizer.step()


PAIRS: dict[str, tuple[Any, Any]] = {
    "sgd": (
        lambda p: sgd(p, 0.1, 0.9, weight_decay=1e-2, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=1e-2, nesterov=True),
    ),
    "adam": (lambda p: adam(p, 0.1, (0.5, 0.999), weight_decay=1e-2), lambda p: torch.optim.Adam(p, 0.1, (0.5, 0.999), weight_decay=1e-2)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_on_a_cpu_they_are_torchs_to_the_bit(name: str) -> None:
    ours, theirs = weights(), weights()
    steps(PAIRS[name][0](ours), ours, 3)
    steps(PAIRS[name][1](theirs), theirs, 3)
    assert all(map(torch.equal, ours, theirs)) and not torch.equal(ours[0], weights()[0])


@pytest.mark.parametrize("name", PAIRS)
def test_what_was_saved_goes_on_as_if_never_stopped(name: str) -> None:
    whole, part, resumed = weights(), weights(), weights()
    steps(PAIRS[name][0](whole), whole, 5)
    first = PAIRS[name][0](part)
    steps(first, part, 2)
    second = PAIRS[name][0](resumed)
    load_state(second, state_of(first))
    with torch.no_grad():
        for p, q in zip(resumed, part, strict=True):
            p.copy_(q)
    steps(second, resumed, 3, start=2)
    assert all(map(torch.equal, whole, resumed))


def test_a_rate_in_a_tensor_stays_the_same_tensor_and_is_saved_as_a_number() -> None:
    parameters = weights()
    optimizer = sgd(parameters, 0.1, 0.9, weight_decay=0)
    rate = optimizer.param_groups[0]["lr"] = torch.full((), 0.1)  # as on CUDA
    set_rate(optimizer, 0.25)
    saved = state_of(optimizer)
    assert saved["param_groups"][0]["lr"] == 0.25 and isinstance(saved["param_groups"][0]["lr"], float)
    set_rate(optimizer, 0.5)
    load_state(optimizer, saved)
    assert optimizer.param_groups[0]["lr"] is rate and rate.item() == 0.25


def test_state_of_cuda_is_used_by_a_cpu_in_its_own_way() -> None:
    parameters = weights()
    optimizer = sgd(parameters, 0.1, 0.9, weight_decay=0)
    saved = state_of(optimizer)
    saved["param_groups"][0] |= {"fused": True, "lr": 0.3}  # as CUDA saves it
    load_state(optimizer, saved)
    assert not optimizer.param_groups[0]["fused"] and optimizer.param_groups[0]["lr"] == 0.3
    steps(optimizer, parameters, 1)


def test_gradients_in_place_lie_as_their_weights_do() -> None:
    weight = nn.Parameter(torch.zeros(4, 3, 2, 2).to(memory_format=torch.channels_last))
    first, second = (torch.full((4, 3, 2, 2), value) for value in (1.0, 2.0))
    set_gradients([weight], [first], in_place=True)
    place = weight.grad
    assert place is not None and place.stride() == weight.stride() != first.stride() and torch.equal(place, first)
    set_gradients([weight], [second], in_place=True)
    assert weight.grad is place and torch.equal(place, second)
    set_gradients([weight], [first])
    assert weight.grad is first


def test_a_parameter_without_a_gradient_has_none() -> None:
    parameters = weights()
    set_gradients(parameters, [torch.ones(3, 2), None])
    assert torch.equal(parameters[0].grad, torch.ones(3, 2)) and parameters[1].grad is None
    set_gradients(parameters[:1], [None])
    assert parameters[0].grad is None
