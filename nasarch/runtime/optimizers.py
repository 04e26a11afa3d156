"""Optimizers on a CPU and on CUDA: learning rates that a captured step reads, and state that moves between devices.

On CUDA the fused implementations update all weights by one kernel and read the learning rate from a tensor on the device, so that a
step recorded as a CUDA graph (captured.py) follows the schedule. They ask for gradients that lie in memory as their weights do
(PyTorch issue 106951). On a CPU the plain implementations stay, whose results are those of the published codes to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

OWN = ("fused", "foreach", "capturable")  # how a group is updated, which depends on the device alone


def sgd(parameters: Iterable[nn.Parameter], lr: float, momentum: float, *, weight_decay: float, nesterov: bool = False) -> torch.optim.SGD:
    """SGD with momentum."""
    weights = list(parameters)
    on_cuda = weights[0].device.type == "cuda"
    optimizer = torch.optim.SGD(weights, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=on_cuda or None)
    if on_cuda:
        optimizer.param_groups[0]["lr"] = torch.full((), lr, device=weights[0].device)
    return optimizer


def adam(parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float], *, weight_decay: float) -> torch.optim.Adam:
    """Adam with L2 regularisation."""
    weights = list(parameters)
    on_cuda = weights[0].device.type == "cuda"
    optimizer = torch.optim.Adam(weights, lr, betas, weight_decay=weight_decay, fused=on_cuda or None, capturable=on_cuda)
    optimizer._warned_capturable_if_run_uncaptured = True  # steps are also run eagerly, on purpose
    return optimizer


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate; where it is a tensor, in place."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def state_of(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer's `state_dict`, learning rates as numbers."""
    state = optimizer.state_dict()
    return state | {"param_groups": [group | {"lr": float(group["lr"])} for group in state["param_groups"]]}


def load_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load what `state_of` returned, of an optimizer on whatever device."""
    groups = [
        saved | {key: own[key] for key in OWN if key in own}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(rate, Tensor):
            group["lr"] = rate.fill_(group["lr"])


def set_gradients(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None], *, in_place: bool | None = None) -> None:
    """Give parameters their gradients.

    Args:
        in_place: copy them to where the last ones lay, in the order of the weights in memory; None does so on CUDA.
    """
    copies: list[tuple[Tensor, Tensor]] = []
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None or not (gradient.is_cuda if in_place is None else in_place):
            parameter.grad = gradient
            continue
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
        copies.append((parameter.grad, gradient))
    if copies:
        targets, new = map(list, zip(*copies, strict=True))
        torch._foreach_copy_(targets, new)
