"""The commands on searches that were run: `nasarch report`, `gather`, `derive`, `pareto`. PyTorch is imported once the flags are parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from nasarch.console import print_text
from nasarch.ranges import Count, Positive, Range, at_least

Runs = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
OneRun = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Network = Literal["nas_224", "nas_cifar", "nas_bench_201"]
Port = Annotated[int, Range("0 (a free one) to 65535", lambda value: 0 <= value <= 65535)]
LatencyFile = Annotated[Path, tyro.conf.arg(metavar="TABLE")]
Out = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="DIR")]


def report(runs: Runs, *, out: Path | None = None, watch: bool = False, port: Port | None = None) -> None:
    """Write an HTML report on searches: settings, curves, architecture weights over time, cells, margins, stability, cost.

    Args:
        runs: Folders of searches, finished or not, or of several seeds; several are compared. Or the folder of a row that was reproduced.
        out: Folder of the report and its images (default: report/ in the folder of the first run).
        watch: Write nothing; serve the report to browsers on this machine while the searches run, and renew it after every epoch.
        port: Port of --watch (default: a free one).
    """
    if watch:
        from .watch import watch_report

        if out is not None:
            raise ValueError("--watch writes no files: leave out --out, or --watch")
        watch_report(runs, port or 0)
        return
    if port is not None:
        raise ValueError("--port is the port of --watch: add --watch, or leave it out")
    from .report import write_report

    print_text(f"wrote {write_report(runs, out)}")


def gather(runs: Runs, *, out: Out, stability_only: bool = False) -> None:
    """Combine searches with different seeds, from this machine or others: stability, and the consensus cell of their mean weights.

    Args:
        runs: Folders of finished searches, or folders that hold such as seed-N.
        out: Folder to write, a new one.
        stability_only: Stability alone: no consensus cell, and no agreement between halves of the runs.
    """
    from nasarch.search.runs.gather import combine

    combine(runs, out, stability_only=stability_only)


def derive(
    run: OneRun,
    *,
    out: Out,
    max_macs: Positive | None = None,
    max_params: Positive | None = None,
    max_skips: Annotated[int, at_least(0)] | None = None,
    max_latency_ms: Positive | None = None,
    latency: LatencyFile | None = None,
    network: Network | None = None,
    best: Count = 1,
) -> None:
    """Derive the best cell of a search within a budget, exactly: the greatest sum of log architecture weights within all limits.

    Args:
        run: Folder of a finished search, or of several seeds (the mean of their weights).
        out: Folder to write, a new one.
        max_macs: Limit of multi-adds in millions.
        max_params: Limit of parameters in millions.
        max_skips: Limit of skip connections in the normal cell.
        max_latency_ms: Limit of the latency in milliseconds, measured on this machine (with --latency TABLE).
        latency: Latency table of the network, by `nasarch measure`.
        network: Network that the limits are for (default: nas_224, 14 cells of 48 channels; of cells of NATS-Bench theirs).
        best: Number of cells, the best ones within the limits, for `nasarch select`.
    """
    from nasarch.latency.measure import measure_cells
    from nasarch.latency.table import LatencyTable
    from nasarch.models.zoo import network_of
    from nasarch.search.derive.budget import Budget
    from nasarch.search.runs import derive

    budget = Budget(max_macs=max_macs, max_params=max_params, max_skips=max_skips, max_latency_ms=max_latency_ms)
    if max_latency_ms is not None and latency is None:
        raise ValueError(f"--max-latency-ms {max_latency_ms:g} needs --latency TABLE: `nasarch measure -o latency.json` makes a table")
    table = None if latency is None else LatencyTable.load(latency)
    searched = derive.Searched.load(run)
    measure = None if table is None else measure_cells(table, network_of(searched.space, network))
    derived = derive.derive(searched, budget, out, network=network, best=best, table=table, measure=measure)
    if table is not None:
        print_text(f"latency: {table.conditions}{'' if measure else '; predicted only, since this machine has another processor'}")
    print_text("\n".join(derive.summary(derived, out)))


def pareto(
    runs: Runs,
    *,
    out: Out,
    cost: Literal["multi_adds", "parameters", "latency"] = "multi_adds",
    latency: LatencyFile | None = None,
    network: Network | None = None,
) -> None:
    """Compute the Pareto front of searches: the best cell for every budget, as a table, a chart and genotypes.

    Args:
        runs: Folders of finished searches, or of several seeds (the mean of their weights).
        out: Folder to write, a new one.
        cost: Cost of a cell; latency is the predicted one (with --latency TABLE).
        latency: Latency table of the network, by `nasarch measure`.
        network: Network that the cost is of (default: nas_224, 14 cells of 48 channels; of cells of NATS-Bench theirs).
    """
    from nasarch.latency.table import LatencyTable

    from .pareto import write_fronts

    if cost == "latency" and latency is None:
        raise ValueError("--cost latency needs --latency TABLE: `nasarch measure -o latency.json` makes a table")
    write_fronts(runs, out, cost=cost, network=network, table=None if latency is None else LatencyTable.load(latency))
