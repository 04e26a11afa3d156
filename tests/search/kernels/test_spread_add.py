"""A share on every K-th channel: against the share that is padded to all channels, in value and derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from nasarch.search.kernels.spread_add import spread_add


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("count", [1, 3])
def test_is_the_sum_of_the_padded_share(count: int) -> None:
    torch.manual_seed(0)
    taken, full = [double(2, 2, 3, 5) for _ in range(count)], [double(2, 8, 3, 5) for _ in range(count)]
    before = [x.detach().clone() for x in full]
    padded = F.pad(sum(taken[1:], taken[0]).unsqueeze(2), (0, 0, 0, 0, 0, 3)).flatten(1, 2)
    assert torch.equal(spread_add(full, taken), sum(full[1:], full[0]) + padded)
    assert all(map(torch.equal, full, before))

    def run(*maps: Tensor) -> Tensor:
        return spread_add(maps[:count], maps[count:])

    assert gradcheck(run, (*full, *taken)) and gradgradcheck(run, (*full, *taken))
