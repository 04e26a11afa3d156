"""The command `nasarch bench`. What it does lies in nasarch.export.benchmark, which is imported when it is run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nasarch.console import print_json, print_rich

if TYPE_CHECKING:
    from rich.table import Table

FAR = 2.0  # times more or fewer multi-adds
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE|RUN")]


def bench(
    source: Source,
    *,
    size: int | None = None,
    batch: int = 8,
    runs: int = 20,
    threads: int | None = None,
    skip_compile: bool = False,
    json: bool = False,
) -> None:
    """Measure a model in PyTorch, torch.compile and onnxruntime (float32, int8), beside timm's nearest network.

    Args:
        source: a model's name, a genotype's .json file, or the folder of a search, a training or `nasarch export hub`.
        size: height and width of the images in pixels; by default those of the model.
        batch: images at once, for the throughput.
        runs: timed turns; all sides run once in each.
        threads: CPU threads of all sides; by default PyTorch's choice.
        skip_compile: leave torch.compile out, which takes minutes.
        json: print JSON.
    """
    from .benchmark import bench

    measured = bench(source, size=size, batch=batch, runs=runs, threads=threads, compiled=not skip_compile)
    if json:
        print_json(asdict(measured))
        return
    print(_heading(measured))
    print_rich(_table(measured))
    for name, reason in measured.skipped.items():
        print(f"{name}: skipped, {reason}")
    print(*measured.notes, sep="\n")


def _heading(measured: Any) -> str:
    cost, other = (f"{count / 1e6:.0f} M multi-adds" for count in (measured.multi_adds, measured.rival_multi_adds))
    sizes = ["x".join(map(str, size)) for size in (measured.input_size, measured.rival_input_size)]
    threads = f"{measured.threads} CPU thread{'s' * (measured.threads > 1)}"
    return (
        f"{measured.model}, {sizes[0]}, {cost}\n"
        f"{_nearness(measured.rival_ratio)}: {measured.rival}, {sizes[1]}, {other}, {measured.rival_ratio:.2g} times as many\n"
        f"{threads}, median of {measured.runs} turns, all sides in each; a ratio above 1 is quicker than PyTorch eager"
    )


def _nearness(ratio: float) -> str:
    """Whether the rival costs about as much; `ratio` is how many times as many multi-adds it has."""
    if 1 / FAR <= ratio <= FAR:
        return "timm's nearest of well-known networks"
    return "no well-known network of timm's is near, so its rows say little; the nearest"


def _table(measured: Any) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("side", no_wrap=True)
    for column in ("ms, batch 1", "quartiles", "ratio", f"images/s, batch {measured.batch}", "ratio"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in measured.rows:
        low, high = row.latency_quartiles_ms
        ratios = f"{row.latency_ratio:.2f}", f"{row.throughput_ratio:.2f}"
        table.add_row(row.name, f"{row.latency_ms:.2f}", f"{low:.2f}-{high:.2f}", ratios[0], f"{row.images_per_second:.1f}", ratios[1])
    return table
