"""`nasarch bench` measures all sides in turn, says what is missing, and picks timm's network of as many multi-adds."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import timm
import torch

from nasarch.cli import main
from nasarch.export import benchmark, commands
from nasarch.export.benchmark import BASELINES, EAGER, Baseline, Variant, bench, nearest
from nasarch.export.source.find import LoadedModel
from nasarch.models.profile import multi_adds
from tests.helpers.exported import Tiny

TINY = Baseline("test_resnet", (3, 160, 160), 10**8)
SIDES = [EAGER, "ONNX float32", "ONNX int8", "timm's test_resnet, PyTorch eager", "timm's test_resnet, ONNX float32"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    assert torch.get_num_threads() == 1, "the number of threads is what it was"
    torch.set_num_threads(threads)


def test_the_nearest_baseline_is_that_of_the_nearest_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {"a": 100, "b": 300, "c": 1000}
    monkeypatch.setattr(benchmark, "BASELINES", tuple(costs))
    monkeypatch.setattr(benchmark, "_baseline", lambda name: Baseline(name, (3, 8, 8), costs[name]))
    assert [nearest(cost).name for cost in (1, 170, 180, 500, 600, 10**9)] == ["a", "a", "b", "b", "c", "c"]


def test_baselines_cost_what_the_profile_counts() -> None:
    assert all(map(timm.is_model, BASELINES)) and len(set(BASELINES)) == len(BASELINES)
    found = benchmark._baseline("mobilenetv2_100")
    assert found == Baseline("mobilenetv2_100", (3, 224, 224), 300_774_272)
    assert multi_adds(timm.create_model("mobilenetv3_small_100"), (3, 224, 224)) == benchmark._baseline("mobilenetv3_small_100").multi_adds


def test_sides_take_turns_and_ratios_are_to_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    times = {"eager": 4, "quick": 1}
    now = [0.0]

    def side(name: str) -> Variant:
        def call() -> None:
            order.append(name)
            now[0] += times[name]

        return Variant(call, call)

    monkeypatch.setattr(benchmark, "EAGER", "eager")
    eager, quick = benchmark._rows({"eager": side("eager"), "quick": side("quick")}, 8, 3, lambda: now[0])
    assert order == ["eager", "quick"] * (2 + 3 + 2 + 3)
    assert (eager.latency_ms, quick.latency_ms, quick.latency_ratio, quick.throughput_ratio) == (4000, 1000, 4, 4)
    assert (quick.images_per_second, quick.latency_quartiles_ms) == (8, (1000, 1000))


def test_without_a_compiler_or_with_one_that_fails_the_side_is_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(benchmark, "COMPILERS", ("no-such-compiler",))
    assert benchmark._compiled(Tiny().eval(), (3, 8, 8), 2) == "no C++ compiler (no-such-compiler) at hand"

    def failing(*_: Any, **__: Any) -> Any:
        raise RuntimeError("it broke\nhere")

    monkeypatch.setenv("CXX", "any")
    monkeypatch.setattr(torch, "compile", failing)
    assert benchmark._compiled(Tiny().eval(), (3, 8, 8), 2) == "it broke"


def test_ratios_and_quartiles_are_of_medians_each_over_its_own_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches take turns half as often, three times at least; the first two turns of each warm up."""
    plan = {
        "eager": {"one": [99, 99, 4, 8, 6, 2, 100], "several": [99, 99, 30, 10, 20]},
        "quick": {"one": [99, 99, 1, 5, 3, 2, 4], "several": [99, 99, 4, 6, 5]},
    }
    now = [0.0]

    def side(name: str) -> Variant:
        def call(kind: str) -> None:
            now[0] += plan[name][kind].pop(0)

        return Variant(lambda: call("one"), lambda: call("several"))

    monkeypatch.setattr(benchmark, "EAGER", "eager")
    eager, quick = benchmark._rows({"eager": side("eager"), "quick": side("quick")}, 10, 5, lambda: now[0])
    assert not any(left for kinds in plan.values() for left in kinds.values())
    assert (eager.latency_ms, quick.latency_ms) == (6000, 3000) and (eager.latency_ratio, quick.latency_ratio) == (1, 2)
    assert (eager.latency_quartiles_ms, quick.latency_quartiles_ms) == ((4000, 8000), (2000, 4000))
    assert (eager.images_per_second, quick.images_per_second) == (10 / 20, 10 / 5)
    assert (eager.throughput_ratio, quick.throughput_ratio) == (1, 4)
    assert benchmark.quartiles([3.0]) == (3.0, 3.0)


