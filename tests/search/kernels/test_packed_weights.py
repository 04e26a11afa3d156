"""Packed kernels against the layers' own, in value and derivatives."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from nasarch.cells.space import DARTS
from nasarch.models.operations import HalvingConv
from nasarch.search.kernels import device
from nasarch.search.kernels.packed_weights import PackedWeights
from nasarch.search.kernels.recompute import Copies
from nasarch.search.supernet.candidates import all_candidates
from nasarch.search.supernet.convolutions import Depthwise, NormedConv
from nasarch.search.supernet.network import Supernet


def layers() -> list[Depthwise | NormedConv]:
    """Depthwise kernels of two sizes, a grouped and a plain 1x1 convolution, a halving one."""
    torch.manual_seed(0)
    wide = Depthwise([nn.Conv2d(4, 4, k, padding=k // 2, groups=4, bias=False) for k in (3, 5)], Copies(2))
    grouped, plain = nn.Conv2d(8, 8, 1, groups=2, bias=False), nn.Conv2d(8, 6, 1, bias=False)
    normed = [NormedConv(conv, nn.BatchNorm2d(8, affine=False)) for conv in (grouped, plain, HalvingConv(6, 8))]
    return [wide, *(layer.double() for layer in normed)]


def test_layers_have_them_in_the_block_alone() -> None:
    found = layers()
    packed = PackedWeights(found)
    with packed.used():
        forms = [layer.packed for layer in found]
        for form, layer in zip(forms, found, strict=True):
            assert form is not None and torch.equal(form, layer.packed_form(layer.kernel_weights()))
    assert [form.shape[0] for form in forms if form is not None] == [8, 8, 6, 8]
    assert all(layer.packed is None for layer in found)
    with pytest.raises(RuntimeError, match="in between"), packed.used():
        raise RuntimeError("in between")
    assert all(layer.packed is None for layer in found)


def test_the_derivatives() -> None:
    found = layers()
    packed = PackedWeights(found)
    for layer in found:
        layer.double()
    weights = [weight for layer in found for weight in layer.kernel_weights()]

    def run(*_: Tensor) -> Tensor:
        with packed.used():
            return torch.cat([layer.packed.flatten()[::3] for layer in found])  # type: ignore[union-attr]

    assert gradcheck(run, weights) and gradgradcheck(run, weights)


class Casts(TorchDispatchMode):
    """Casts to bf16 by the number of dimensions of what is cast."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[int] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.overloadpacket.__name__ == "_to_copy" and (kwargs or {}).get("dtype") == torch.bfloat16:
            self.seen[args[0].ndim] += 1
        return func(*args, **(kwargs or {}))


def test_a_supernet_casts_its_kernels_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = all_candidates(DARTS)
    net, mix = Supernet(DARTS, mask, channels=4, layers=3, partial=4), torch.rand(mask.shape)
    seen = []
    for forms in (False, True):
        monkeypatch.setattr(device, "on_cuda", lambda x, forms=forms: forms)
        with torch.autocast("cpu", torch.bfloat16), Casts() as casts:
            net(torch.randn(2, 3, 8, 8), mix)
        seen.append(casts.seen[4])
    assert seen[0] > 50 and seen[1] < 20, seen  # the stem's, its images, matrices of mixing weights
