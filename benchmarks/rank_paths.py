"""Training the networks of `nasarch rank-paths` together against one by one: CPU seconds of a step for each network.

A step is forward, backward, clipping and SGD on one batch: 5 cells, separable convolutions, the reduction cell of max pooling, drop
path on. One by one is `search/training/learner.py`'s Learner on the zoo's network; together is a fleet (search/fused/network.py) of N paths
in
their order. The sides take turns; times are CPU seconds of this process on one thread, so that other load disturbs little, or on a GPU
seconds until it has finished. Kernels are dispatched operations that compute something, for each network.

    python benchmarks/rank_paths.py [--channels 8] [--size 16] [--together 2 4 8 16] [--rounds 5] [--out benchmarks/results/rank-paths.json]
    python benchmarks/rank_paths.py --device cuda --channels 16 --size 32 --together 8 32 60
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

import torch

if not __package__:
    import checkout  # noqa: F401

from benchmarks.measure import KernelCount, publish, seconds_of, setting
from nasarch.cells.topology import chain, pooled, topologies
from nasarch.compute import keep_freed_memory, seeded, set_tf32
from nasarch.models.network import CellNetwork
from nasarch.search.fused.learner import FusedLearner
from nasarch.search.fused.network import FusedNetwork
from nasarch.search.training.learner import Learner
from nasarch.search.training.recipes import SHALLOW

CELLS, CLASSES = 5, 10


def network(path: str, channels: int) -> CellNetwork:
    with seeded(0):
        return CellNetwork(pooled(path, chain(4)), CLASSES, cells=CELLS, channels=channels)


def learner(count: int, channels: int, device: torch.device) -> Learner | FusedLearner:
    nets = [network(path, channels) for path in topologies()[:count]]
    if count == 1:
        return Learner(nets[0].to(device), SHALLOW, seed=0, mean_std=((0.5,) * 3, (0.25,) * 3))
    return FusedLearner(FusedNetwork(nets, cells=CELLS, channels=channels).to(device), SHALLOW, seed=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--together", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    device = options.device
    set_tf32(False)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(options.batch, 3, options.size, options.size, generator=generator).to(device)
    y = torch.randint(CLASSES, (options.batch,), generator=generator).to(device)

    sides = {count: learner(count, options.channels, device) for count in [1, *options.together]}
    for side in sides.values():
        side.start_epoch(50)
    times: dict[int, list[float]] = {count: [] for count in sides}
    for turn in range(options.rounds + 2):
        for count, side in sides.items():
            seconds = seconds_of(lambda side=side, turn=turn: side.step((x, y), turn), device)  # type: ignore[misc]
            if turn > 1:  # the first two warm up
                times[count].append(seconds / count)
    kernels = {}
    for count, side in sides.items():
        with KernelCount() as counted:
            side.step((x, y), 0)
        kernels[count] = round(counted.kernels / count, 1)
    result = {
        **setting(device),
        "channels": options.channels,
        "pixels": options.size,
        "batch": options.batch,
        "seconds_a_network": {count: [round(t, 4) for t in found] for count, found in times.items()},
        "kernels_a_network": kernels,
        "one_by_one_over_together": {
            count: round(median(a / b for a, b in zip(times[1], times[count], strict=True)), 2) for count in options.together
        },
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
