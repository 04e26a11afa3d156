"""Cost model of a search on 1 to 64 GPUs: predictions from counted bytes and launches and from what one card has measured.

    step = max(busy, launches * LAUNCH) + 2 (N - 1) / N * gradient bytes / LINK + STEP_LATENCY       (kernel by kernel)
    busy = FACTOR * counted bytes / N / memory rate

A captured step has no term of launches; several processes are not captured today. Every process has its share of each batch, so bytes fall
with N and launches do not.

    python benchmarks/scale.py                                       (the tables of docs/scale.md)
    python benchmarks/scale.py --measure OUT.json                    (two gloo processes against one, a minute on a CPU)
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

if not __package__:
    import checkout  # noqa: F401

from benchmarks.gpu_stages.cases import CASES, batches, modules, state_of
from benchmarks.measure import publish, setting
from nasarch.runtime.distributed import all_reduce_mean
from nasarch.search.settings.darts import Darts
from nasarch.search.settings.dots import Dots
from nasarch.search.settings.edarts import Edarts
from nasarch.search.settings.ftso import Ftso
from nasarch.search.settings.pc_darts import PcDarts

RESULTS = Path(__file__).parent / "results"
COSTS = RESULTS / "step-cost-2026-11-27.json"
CARD = RESULTS / "gpu-h200-2026-11-27.json"
GLOO = RESULTS / "scale-gloo-2026-11-27.json"
RATE = 4276e9  # bytes/s that an H200 reads and writes (CARD)
LAUNCH = 56e-6  # seconds a dispatched operation costs the host: 355 ms for 6,304 of a PC-DARTS step (CARD)
FACTOR = {"ftso": 2.9, "others": 3.5}  # busy time over the time of the counted bytes (CARD, `check`)
LINK, NODE_LINK, LATENCY = 450e9, 50e9, 20e-6  # bytes/s of NVLink and of a network between nodes of 8, seconds: assumed, not measured
NODE = 8
GPUS = (1, 2, 4, 8, 16, 32, 64)
CIFAR, IMAGENET = 50_000, 1_281_167
PIXELS = (28 / 32) ** 2  # of a map of the cells, after ImageNet's stem of stride 8, against CIFAR's
DECODED = 619 / 2  # photographs/s that a core decodes from disk (benchmarks/results/input-large-2026-11-22.json: two cores)


class Stage(NamedTuple):
    """Steps of one kind: the row of step-cost and its batch size there, the name of the case for its gradients, epochs, share of images."""

    row: str
    counted_batch: int
    case: str
    epochs: int
    images: float  # of the training set that an epoch's weight steps see
    passes: float = 1.0  # batches that a step reads


def searches() -> dict[str, tuple[int, list[Stage]]]:
    """By title the batch size and the stages, from the default settings of each method."""
    pc, one, two, fast, dots = PcDarts(), Darts(order="first"), Darts(), Ftso(), Dots()
    edarts = Edarts()
    pc_stages = [
        Stage("PC-DARTS, warm-up", 256, "pc-darts", pc.warmup, 0.5),
        Stage("PC-DARTS", 256, "pc-darts", pc.epochs - pc.warmup, 0.5, 2),
    ]
    dots_stages = [
        Stage("DARTS, first order", 64, "darts, first order", dots.operation.epochs, 0.5, 2),
        Stage("DOTS, topology, 17 cells", 64, "dots, topology", dots.topology.epochs, 1.0),
    ]
    return {
        "FTSO": (fast.batch_size, [Stage("FTSO", 256, "ftso", fast.epochs, 0.5, 2)]),
        "PC-DARTS": (pc.batch_size, pc_stages),
        "DARTS, first order": (one.batch_size, [Stage("DARTS, first order", 64, "darts, first order", one.epochs, 0.5, 2)]),
        "DARTS, second order": (two.batch_size, [Stage("DARTS, second order", 64, "darts, first order", two.epochs, 0.5, 2)]),
        "DOTS": (dots.batch_size, dots_stages),
        "eDARTS": (
            edarts.batch_size,
            [Stage("eDARTS, 5 cells", 64, "edarts, second order", edarts.epochs, (edarts.images or CIFAR) / 2 / CIFAR, 2)],
        ),
    }


@cache
def gradient_bytes(case: str) -> int:
    """Of the weights' gradient in float32."""
    return 4 * sum(p.numel() for p in modules(CASES[case], small=False)[0].parameters())