@pytest.mark.parametrize(("runs", "turns", "several"), [(1, 1, 3), (7, 7, 3), (8, 8, 4), (20, 20, 10)])
def test_as_many_turns_as_are_asked_for_and_half_as_many_batches(runs: int, turns: int, several: int) -> None:
    called, now = {"one": 0, "several": 0}, [0.0]

    def call(kind: str) -> None:
        called[kind] += 1
        now[0] += 1

    benchmark._rows({EAGER: Variant(lambda: call("one"), lambda: call("several"))}, 8, runs, lambda: now[0])
    assert called == {"one": 2 + turns, "several": 2 + several}


def test_each_argument_of_bench_reaches_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models, sizes, batches, threads and clock: what each side was run on."""
    ran, given = list[tuple[str, tuple[int, ...], int]](), list[Any]()
    now = [0.0]

    def clock() -> float:
        now[0] += 1
        return now[0]

    class Counting(Tiny):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name, self.pretrained_cfg = name, {"architecture": name, "input_size": (3, 16, 16)}

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ran.append((self.name, tuple(x.shape), torch.get_num_threads()))
            return super().forward(x)

    def exported(title: str, model: Any, shape: Any, batch: int, *, int8: bool = True) -> dict[str, Variant]:
        given.append((title, model.name, shape, batch, int8))
        names = [f"{title} float32", *[f"{title} int8"] * int8]
        return {name: Variant(lambda: None, lambda: None) for name in names}

    baseline = Baseline("test_resnet", (3, 20, 20), 123)
    monkeypatch.setattr(benchmark, "find_model", lambda source: given.append(source) or LoadedModel(Counting("mine"), None, True))
    monkeypatch.setattr(benchmark, "nearest", lambda cost: given.append(cost) or baseline)
    monkeypatch.setattr(timm, "create_model", lambda name: Counting(name).train())
    monkeypatch.setattr(benchmark, "_exported", exported)
    found = bench("a model", size=10, batch=4, runs=3, threads=2, compiled=False, clock=clock)
    cost = 10 * 10 * 8 * 3 * 9 + 8 * 4
    assert given == [
        "a model",
        cost,
        ("ONNX", "mine", (3, 10, 10), 4, True),
        ("timm's test_resnet, ONNX", "test_resnet", (3, 20, 20), 4, False),
    ]
    assert {one[2] for one in ran} == {2} and torch.get_num_threads() == 1
    shapes = [(name, shape) for name, shape, _ in ran]
    assert shapes[0] == ("mine", (1, 3, 10, 10)), "counted"
    assert shapes[1:] == [
        (name, (batch, 3, side, side))
        for batch, turns in ((1, 5), (4, 5))
        for _ in range(turns)
        for name, side in (("mine", 10), ("test_resnet", 20))
    ]
    assert (found.model, found.input_size, found.multi_adds, found.batch, found.runs, found.threads) == ("mine", (3, 10, 10), cost, 4, 3, 2)
    assert (found.baseline, found.baseline_input_size, found.baseline_multi_adds) == baseline and found.baseline_ratio == pytest.approx(
        123 / cost
    )
    assert [row.name for row in found.rows] == SIDES and found.skipped == {"torch.compile": "not asked for"}
    assert {row.latency_ms for row in found.rows} == {1000.0} and {row.images_per_second for row in found.rows} == {4.0}
    assert found.versions["torch"] == torch.__version__ and benchmark.SYNTHETIC in found.notes
    usual = list[Any]()
    monkeypatch.setattr(benchmark, "_measured", lambda *told: usual.append(told[1:]))
    bench("a model")
    assert usual == [((3, 16, 16), 8, 20, True, time.perf_counter)]


def test_what_is_compiled_is_run_once_and_measured_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = list[tuple[int, ...]]()
    model = Tiny().eval()
    monkeypatch.setenv("CXX", "any")
    monkeypatch.setattr(
        torch, "compile", lambda given, dynamic: (lambda x: ran.append(tuple(x.shape))) if given is model and not dynamic else None
    )
    side = benchmark._compiled(model, (3, 8, 8), 2)
    assert ran == [(1, 3, 8, 8), (2, 3, 8, 8)] and isinstance(side, Variant)
    side.several()
    assert ran[-1] == (2, 3, 8, 8)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small baseline instead of a real one."""
    monkeypatch.setattr(benchmark, "nearest", lambda _: TINY)


