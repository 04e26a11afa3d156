"""One step of a search: gradients and two optimisers. Knows no schedule, no epoch and no data set.

Every update has the signature `(state, train, valid) -> Step`; `train` and `valid` are batches (x_BCHW, y_B).

| update | weights | architecture parameters |
|---|---|---|
| `weights_only` | one step on `train` | stay (warm-up, sparse updates) |
| `first_order` | one step on `train`, after the other | one step on `valid` (Liu et al. 2019, sec. 2.3 with xi = 0; FTSO Algorithm 1) |

The architecture step asks autograd for no weight gradients and the weight step for no architecture gradients: the published codes
compute both each time and throw one of them away. Running statistics of BN see both steps, as there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

Batch = tuple[Tensor, Tensor]


@dataclass
class State:
    """What a search trains: `net(x, arch())` with one optimiser each; gradients of the weights are clipped to norm `clip`."""

    net: nn.Module
    arch: nn.Module
    weight_optimizer: Optimizer
    arch_optimizer: Optimizer
    clip: float = 5.0


class Step(NamedTuple):
    """Of the weight step: the mean loss, and how many of the images were classified rightly (both tensors, on the device)."""

    loss: Tensor
    correct: Tensor


Update = Callable[[State, Batch, Batch], Step]


def weights_only(state: State, train: Batch, valid: Batch) -> Step:
    """Descend the loss on `train` in the weights."""
    x, y = train
    logits = state.net(x, state.arch().detach())
    loss = F.cross_entropy(logits, y)
    _set_gradients(list(state.net.parameters()), loss)
    nn.utils.clip_grad_norm_(state.net.parameters(), state.clip)
    state.weight_optimizer.step()
    return Step(loss.detach(), (logits.detach().argmax(1) == y).sum())


def arch_first_order(state: State, valid: Batch) -> None:
    """Descend the loss on `valid` in the architecture parameters, the weights taken as they are."""
    x, y = valid
    _set_gradients(list(state.arch.parameters()), F.cross_entropy(state.net(x, state.arch()), y))
    state.arch_optimizer.step()


def first_order(state: State, train: Batch, valid: Batch) -> Step:
    """The architecture first, then the weights: the order of the published codes and of FTSO's Algorithm 1."""
    arch_first_order(state, valid)
    return weights_only(state, train, valid)


def _set_gradients(parameters: list[nn.Parameter], loss: Tensor) -> None:
    """Set `.grad` of these parameters and of no others."""
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
