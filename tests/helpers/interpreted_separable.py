"""The fused separable convolution in Triton's interpreter against its literal twin: Triton reads its environment once a process.

TRITON_INTERPRET=1 python -m tests.helpers.interpreted_separable    (a line of JSON: differences by case and tensor)
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nasarch.search.kernels.recompute import Copies, Geometry
from tests.literal.separable import separable_norm as literal

CASES = {  # sources, copies, size of the kernel, stride, dilation, channels
    "two sources": (2, 2, 3, 1, 1, 4),
    "three copies, 5x5": (1, 3, 5, 1, 1, 2),
    "stride 2": (2, 1, 3, 2, 1, 4),
    "dilated 5x5": (1, 2, 5, 1, 2, 2),
    "dilated, stride 2": (2, 2, 3, 2, 2, 2),
}
NAMES = ("x", "kernel", "matrix", "scale")


def tensors(sources: int, times: int, k: int, channels: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """x, kernel, matrix and scale."""
    generator, wide = torch.Generator().manual_seed(0), sources * times * channels
    shapes = (3, sources * channels, *size), (wide, 1, k, k), (wide, channels, 1, 1), (wide,)
    return tuple(torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes)


def geometry(k: int, stride: int, dilation: int, groups: int) -> Geometry:
    padding = dilation * (k // 2)
    return Geometry((stride, stride), (padding, padding), (dilation, dilation), groups)


def apart(ours: Sequence[Tensor | None], theirs: Sequence[Tensor]) -> list[float]:
    """Largest difference of each tensor, relative to its largest entry."""
    pairs = [(None if a is None else a.detach(), b.detach()) for a, b in zip(ours, theirs, strict=True)]
    return [float((a - b).abs().max() / b.abs().max()) if a is not None else float("nan") for a, b in pairs]


def differences(sources: int, times: int, k: int, stride: int, dilation: int, channels: int) -> dict[str, float]:
    """Of the value, the running statistics, all gradients, and gradients of a function of these."""
    from nasarch.search.kernels.separable import separable_norm

    inputs = tensors(sources, times, k, channels, (7, 6))
    norm = nn.BatchNorm2d(len(inputs[1]), affine=False).double()
    ours = separable_norm(*inputs[:3], Copies(times, sources), geometry(k, stride, dilation, len(inputs[1])), norm, inputs[3])
    theirs, means, variances = literal(*inputs, sources=sources, stride=stride, dilation=dilation, eps=norm.eps)
    g = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, twins = (torch.autograd.grad(y, inputs, g, retain_graph=True) for y in (ours, theirs))
    seconds = []
    for y in (ours, theirs):
        slopes = torch.autograd.grad((y**3).sum(), inputs, create_graph=True)
        seconds.append(torch.autograd.grad(torch.stack([(slope**2).sum() for slope in slopes]).sum(), inputs))
    statistics = apart([norm.running_mean, norm.running_var], [0.1 * torch.cat(list(means)), 0.9 + 0.1 * torch.cat(list(variances))])
    found = {"value": apart([ours], [theirs])[0], "running mean": statistics[0], "running variance": statistics[1]}
    found |= {f"gradient of {name}": value for name, value in zip(NAMES, apart(plain, twins), strict=True)}
    return found | {f"second gradient of {name}": value for name, value in zip(NAMES, apart(*seconds), strict=True)}


def refused() -> str:
    """What three channels a group give."""
    from nasarch.search.kernels.separable import separable_norm

    inputs = tensors(1, 1, 3, 3, (4, 4))
    try:
        separable_norm(*inputs[:3], Copies(1), geometry(3, 1, 1, 3), nn.BatchNorm2d(3, affine=False).double(), None)
    except ValueError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({"cases": {name: differences(*case) for name, case in CASES.items()}, "refused": refused()}))
