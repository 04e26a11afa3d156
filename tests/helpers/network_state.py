"""The state of a search as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from nasarch.cells.space import DARTS
from nasarch.compute import seeded
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.updates import State
from nasarch.search.supernet.candidates import all_candidates
from nasarch.search.supernet.network import Supernet

SPACE = DARTS.with_nodes(2)


def state_of(precision: torch.dtype | None) -> State:
    candidates = all_candidates(SPACE)
    with seeded(0):
        net = Supernet(SPACE, candidates, channels=8, layers=3, num_classes=3).train()
    arch = Relaxation(SPACE, candidates, subset=1)
    return State(
        net=net,
        arch=arch,
        weight_optimizer=torch.optim.SGD(net.parameters(), 0.02, 0.9, weight_decay=3e-4),
        arch_optimizer=torch.optim.Adam(arch.parameters(), 6e-4, (0.5, 0.999), weight_decay=1e-3),
        precision=precision,
        scaler=torch.amp.GradScaler("cpu", enabled=precision == torch.float16),
    )


def tensors(state: State) -> list[Tensor]:
    moments = [
        value for optimizer in (state.weight_optimizer, state.arch_optimizer) for one in optimizer.state.values() for value in one.values()
    ]
    return [*state.net.parameters(), *state.arch.parameters(), *(value for value in moments if isinstance(value, Tensor))]
