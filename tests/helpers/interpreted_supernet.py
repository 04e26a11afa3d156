"""Supernets with fused kernels in Triton's interpreter against the forms for a CPU, in float64; poolings and copies against PyTorch's.

TRITON_INTERPRET=1 python -m tests.helpers.interpreted_supernet    (a line of JSON: differences by case)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from nasarch.cells.space import DARTS
from nasarch.compute import seeded
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.kernels import device
from nasarch.search.kernels.recompute import Copies
from nasarch.search.supernet.candidates import all_candidates, only
from nasarch.search.supernet.network import Supernet

SPACE = DARTS.with_nodes(2)
MASKS = {"all": all_candidates(SPACE), "pools": only(SPACE, "max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3")}


def use_fused(fused: bool) -> None:
    """Let the kernels for CUDA, and those in Triton, compute on a CPU."""
    device.on_cuda = device.has_triton = lambda x: fused  # type: ignore[assignment]
    device.FUSED_JOINS = device.FUSED_DEPTHWISE = fused


def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest difference, of each pair in units of the largest entry."""
    pairs = zip(ours, theirs, strict=True)
    return max(float((a.detach() - b.detach()).abs().max() / b.detach().abs().max().clamp(min=1e-6)) for a, b in pairs)


def supernet(mask: str, partial: int, size: int) -> dict[str, float]:
    """Of the logits, all gradients, the running statistics, and the gradients of a function of gradients."""
    found = []
    for fused in (True, False):
        use_fused(fused)
        with seeded(0):
            net = Supernet(SPACE, MASKS[mask], channels=4, layers=3, partial=partial).double().train()
        arch = Relaxation(SPACE, MASKS[mask], subset=1, init_std=1e-1, generator=torch.Generator().manual_seed(1)).double()
        x = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        inputs = [*net.parameters(), *arch.parameters()]
        logits = net(x, arch())
        slopes = torch.autograd.grad(logits.square().sum(), inputs, retain_graph=True)
        again = torch.autograd.grad(logits.square().sum(), list(arch.parameters()), create_graph=True)
        seconds = torch.autograd.grad(torch.stack([slope.square().sum() for slope in again]).sum(), inputs)
        found.append(([logits], slopes, list(net.buffers()), seconds))
    names = ("logits", "gradients", "statistics", "second gradients")
    return {name: apart(ours, theirs) for name, ours, theirs in zip(names, *found, strict=True)}


def against(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], x: Tensor) -> dict[str, float]:
    """Of value, gradient, and the gradient of a function of the gradient."""
    x = x.requires_grad_()
    values = [ours(x), theirs(x)]
    g = torch.linspace(-1, 1, values[0].numel(), dtype=x.dtype).view(values[0].shape).contiguous(memory_format=torch.channels_last)
    slopes = [torch.autograd.grad(y, x, g, retain_graph=True)[0] for y in values]
    seconds = [torch.autograd.grad(torch.autograd.grad((y**3).sum(), x, create_graph=True)[0].square().sum(), x)[0] for y in values]
    return {"value": apart(values[:1], values[1:]), "gradient": apart(slopes[:1], slopes[1:]), "second": apart(seconds[:1], seconds[1:])}


def maps(channels: int, height: int, width: int, *, sliced: bool) -> Tensor:
    """A map in channels_last order, or the middle channels of one; with equal pixels, so that maxima are shared."""
    wide = torch.randn(2, height, width, channels + 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    wide[:, 1:3, 1:3] = 2.0
    return (wide[..., 2:-2] if sliced else wide[..., 4:].contiguous()).permute(0, 3, 1, 2)


def depthwise(place: str = "cpu") -> dict[str, dict[str, float]]:
    """Of copies of a map: at both strides, dilated, of two sources."""
    from nasarch.search.kernels.fused_depthwise import copied_depthwise

    found = {}
    for times, sources, k, stride, dilation in ((3, 2, 5, 1, 1), (4, 1, 3, 2, 1), (1, 1, 3, 1, 2), (2, 2, 5, 2, 2)):
        copies, form = Copies(times, sources), (stride, dilation * (k // 2), dilation)
        kernel = torch.randn(6 * times, 1, k, k, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(place)

        def plain(x: Tensor, w: Tensor, copies: Copies = copies, form: tuple[int, int, int] = form) -> Tensor:
            return F.conv2d(copies.of(x), w, None, *form, groups=len(w))

        def fused(x: Tensor, w: Tensor, copies: Copies = copies, form: tuple[int, int, int] = form) -> Tensor:
            return copied_depthwise(x, w, *copies, *form)

        x = maps(6, 6, 7, sliced=times == 3).to(place)
        of_x = against(partial(fused, w=kernel), partial(plain, w=kernel), x.clone())
        of_kernel = against(partial(fused, x.detach()), partial(plain, x.detach()), kernel)
        found[f"{times} of {sources}, {k}, {stride}, {dilation}"] = of_x | {f"kernel's {name}": value for name, value in of_kernel.items()}
    return found


def poolings(place: str = "cpu") -> dict[str, dict[str, float]]:
    """Both poolings at both strides."""
    from nasarch.search.kernels.fused_pool import pool

    found = {}
    for maximum, stride, size in ((m, s, size) for m in (True, False) for s in (1, 2) for size in ((4, 4), (5, 7), (2, 1))):

        def plain(x: Tensor, maximum: bool = maximum, stride: int = stride) -> Tensor:
            here = x.cpu()  # PyTorch's gradient of an average is another one on CUDA (see search/kernels/average_pool.py)
            y = F.max_pool2d(here, 3, stride, 1) if maximum else F.avg_pool2d(here, 3, stride, 1, count_include_pad=False)
            return y.to(x.device)

        def fused(x: Tensor, maximum: bool = maximum, stride: int = stride) -> Tensor:
            return pool(x, stride, maximum=maximum)

        name = f"{'maximum' if maximum else 'average'}, stride {stride}, {size[0]} x {size[1]}"
        found[name] = against(fused, plain, maps(6, *size, sliced=stride == 2).to(place))
    return found


def copied(place: str = "cpu") -> dict[str, float]:
    """Copies and their sum."""
    from nasarch.search.kernels.fused_maps import copies_of, sum_of_copies

    found = {}
    for times, sources, sliced in ((3, 2, True), (4, 1, False), (2, 3, True)):
        copies, x = Copies(times, sources), maps(6, 3, 5, sliced=sliced).to(place)
        wide = copies.of(x)
        found[f"{times} of {sources}"] = apart([copies_of(x, *copies), sum_of_copies(wide, *copies)], [wide, copies.summed(wide)])
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    nets = {f"{mask}, K = {partial}, {size}": supernet(mask, partial, size) for mask, partial, size in (("all", 2, 8), ("pools", 1, 7))}
    print(json.dumps({"supernets": nets, "poolings": poolings(), "depthwise": depthwise(), "copies": copied()}))
