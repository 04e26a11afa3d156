"""`nasarch measure`: a latency table of this machine, for `nasarch derive --latency` and `nasarch pareto --latency`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from nasarch.console import console, print_text
from nasarch.ranges import Count, at_least

if TYPE_CHECKING:
    from nasarch.latency.table import LatencyTable

Out = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE")]


def measure(
    *,
    out: Out = Path("latency.json"),
    network: Literal["nas_224", "nas_cifar", "nas_bench_201"] | None = None,
    space: Literal["darts", "nats"] = "darts",
    nodes: Count | None = None,
    operations: tuple[str, ...] = (),
    backend: Literal["onnxruntime", "pytorch"] = "onnxruntime",
    batch: Count = 1,
    threads: Count | None = None,
    time: Literal["wall", "cpu"] = "wall",
    rounds: Annotated[int, at_least(5)] = 50,
    check: Annotated[int, at_least(0)] = 20,
) -> None:
    """Measure a latency table: every operation at every shape of a network, and the network's fixed parts, on this machine's CPU.

    Random networks are measured as a whole in the same rounds, which calibrates the sums and shows how well they predict.

    Args:
        out: File to write (.json).
        network: Network (default: nas_224, 14 cells of 48 channels; for space nats nas_bench_201).
        space: Search space of the cells.
        nodes: Number of inner nodes of a cell (default: 4; 3 in space nats).
        operations: Operations to measure (default: all of the space).
        backend: Runtime of the networks.
        batch: Batch size.
        threads: Number of CPU threads (default: PyTorch's).
        time: Wall-clock time, or CPU time (with one thread alone), which leaves out what other processes take on a busy machine.
        rounds: Number of timed rounds; each part and network runs once in each.
        check: Number of random whole networks; 0 for none.
    """
    from nasarch.cells.space import SPACES
    from nasarch.latency import measure as measuring
    from nasarch.models.zoo import network_of
    from nasarch.runtime.progress import ProgressDisplay

    cells = SPACES[space] if nodes is None else SPACES[space].with_nodes(nodes)
    if operations:
        cells = cells.with_operations(operations)
    with ProgressDisplay(console()) as display:

        def report(stage: str, done: int, total: int) -> None:
            display.say(stage, f"{done} of {total}", done, total, ends=done == total, stage=stage)

        model = network_of(cells, network)
        table = measuring.measure(
            cells, model, backend=backend, batch=batch, threads=threads, time=time, rounds=rounds, check=check, report=report
        )
        table.save(out)
    print_text("\n".join(_summary(table, out)))


def _summary(table: LatencyTable, out: Path) -> list[str]:
    lines = [f"wrote {out}: {len(table.parts)} parts of {table.subject.network}; {table.conditions}; median of {table.rounds} rounds"]
    if (check := table.check) is not None:
        low, high = min(check.measured_ms), max(check.measured_ms)
        lines.append(f"{len(check.measured_ms)} random networks: {low:.3g} to {high:.3g} ms; {check.scale:.2f} times the sum of the parts")
        if check.kendall is not None and check.spearman is not None:
            lines.append(f"rank correlation of sum and network: Kendall {check.kendall:.2f}, Spearman {check.spearman:.2f}")
        lines.append(f"mean relative error: {100 * check.error:.1f} % ({100 * check.error_added:.1f} % of the plain sum)")
    return lines