def test_the_command_prints_a_table_and_json(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--size", "8", "--batch", "2", "--runs", "2", "--threads", "1", "--skip-compile"]
    assert main.main(["bench", "darts_nats_cifar", *options, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in value["rows"]] == SIDES
    assert (value["model"], value["input_size"], value["batch"], value["threads"]) == ("darts_nats_cifar", [3, 8, 8], 2, 1)
    assert value["skipped"] == {"torch.compile": "not asked for"} and value["multi_adds"] > 0
    for row in value["rows"]:
        assert row["latency_ms"] > 0 and row["images_per_second"] > 0
        low, high = row["latency_quartiles_ms"]
        assert low <= row["latency_ms"] <= high
    assert value["rows"][0]["latency_ratio"] == value["rows"][0]["throughput_ratio"] == 1


def test_the_table_has_units_ratios_and_what_int8_means(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    row = benchmark.Row(name=EAGER, latency_ms=3.25, latency_quartiles_ms=(3, 4), images_per_second=7, latency_ratio=1, throughput_ratio=1)
    found = benchmark.BenchmarkReport(
        model="m",
        input_size=(3, 32, 32),
        multi_adds=2_000_000,
        baseline="r",
        baseline_input_size=(3, 224, 224),
        baseline_multi_adds=3_000_000,
        batch=8,
        runs=2,
        threads=1,
        versions={},
        rows=(row,),
        skipped={"torch.compile": "no compiler"},
        notes=(benchmark.SYNTHETIC,),
    )
    monkeypatch.setattr(benchmark, "bench", lambda *_, **__: found)
    assert main.main(["bench", "m"]) == 0
    out = capsys.readouterr().out
    for words in (
        "m, 3x32x32, 2 M multi-adds",
        "timm's nearest of well-known networks: r, 3x224x224, 3 M multi-adds, 1.5 times as many",
        "1 CPU thread,",
        "images/s, batch 8",
        "torch.compile: skipped, no compiler",
    ):
        assert words in out, words
    assert re.search(r"PyTorch eager +3.25 +3.00-4.00 +1.00 +7.0 +1.00", out) and "only its speed means something" in out


@pytest.mark.parametrize(("cost", "near"), [(0.9e6, False), (1.1e6, True), (3.9e6, True), (4.1e6, False)])
def test_a_baseline_that_costs_more_than_twice_as_much_or_less_than_half_is_called_far(cost: float, near: bool) -> None:
    said = commands._nearness(2e6 / cost)
    assert said.startswith("timm's nearest") == near and said.startswith("no well-known network of timm's is near") != near


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch": 0}, "batch 0; it has to be at least 1"),
        ({"runs": 0}, "runs 0"),
        ({"threads": -1}, "threads -1"),
        ({"size": 2}, "size 2 is too small for darts_nats_cifar; choose 4"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(given: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bench("darts_nats_cifar", **given)  # type: ignore[arg-type]


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown model 'darts'"):
        bench("darts")
