"""What a supernet computes otherwise on CUDA (search/kernels, the gather of mixing weights), run on the CPU: equal results."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nasarch.cells.space import DARTS, NATS
from nasarch.compute import seeded
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.kernels import device
from nasarch.search.supernet.candidates import all_candidates, only
from nasarch.search.supernet.network import Supernet

CASES = {
    "all, K = 4": (DARTS, all_candidates(DARTS), 4),
    "all, K = 1": (DARTS, all_candidates(DARTS), 1),
    "skip connections": (DARTS, only(DARTS, "skip_connect"), 4),
    "NATS-Bench": (NATS, all_candidates(NATS), 1),
}


@pytest.fixture
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The forms for CUDA in place of the CPU's; the functions that asked which to take."""
    asked: set[str] = set()
    monkeypatch.setattr(device, "on_cuda", lambda x: asked.add(_name(sys._getframe(1))) or True)
    gather = Supernet._gather

    def selected(self: Supernet, mix_ZEO: Tensor) -> list[list[list[Tensor]]]:
        found = gather(self, mix_ZEO)
        with monkeypatch.context() as patch:
            patch.setattr(device, "on_cuda", lambda x: False)
            assert all(map(torch.equal, *(_flat(own) for own in (found, gather(self, mix_ZEO)))))
        return found

    monkeypatch.setattr(Supernet, "_gather", selected)
    return asked


def _name(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"


def _flat(nested: list[list[list[Tensor]]]) -> list[Tensor]:
    return [tensor for cell in nested for own in cell for tensor in own]


def gradients(name: str, dtype: torch.dtype, lowered: torch.dtype | None = None) -> list[Tensor]:
    """Loss and all gradients of a small supernet."""
    space, mask, partial = CASES[name]
    with seeded(0):
        net = Supernet(space, mask, channels=8, layers=3, partial=partial).to(dtype).train()
    arch = Relaxation(space, mask, subset=int(space is DARTS), init_std=0.5, generator=torch.Generator().manual_seed(1)).to(dtype)
    x = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
    with torch.autocast("cpu", lowered, enabled=lowered is not None):
        logits = net(x, arch())
    loss = F.cross_entropy(logits.to(dtype), torch.tensor([1, 2, 3, 4]))
    return [loss.detach(), *torch.autograd.grad(loss, [*net.parameters(), *arch.parameters()])]


def error(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest relative to its own norm, or to a millionth of the largest."""
    floor = 1e-6 * max(b.norm() for b in expected)
    return max(float((a - b).norm() / b.norm().clamp(min=floor)) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_loss_and_all_gradients_are_equal(name: str, request: pytest.FixtureRequest) -> None:
    expected, rounded = gradients(name, torch.float64), gradients(name, torch.float32)
    used = request.getfixturevalue("as_on_cuda")
    found = gradients(name, torch.float64)
    assert error(found, expected) < 1e-10 < error([value.double() for value in rounded], expected)
    assert {"network.forward", "network._gather", "pointwise.pointwise", "recompute.conv_norm"} <= used
    assert ("average_pool.forward" in used) == (name != "skip connections") and ("network._node" in used) == (name == "all, K = 4")
    assert ("recompute.depthwise" in used) == name.startswith("all")


@pytest.mark.parametrize("name", CASES)
def test_mixed_precision_runs_in_these_forms_too(name: str, request: pytest.FixtureRequest) -> None:
    expected = gradients(name, torch.float32)[0]
    assert request.getfixturevalue("as_on_cuda") == set()
    found = gradients(name, torch.float32, torch.bfloat16)
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in found)
    assert 0 < abs(found[0] - expected) < 0.05 * expected
