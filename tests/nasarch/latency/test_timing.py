"""Timing in interleaved rounds, by a clock of the test; both backends run every part."""

from __future__ import annotations

import random
import time
from functools import partial
from itertools import count

import pytest
import torch
from torch import nn

from nasarch.cells.random_cells import random_cells
from nasarch.cells.space import DARTS, NATS, Space
from nasarch.latency import measure as measuring
from nasarch.latency.measure import measure, measure_cells
from nasarch.latency.table import space_parts
from nasarch.latency.timing import WARMUP, interleaved, prepare, processor
from nasarch.models.zoo import Model, network_of
from tests.helpers.latency_table import made_up_table


def small(space: Space) -> Model:
    """A tiny network of a space."""
    model = network_of(space, "nas_cifar" if space.name == "darts" else None)
    return model._replace(network=model.network._replace(cells=3 if space.name == "darts" else 1, channels=4, size=8))


class Machine:
    """Calls that take as long as the test says, on a machine that gets slower with every round."""

    def __init__(self, seconds: list[float], slower: float = 0.0) -> None:
        self.now, self.seconds, self.slower, self.log = 0.0, seconds, slower, list[int]()

    def calls(self) -> list:
        return [lambda i=i: self.run(i) for i in range(len(self.seconds))]

    def run(self, i: int) -> None:
        self.now += self.seconds[i] * (1 + self.slower * (len(self.log) // len(self.seconds)))
        self.log.append(i)


def test_each_call_runs_once_in_each_round_after_a_warm_up() -> None:
    machine, reported = Machine([0.001, 0.002, 0.004]), []
    timings = interleaved(machine.calls(), rounds=7, clock=lambda: machine.now, report=lambda *what: reported.append(what))
    assert [one.median_ms for one in timings] == pytest.approx([1, 2, 4])
    rounds = [machine.log[i : i + 3] for i in range(0, len(machine.log), 3)]
    assert len(rounds) == WARMUP + 7 and all(sorted(one) == [0, 1, 2] for one in rounds) and len({*map(tuple, rounds)}) > 1
    assert reported == [("rounds", i + 1, WARMUP + 7) for i in range(WARMUP + 7)]


def test_drift_meets_all_calls_alike_and_the_warm_up_does_not_count() -> None:
    machine = Machine([0.001, 0.003], slower=0.5)
    one, other = interleaved(machine.calls(), rounds=9, clock=lambda: machine.now)
    middle = 1 + 0.5 * (WARMUP + 4)
    assert (one.median_ms, other.median_ms) == pytest.approx((middle, 3 * middle))
    assert one.quartiles_ms == pytest.approx((middle - 1, middle + 1))


@pytest.mark.parametrize("space", [DARTS, NATS], ids=lambda space: space.name)
def test_onnxruntime_runs_every_part_as_pytorch_does(space: Space) -> None:
    torch.manual_seed(0)
    for part in space_parts(space, small(space)):
        module, inputs = part.build(), [torch.randn(2, x.channels, x.size, x.size) for x in part.inputs]
        (out,), expected = prepare("onnxruntime", module, inputs)(), prepare("pytorch", module, inputs)()
        assert torch.allclose(torch.from_numpy(out), expected, atol=1e-4), part


def test_a_table_is_measured_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call takes as many milliseconds as its module has weights, and an empty one half a millisecond."""
    machine, built = Machine([]), list[tuple[str, tuple[int, ...]]]()

    def prepare(backend: str, module: nn.Module, inputs: list) -> object:
        built.append((backend, tuple(inputs[0].shape)))
        machine.seconds.append(0.0005 + 0.001 * sum(weight.numel() for weight in module.parameters()))
        return machine.calls()[-1]

    monkeypatch.setattr(measuring, "prepare", prepare)
    model, before = small(DARTS), torch.get_num_threads()
    table = measure(DARTS, model, backend="pytorch", batch=3, threads=1, rounds=5, check=4, clock=lambda: machine.now)
    assert torch.get_num_threads() == before
    parts = space_parts(DARTS, model)
    assert list(table.parts) == parts and table.overhead_ms == 0.5 and len(built) == 1 + len(parts) + 4
    assert all(name == "pytorch" for name, _ in built) and built[-1] == ("pytorch", (3, 3, 8, 8)) and built[1][1][0] == 3
    for part in parts:
        assert table.part_ms(part) == pytest.approx(sum(weight.numel() for weight in part.build().parameters()))
    assert table.check is not None and table.check.kendall == 1 and table.scale == pytest.approx(1, abs=1e-6)
    assert table.check.error == pytest.approx(0, abs=1e-6) and len({*table.check.measured_ms}) == 4
    assert (table.batch, table.threads, table.rounds, table.processor) == (3, 1, 5, processor())


def test_the_clock_is_the_one_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes 2 ms from one reading to the next, and one that goes 1 ms."""
    monkeypatch.setattr(measuring, "prepare", lambda *given: lambda: None)
    assert measuring.CLOCKS == {"wall": time.perf_counter, "cpu": time.process_time}
    for name, step in (("wall", 0.002), ("cpu", 0.001)):
        monkeypatch.setitem(measuring.CLOCKS, name, partial(next, count(0, step)))
    model, few = small(DARTS), DARTS.with_operations(["skip_connect"]).with_nodes(1)
    wall, cpu = (measure(few, model, threads=1, rounds=5, check=0, time=clock) for clock in ("wall", "cpu"))  # type: ignore[arg-type]
    assert (wall.overhead_ms, cpu.overhead_ms) == pytest.approx((2, 1)) and (wall.time, cpu.time) == ("wall", "cpu")
    assert "1 thread, CPU time, " in cpu.conditions and "CPU time" not in wall.conditions
    for table, step in ((wall, 2), (cpu, 1)):
        measured = measure_cells(table, model)
        assert measured is not None and measured([random_cells(few, random.Random(0), "cells")]) == pytest.approx([step])


def test_without_a_check_there_is_no_scale() -> None:
    few = DARTS.with_operations(["skip_connect", "max_pool_3x3"]).with_nodes(2)
    table = measure(few, small(DARTS), backend="pytorch", threads=1, rounds=5, check=0)
    assert table.check is None and table.scale == 1 and table.subject.nodes == 2


def test_networks_are_measured_on_the_processor_of_the_table_alone() -> None:
    table = made_up_table(DARTS, small(DARTS))
    assert measure_cells(table, small(DARTS)) is not None
    object.__setattr__(table, "processor", "another one")
    assert measure_cells(table, small(DARTS)) is None


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "pytorch"])
def test_a_small_network_is_measured(backend: str) -> None:
    model = network_of(DARTS, "nas_cifar")
    model = model._replace(network=model.network._replace(cells=3, channels=16, size=32))
    table = measure(DARTS, model, backend=backend, threads=1, rounds=11, check=6)  # type: ignore[arg-type]
    assert table.check is not None and 0.1 < table.scale < 3 and table.check.error < 0.5
    measured = measure_cells(table, model)
    assert measured is not None