class Model:
    """Seconds of steps and searches in one precision; `captured` leaves the launches out."""

    def __init__(self, precision: str, *, captured: bool) -> None:
        self.costs, self.precision, self.captured = json.loads(COSTS.read_text(encoding="utf-8"))["steps"], precision, captured
        self.sizes = {stage.case: gradient_bytes(stage.case) for _, stages in searches().values() for stage in stages}

    def step(self, stage: Stage, batch: int, gpus: int, pixels: float = 1.0) -> float:
        cost = self.costs[stage.row][self.precision]
        factor = FACTOR["ftso" if stage.case == "ftso" else "others"]
        busy = factor * cost["GB"] * 1e9 * pixels * batch / stage.counted_batch / gpus / RATE
        link = LINK if gpus <= NODE else NODE_LINK
        reduce = 0.0 if gpus == 1 else 2 * (gpus - 1) / gpus * self.sizes[stage.case] / link + LATENCY * math.log2(gpus)
        return (busy if self.captured else max(busy, LAUNCH * cost["kernels"])) + reduce

    def search(self, title: str, gpus: int, *, images: int = CIFAR, share: float | None = None, batch: int | None = None) -> float:
        """Seconds; `share` of the images for the weights and `batch` replace the method's own, for ImageNet's maps."""
        usual, stages = searches()[title]
        batch, pixels = batch or usual, 1.0 if images == CIFAR else PIXELS
        total = 0.0
        for stage in stages:
            steps = math.ceil(images * (stage.images if share is None else share) / batch)
            total += stage.epochs * steps * self.step(stage, batch, gpus, pixels)
        return total


def table(head: str, columns: list[str], rows: dict[str, list[str]]) -> list[str]:
    return [
        f"| {head} | {' | '.join(columns)} |",
        "|---|" + "---:|" * len(columns),
        *(f"| {k} | {' | '.join(v)} |" for k, v in rows.items()),
    ]


def duration(seconds: float) -> str:
    """Two digits, in seconds, minutes or hours."""
    if seconds < 99:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 5940 else f"{seconds / 3600:.2g} h"


def check() -> list[str]:
    """What one card measured, by the operations and bytes that were counted at that commit."""
    known = {"ftso": ("FTSO", 23.6, 987), "pc-darts": ("PC-DARTS", 132.0, 6485)}  # counted at 51ec3f9's successor 5c680b4
    runs = [run for run in json.loads(CARD.read_text(encoding="utf-8"))["runs"] if run["commit"] == "51ec3f9"]
    rows = {}
    for case, (title, gb, kernels) in known.items():
        found = next(f for run in runs if (f := run["stages"]["steps"]["found"].get(f"{case}, off, channels_last")) and "busy_ms" in f)
        factor = FACTOR["ftso" if case == "ftso" else "others"]
        busy = [f"{found['busy_ms']:.1f} ms", f"{factor * gb / RATE * 1e12:.1f} ms"]
        rows[title] = [*busy, f"{found['median_ms']:.0f} ms", f"{LAUNCH * kernels * 1e3:.0f} ms"]
    return table("step on one H200, float32", ["busy, measured", "busy, model", "eager, measured", "eager, model"], rows)


