"""The two optimisers that all five papers use: SGD with momentum for the weights, Adam for the architecture parameters."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from .updates import State


class OptimizerSettings(Protocol):
    """What a recipe says of its optimisers."""

    @property
    def lr(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def arch_lr(self) -> float: ...
    @property
    def arch_weight_decay(self) -> float: ...


def start(net: nn.Module, arch: nn.Module, rates: OptimizerSettings, *, betas: tuple[float, float] = (0.5, 0.999)) -> State:
    """A search about to begin. Adam's weight decay is L2, added to the gradient, as in the published codes."""
    return State(
        net=net,
        arch=arch,
        weight_optimizer=torch.optim.SGD(net.parameters(), rates.lr, rates.momentum, weight_decay=rates.weight_decay),
        arch_optimizer=torch.optim.Adam(arch.parameters(), rates.arch_lr, betas, weight_decay=rates.arch_weight_decay),
        clip=rates.clip,
    )
