"""A search step of PC-DARTS: the supernet, computed per source node, against the literal per-edge twin of tests/helpers/reference.py.

One step is an architecture gradient and a weight gradient on a batch each (K = `--partial`, C = 16, 8 layers, 32x32 images). The sides take
turns; times are CPU seconds of this process on one thread, so that other load disturbs little, or on a GPU seconds until it has
finished (fp32 without TF32, as the twin). The twin is measured in PyTorch's
default memory format, as the published networks run, and in channels_last. Saved activations are the bytes that autograd keeps
between forward and backward, each storage once and parameters left out. Kernels are dispatched operations that compute
something: views and allocations are not counted.

    python benchmarks/supernet.py [--partial 4] [--batch 64] [--rounds 5] [--out benchmarks/results/supernet.json]
    python benchmarks/supernet.py --partial 1 --batch 16    (DARTS)
    python benchmarks/supernet.py --device cuda --batch 256 --rounds 20
    python benchmarks/supernet.py --layers 3 --compile    (torch.compile beside them, which takes minutes to begin)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

if not __package__:
    import checkout  # noqa: F401

from benchmarks.measure import KernelCount, publish, saved_bytes, seconds_of, setting
from nasarch.cells.space import DARTS
from nasarch.compute import set_tf32
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.supernet.candidates import all_candidates
from nasarch.search.supernet.network import Supernet
from tests.helpers.reference import TwinSupernet


class Side:
    """A network with the two gradients of a search step; `separate` asks for the wanted gradients alone, as nasarch does."""

    def __init__(self, net: torch.nn.Module, call: Callable[[Tensor], Tensor], arch: Relaxation, *, separate: bool) -> None:
        self.net, self.call, self.arch, self.separate = net, call, arch, separate

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(self.call(batch[0]), batch[1])

    def halves(self) -> list[list[Tensor]]:
        weights, arch = list(self.net.parameters()), list(self.arch.parameters())
        return [arch, weights] if self.separate else [weights + arch, weights + arch]

    def step(self, batch: tuple[Tensor, Tensor]) -> None:
        for wanted in self.halves():
            torch.autograd.grad(self.loss(batch), wanted)

    def kernels(self, batch: tuple[Tensor, Tensor]) -> list[int]:
        found = []
        for wanted in self.halves():
            with KernelCount() as count:
                torch.autograd.grad(self.loss(batch), wanted)
            found.append(count.kernels)
        return found


CPU = torch.device("cpu")
COMPILED = "nasarch, torch.compile"  # timed alone: what it keeps and starts is not seen from outside


def sides(partial: int, device: torch.device = CPU, layers: int = 8, *, compiled: bool = False) -> dict[str, Side]:
    mask = all_candidates(DARTS)
    arch = Relaxation(DARTS, mask, subset=1, init_std=1e-3).to(device)
    net = Supernet(DARTS, mask, channels=16, layers=layers, partial=partial).to(device)
    twins = [TwinSupernet(DARTS, mask, channels=16, layers=layers, partial=partial).to(device) for _ in range(2)]
    quick = torch.compile(net, dynamic=False) if compiled else net
    last = twins[1].to(memory_format=torch.channels_last)
    return {
        "nasarch": Side(net, lambda x: net(x, arch()), arch, separate=True),
        "twin": Side(twins[0], lambda x: twins[0](x, arch.operations(), arch.edges()), arch, separate=False),
        "twin, channels_last": Side(
            last, lambda x: last(x.contiguous(memory_format=torch.channels_last), arch.operations(), arch.edges()), arch, separate=False
        ),
        **({COMPILED: Side(net, lambda x: quick(x, arch()), arch, separate=True)} if compiled else {}),
    }


def counted(side: Side, batch: tuple[Tensor, Tensor]) -> dict[str, Any]:
    saved = saved_bytes(lambda: side.loss(batch), list(side.net.parameters()))
    return {"saved_MB": round(saved / 1e6, 1), "kernels_arch_and_weights": side.kernels(batch)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partial", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default=CPU)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = options.device
    set_tf32(False)
    batch = torch.randn(options.batch, 3, 32, 32, device=device), torch.randint(10, (options.batch,), device=device)
    contestants = sides(options.partial, device, options.layers, compiled=options.compile)

    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(options.rounds + 1):
        for name, side in contestants.items():
            seconds = seconds_of(lambda side=side: side.step(batch), device)  # type: ignore[misc]
            if turn:  # the first one warms up
                times[name].append(seconds)
    result = {
        **setting(device),
        "K": options.partial,
        "batch": options.batch,
        "layers": options.layers,
        "sides": {
            name: {
                "seconds": [round(t, 3) for t in times[name]],
                **({} if name == COMPILED else counted(side, batch)),
            }
            for name, side in contestants.items()
        },
        "twin_over_nasarch": {
            name: round(median(a / b for a, b in zip(times[name], times["nasarch"], strict=True)), 2) for name in list(contestants)[1:]
        },
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
