"""Measurement of a latency table: all parts, and random networks as a whole, in the same interleaved rounds."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nasarch.cells.genotype import Genotype
from nasarch.cells.random_cells import random_cells
from nasarch.cells.space import Space
from nasarch.compute import environment, seeded
from nasarch.models.network import CellNetwork
from nasarch.models.profile import threads_set
from nasarch.models.zoo import Model

from .table import LatencyTable, Subject, WholeNetworks, space_parts
from .timing import CLOCKS, Backend, Clock, Report, Time, interleaved, prepare, processor


def measure(
    space: Space,
    model: Model,
    *,
    backend: Backend = "onnxruntime",
    batch: int = 1,
    threads: int | None = None,
    rounds: int = 50,
    check: int = 20,
    time: Time = "wall",
    clock: Clock | None = None,
    report: Report | None = None,
) -> LatencyTable:
    """Measure the parts of networks of cells of `space` on this machine's CPU, with random weights.

    Args:
        batch: images of a batch, for which the latencies are.
        threads: of the CPU; by default PyTorch's choice.
        check: random networks that are measured as a whole; 0 for none.
        time: "cpu" for CPU time, which is a latency with one thread alone.
        clock: gives seconds, in place of the clock of `time`.

    Raises:
        ValueError: CPU time of several threads.
    """
    if time == "cpu" and threads != 1:
        raise ValueError("CPU time is the latency of one thread: give --threads 1 with --time cpu")
    report = report or (lambda words, done, total: None)
    parts, drawn = space_parts(space, model), random.Random(0)
    cells = [random_cells(space, drawn, f"random {i + 1}") for i in range(check)]
    with threads_set(threads) as used, seeded(0):
        calls = [prepare(backend, nn.Identity(), [torch.zeros(1, 1, 1, 1)])]
        for part in parts:
            calls.append(prepare(backend, part.build(), [torch.randn(batch, x.channels, x.size, x.size) for x in part.inputs]))
            report("parts built", len(calls) - 1, len(parts))
        for i, one in enumerate(cells, 1):
            calls.append(_network_call(backend, model, one, batch))
            report("networks built", i, check)
        overhead, *timings = interleaved(calls, rounds=rounds, clock=clock or CLOCKS[time], report=report)
    facts = environment("cpu", *(["onnxruntime"] if backend == "onnxruntime" else []))["versions"]
    table = LatencyTable(
        subject=Subject.of(space, model),
        backend=backend,
        batch=batch,
        threads=used,
        time=time,
        rounds=rounds,
        processor=processor(),
        versions=facts | {"pytorch": facts["torch"]},
        date=datetime.date.today().isoformat(),
        overhead_ms=overhead.median_ms,
        parts=dict(zip(parts, timings[: len(parts)], strict=True)),
    )
    if not check:
        return table
    whole = WholeNetworks.of([one.median_ms for one in timings[len(parts) :]], map(table.added_ms, cells))
    return LatencyTable(**{**vars(table), "check": whole})


def measure_cells(table: LatencyTable, model: Model) -> Callable[[Sequence[Genotype]], list[float]] | None:
    """A function that measures networks as a whole under the table's conditions: backend, batch, threads, clock, rounds.

    It returns milliseconds. None: the table is of a machine with another processor.
    """
    if table.processor != processor():
        return None

    def measured(cells: Sequence[Genotype]) -> list[float]:
        with threads_set(table.threads), seeded(0):
            timings = interleaved(
                [_network_call(table.backend, model, one, table.batch) for one in cells], rounds=table.rounds, clock=CLOCKS[table.time]
            )
        return [one.median_ms for one in timings]

    return measured


def _network_call(backend: Backend, model: Model, cells: Genotype, batch: int) -> Callable[[], Any]:
    network = model.network
    net = CellNetwork(cells, num_classes=model.data.num_classes, stem=network.stem, cells=network.cells, channels=network.channels)
    images: Tensor = torch.randn(batch, 3, network.size, network.size)
    return prepare(backend, net, [images])
