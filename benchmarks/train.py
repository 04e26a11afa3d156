"""A training step: the zoo's network under `nasarch train`, the literal one of tests/helpers/reference.py, and timm's nearest.

Literal: the shallow recipe (5 cells, 16 channels, batch 64, 32x32 images, drop path in the middle of the training). One step is forward,
backward, clipping and SGD. The literal network is measured in PyTorch's default memory format, as the published code runs, and in
channels_last. Memory is what autograd keeps between forward and backward, and the growth of a process's peak in two steps.

Nearest: pc_darts_imagenet (581.6 M multi-adds) and timm's mobilenetv2_140 (about as many), both under `nasarch train`'s loop without
auxiliary head, 224x224 images. Cells are bound by memory, not by arithmetic; the bytes that autograd keeps say by how much.

The sides take turns; times are CPU seconds of this process on one thread, so that other load disturbs little, or with --device cuda
seconds until the GPU has finished (float32 without TF32).

    python benchmarks/train.py [--model pc_darts_cifar] [--rounds 5] [--device cpu] [--out FILE]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

if not __package__:
    import checkout  # noqa: F401

from benchmarks.measure import publish, saved_bytes, seconds_of, setting
from nasarch.cells.genotype import resolve
from nasarch.compute import set_tf32
from nasarch.search.training.learner import Learner
from nasarch.search.training.recipes import recipe
from tests.helpers.reference import TwinNetwork

SHALLOW = recipe("shallow").settings
NEAREST = "mobilenetv2_140"
COLOURS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
Batch = tuple[Tensor, Tensor]


class Literal:
    """A network under the published code's step."""

    def __init__(self, net: nn.Module, memory_format: torch.memory_format) -> None:
        self.net, self.format = net.to(memory_format=memory_format).train(), memory_format
        self.sgd = torch.optim.SGD(net.parameters(), SHALLOW.lr, SHALLOW.momentum, weight_decay=SHALLOW.weight_decay)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.net(batch[0].contiguous(memory_format=self.format)), batch[1])

    def step(self, batch: Batch) -> None:
        self.sgd.zero_grad()
        self.loss(batch).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), SHALLOW.clip)
        self.sgd.step()


class Ours:
    """A network under `nasarch train`'s step."""

    def __init__(self, net: nn.Module, *, recompute: bool = False) -> None:
        self.learner = Learner(net, SHALLOW, seed=0, mean_std=COLOURS, recompute=recompute)  # type: ignore[arg-type]
        self.net, self.steps = self.learner.net, 0
        if hasattr(net, "set_drop_path"):
            self.learner.start_epoch(SHALLOW.epochs // 2)

    def loss(self, batch: Batch) -> Tensor:
        return self.learner._loss(*batch)[1]

    def step(self, batch: Batch) -> None:
        self.learner.step(batch, self.steps)
        self.steps += 1


Side = Literal | Ours


def shallow_sides(model: str, device: torch.device, names: list[str]) -> dict[str, Side]:
    rate = SHALLOW.drop_path_rate(SHALLOW.epochs // 2)

    def build(name: str) -> Side:
        torch.manual_seed(0)
        if name in (OURS, RECOMPUTED):
            net = timm.create_model(model, cells=SHALLOW.cells, channels=SHALLOW.channels).to(device)
            return Ours(net, recompute=name == RECOMPUTED)
        twin = TwinNetwork(resolve(model), cells=5, channels=16, drop_path_rate=rate).to(device)
        return Literal(twin, torch.channels_last if name == "literal, channels_last" else torch.contiguous_format)

    return {name: build(name) for name in names}


OURS, RECOMPUTED = "nasarch", "nasarch, --recompute"  # autograd's hooks don't see what the second keeps: its peak says it
SHALLOW_SIDES = [OURS, RECOMPUTED, "literal", "literal, channels_last"]


def nearest_sides(device: torch.device) -> dict[str, Side]:
    torch.manual_seed(0)
    return {name: Ours(timm.create_model(name).to(device)) for name in ("pc_darts_imagenet", NEAREST)}


def random_batch(count: int, size: int, classes: int, device: torch.device) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, size, size, generator=generator)
    return images.to(device), torch.randint(classes, (count,), generator=generator).to(device)


def measure(sides: dict[str, Side], batch: Batch, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of a step, the sides taking turns, images/s of that, and MB kept for the backward pass."""
    device = batch[0].device
    for side in sides.values():
        side.step(batch)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            times[name].append(seconds_of(lambda: side.step(batch), device))  # noqa: B023
    found = {}
    for name, side in sides.items():
        kept = saved_bytes(lambda: side.loss(batch), list(side.net.parameters()))  # noqa: B023
        seconds = median(times[name])
        found[name] = {"seconds": seconds, "images_per_second": len(batch[1]) / seconds, "kept_mb": kept / 1e6}
    return found


def peak_growth(model: str, name: str) -> float:
    """MB by which two steps of one side raise the peak of a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--model", model, "--peak-of", name], capture_output=True, text=True, check=True)
    return float(done.stdout)


def print_peak_growth(model: str, name: str) -> None:
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    side, batch = shallow_sides(model, cpu, [name])[name], random_batch(SHALLOW.batch_size, 32, 10, cpu)
    before = peak_mb()
    side.step(batch)
    side.step(batch)
    print(peak_mb() - before)


def peak_mb() -> float:
    """The largest memory of this process so far; Linux keeps it by process, getrusage's begins with that of the parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pc_darts_cifar")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--nearest-batch", type=int, default=8, help="images of 224x224 a step")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print_peak_growth(arguments.model, arguments.peak_of)
        return
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    set_tf32(False)
    shallow = measure(
        shallow_sides(arguments.model, device, SHALLOW_SIDES), random_batch(SHALLOW.batch_size, 32, 10, device), arguments.rounds
    )
    if device.type == "cpu":
        for name in SHALLOW_SIDES:
            shallow[name]["peak_growth_mb"] = peak_growth(arguments.model, name)
    nearest = measure(nearest_sides(device), random_batch(arguments.nearest_batch, 224, 1000, device), arguments.rounds)
    ours, other = nearest.values()
    result = {
        **setting(device),
        "timm": timm.__version__,
        "model": arguments.model,
        "shallow": shallow,
        "times_faster_than_literal": {name: shallow[name]["seconds"] / shallow["nasarch"]["seconds"] for name in SHALLOW_SIDES[1:]},
        "nearest": nearest,
        "seconds_of_nearest_over_ours": other["seconds"] / ours["seconds"],
    }
    publish(result, arguments.out)


if __name__ == "__main__":
    main()