def gloo() -> list[str]:
    """What two gloo processes measured beside one."""
    found = json.loads(GLOO.read_text(encoding="utf-8"))
    one, two, wait = found["one"]["step_s"], found["two"]["step_s"], found["two"]["all_reduce_s"]
    figures = [f"{one:.2f} s", f"{one / 2:.2f} s", f"{two:.2f} s", f"{1e3 * wait:.1f} ms"]
    return table("CPU seconds of a process", ["one", "half of it", "each of two", "all-reduce, wall"], {found["case"]: figures})


def lines() -> Iterator[str]:
    """The tables of docs/scale.md."""
    yield "### Against what was measured"
    yield ""
    yield from check()
    yield ""
    yield from gloo()
    for captured in (True, False):
        model = Model("bf16", captured=captured)
        yield from ("", f"### CIFAR-10, bf16, {'captured' if captured else 'kernel by kernel'}", "")
        rows = {title: [duration(model.search(title, gpus)) for gpus in GPUS] for title in searches()}
        yield from table("search", [f"{gpus} GPU{'s' * (gpus > 1)}" for gpus in GPUS], rows)
    parts = {"10 % + 2.5 %": 0.1, "whole, halves": 0.5}
    for name, share in parts.items():
        model = Model("bf16", captured=True)
        yield from ("", f"### ImageNet, {name}, batch 1,024, bf16, captured", "")
        rows = {
            title: [duration(model.search(title, gpus, images=IMAGENET, share=share, batch=1024)) for gpus in GPUS] for title in searches()
        }
        yield from table("search", [f"{gpus} GPU{'s' * (gpus > 1)}" for gpus in GPUS], rows)
    yield from ("", "### What breaks first: images", "")
    rows = {}
    for title, (_, stages) in searches().items():
        needs = 1024 * stages[-1].passes / Model("bf16", captured=True).step(stages[-1], 1024, 1, PIXELS)
        rows[title] = [f"{needs:,.0f}", f"{needs / DECODED:.0f}"]
    yield from table("ImageNet", ["photographs/s that one GPU reads", "cores that decode them"], rows)


def measure(out: Path) -> None:
    """A search step at batch 32 in one process, and at 16 in each of two: median CPU seconds; the all-reduce's least seconds."""
    with tempfile.TemporaryDirectory() as folder:
        context = torch.multiprocessing.get_context("spawn")
        found: dict[str, Any] = {"case": "PC-DARTS, batch 32"}
        for name, processes in (("one", 1), ("two", 2)):
            workers = [context.Process(target=worker, args=(rank, processes, folder)) for rank in range(processes)]
            for one in workers:
                one.start()
            for one in workers:
                one.join()
            found[name] = json.loads((Path(folder) / f"{processes}.json").read_text(encoding="utf-8"))
    publish({**setting(torch.device("cpu")), **found}, out)


def worker(rank: int, processes: int, folder: str) -> None:
    torch.set_num_threads(1)
    if processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes)
    case = CASES["pc-darts"]._replace(batch=32 // processes)
    state, (train, valid) = state_of(case, "cpu", "off", small=False), batches(case, "cpu", 2, small=False)
    steps, waits = [], []
    for _ in range(4):
        begin = time.process_time()
        case.update(state, train, valid)
        steps.append(time.process_time() - begin)
    for _ in range(5):
        gradients: list[Tensor | None] = [torch.zeros_like(p) for p in state.net.parameters()]
        begin = time.perf_counter()
        all_reduce_mean(gradients)
        waits.append(time.perf_counter() - begin)
    if rank == 0:
        result = {"step_s": median(steps[1:]), "all_reduce_s": min(waits)}
        (Path(folder) / f"{processes}.json").write_text(json.dumps(result), encoding="utf-8")
    if processes > 1:
        dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", type=Path, metavar="FILE", help="measure two gloo processes beside one, into this file")
    told = parser.parse_args()
    if told.measure:
        measure(told.measure)
    else:
        print("\n".join(lines()))


if __name__ == "__main__":
    main()
