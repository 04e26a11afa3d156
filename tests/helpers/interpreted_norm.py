"""BN of blocks and their sum in Triton's interpreter against PyTorch's operations: Triton reads its environment once a process.

TRITON_INTERPRET=1 python -m tests.helpers.interpreted_norm    (a line of JSON: differences by case and tensor)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn


class Case(NamedTuple):
    """Shape of the map, number of blocks, and what else there is."""

    shape: tuple[int, int, int, int]
    blocks: int = 1
    scaled: bool = True
    relu: bool = False
    tracked: bool = True
    gradient: str = "contiguous"  # contiguous, a slice of channels or columns, every third channel, one number for all pixels
    programs: int | None = None  # at once


CASES = {
    "one block": Case((3, 6, 5, 4), scaled=False),
    "blocks": Case((3, 12, 5, 4), blocks=3),
    "ReLU": Case((2, 8, 6, 6), scaled=False, relu=True),
    "ReLU of scaled channels": Case((2, 8, 6, 6), relu=True),
    "many parts of the pixels": Case((5, 4, 23, 31), blocks=2),
    "parts of several tiles": Case((5, 4, 23, 31), blocks=2, programs=2),
    "gradient that is a crop": Case((3, 8, 5, 4), blocks=2, gradient="crop"),
    "more channels than a tile": Case((2, 140, 3, 3), blocks=2, gradient="slice"),
    "strided gradient": Case((3, 8, 5, 4), blocks=2, gradient="stride"),
    "gradient of a mean": Case((3, 8, 5, 4), blocks=2, gradient="expanded"),
    "no running statistics": Case((3, 6, 5, 4), tracked=False),
    "one pixel each": Case((7, 6, 1, 1)),
}


def gradient_like(y: Tensor, kind: str) -> Tensor:
    """A gradient that lies in memory as slices, strided views and expanded tensors do."""
    b, c, height, width = y.shape
    generator = torch.Generator().manual_seed(1)
    if kind == "expanded":
        return torch.randn(b, c, 1, 1, generator=generator, dtype=y.dtype).expand(y.shape)
    if kind == "crop":
        return torch.randn(b, height, width + 2, c, generator=generator, dtype=y.dtype).permute(0, 3, 1, 2)[..., 1:-1]
    step, first = (3, 0) if kind == "stride" else (1, 5) if kind == "slice" else (1, 0)
    wide = torch.randn(b, height, width, step * c + 2 * first, generator=generator, dtype=y.dtype).permute(0, 3, 1, 2)
    return wide[:, first : first + step * c : step]


def literal(y: Tensor, norm: nn.BatchNorm2d, scale: Tensor | None, blocks: int, relu: bool) -> Tensor:
    """The same block by block, from mean and variance."""
    number = y.numel() // y.shape[1]
    mean, var = y.mean((0, 2, 3)), y.var((0, 2, 3), unbiased=False)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean.mul_(0.9).add_(0.1 * mean.detach())
        norm.running_var.mul_(0.9).add_(0.1 * var.detach() * number / (number - 1))
    normal = (y - mean[:, None, None]) / (var + norm.eps).sqrt()[:, None, None]
    normal = normal if scale is None else normal * scale[:, None, None]
    total = torch.stack(normal.chunk(blocks, dim=1)).sum(0)
    return total.clamp(min=0) if relu else total


def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> list[float]:
    """Largest difference of each tensor, relative to its largest entry."""
    return [float((a.detach() - b.detach()).abs().max() / b.detach().abs().max()) for a, b in zip(ours, theirs, strict=True)]


def differences(case: Case, dtype: torch.dtype = torch.float64, place: str = "cpu") -> dict[str, float]:
    """Of the value, the running statistics, all gradients, and gradients of a function of these."""
    from nasarch.search.kernels import fused_norm

    with patch.object(fused_norm, "PROGRAMS", case.programs or fused_norm.PROGRAMS):
        return _differences(case, dtype, place, fused_norm.norm_sum)


def _differences(case: Case, dtype: torch.dtype, place: str, norm_sum: Callable[..., Tensor]) -> dict[str, float]:
    generator, channels = torch.Generator().manual_seed(0), case.shape[1]
    y = (5 + 2 * torch.randn(case.shape, generator=generator, dtype=torch.float64)).to(place, dtype).requires_grad_()
    scale = (
        torch.randn(channels, generator=generator, dtype=torch.float64)
        .to(place, torch.promote_types(dtype, torch.float32))
        .requires_grad_()
    )
    inputs = (y, scale) if case.scaled else (y,)
    exact = tuple(one.detach().double().requires_grad_() for one in inputs)
    norms = [
        nn.BatchNorm2d(channels, affine=False, track_running_stats=case.tracked).to(place, kind) for kind in (scale.dtype, torch.float64)
    ]
    ours = norm_sum(*inputs[:1], norms[0], inputs[1] if case.scaled else None, case.blocks, relu=case.relu)
    theirs = literal(*exact[:1], norms[1], exact[1] if case.scaled else None, case.blocks, case.relu)
    g = gradient_like(ours.detach().cpu(), case.gradient).to(place)
    first, twins = (torch.autograd.grad(out, of, g.to(out.dtype), retain_graph=True) for out, of in ((ours, inputs), (theirs, exact)))
    found = {"value": apart([ours], [theirs])[0]}
    found |= {f"gradient {number}": value for number, value in enumerate(apart(first, twins))}
    if case.tracked:
        statistics = [[norm.running_mean, norm.running_var] for norm in norms]
        found |= {f"running {number}": value for number, value in enumerate(apart(*statistics))}  # type: ignore[arg-type]
    if dtype == torch.float64:
        seconds = []
        for out, of in ((ours, inputs), (theirs, exact)):
            slopes = torch.autograd.grad((out**3).sum(), of, create_graph=True)
            seconds.append(torch.autograd.grad(torch.stack([(slope**2).sum() for slope in slopes]).sum(), of))
        found |= {f"second gradient {number}": value for number, value in enumerate(apart(*seconds))}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    exact = {name: differences(case) for name, case in CASES.items()}
    print(json.dumps({"cases": exact, "bf16": differences(CASES["blocks"], torch.bfloat16)}))
