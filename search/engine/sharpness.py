"""How sharp the minimum is that a search sits in, measured on the way without a trace in the search. Knows no method and no schedule.

It is the largest eigenvalue of the Hessian of the loss in the architecture parameters (FTSO Fig. 4c by epoch, 4d by iteration;
hessian.py), always on the same images, without augmentation: of those that train the architecture, or, in a stage that trains weights and
architecture on the same images, of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from nasarch.data.loader import BatchLoader
from nasarch.search.supernet.channel_sampling import Sampler

from .hessian import largest_eigenvalue
from .updates import Batch, State, arch_loss


class Sharpness:
    """Called with a state of the search: {"eigenvalue": ...}."""

    def __init__(self, sides: tuple[BatchLoader, BatchLoader | None]) -> None:
        train, valid = sides
        self.images = train if valid is None else valid
        self.batch: Batch | None = None

    def __call__(self, state: State) -> Mapping[str, float]:
        self.batch = batch = self.batch or self.images.sample()
        with untouched(state.net):
            return {"eigenvalue": largest_eigenvalue(lambda: arch_loss(state, batch), list(state.arch.parameters()))}


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Running statistics, and where the draws of sampled channels are, come back after the block."""
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    draws = [(module, module.get_extra_state()) for module in net.modules() if isinstance(module, Sampler)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for sampler, state in draws:
            sampler.set_extra_state(state)
