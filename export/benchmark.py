"""Latency and throughput of a model on this machine's CPU in PyTorch, torch.compile and ONNX, beside a baseline of timm's.

| side | is |
|---|---|
| PyTorch eager | the model as it is, float32, in inference mode; all ratios are to it |
| torch.compile | the same by inductor, if there is a C++ compiler |
| ONNX float32, int8 | the graphs of `nasarch export onnx`, in onnxruntime; int8 with the ranges of synthetic images |
| timm's NAME | the baseline (`BASELINES`) at its own image size, in PyTorch eager and in onnxruntime |

All sides take turns, so that other load on the machine meets all of them; a figure is the median of the turns.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import onnxruntime
import timm
import torch
from torch import nn

from nasarch.compute import seeded
from nasarch.export.onnx.float32 import Shape, checked, input_size, reference
from nasarch.export.onnx.session import run
from nasarch.export.onnx.variants import to_int8
from nasarch.export.source.config import describe
from nasarch.export.source.find import find_model
from nasarch.latency.timing import processor
from nasarch.models.cost import measured as cost_of
from nasarch.models.profile import check_positive, quartiles, threads_set

from .errors import first_line
from .samples import sample_images

Clock = Callable[[], float]

WARMUP = 2
COMPILERS = ("g++", "clang++", "c++", "cl")
EAGER = "PyTorch eager"
BASELINES = (
    *("lcnet_050", "mobilenetv3_small_100", "mobilenetv2_050", "mobilenetv3_large_100", "regnety_002", "mobilenetv2_100", "mnasnet_100"),
    *("efficientnet_lite0", "efficientnet_b0", "regnety_004", "mobilenetv2_110d", "mobilenetv2_140", "regnety_006", "mobilenetv2_120d"),
    *("efficientnet_b1", "regnety_008", "resnet18", "densenet121", "resnet34", "resnet50", "nasnetalarge", "pnasnet5large"),
)
SYNTHETIC = "int8: ranges of synthetic images, so only its speed means something"


class Variant(NamedTuple):
    """What is measured: a call that runs a batch of so many images, for one image and for several."""

    one: Callable[[], Any]
    several: Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A side's figures; ratios are PyTorch eager's time over its own, for one image and for an image of a batch."""

    name: str
    latency_ms: float
    latency_quartiles_ms: tuple[float, float]
    images_per_second: float
    latency_ratio: float
    throughput_ratio: float


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport:
    """What `bench` measured; `skipped` says why a side is missing."""

    model: str
    input_size: Shape
    multi_adds: int
    baseline: str
    baseline_input_size: Shape
    baseline_multi_adds: int
    batch: int
    runs: int
    threads: int
    versions: dict[str, str]
    rows: tuple[Row, ...]
    skipped: dict[str, str]
    notes: tuple[str, ...]

    @property
    def baseline_ratio(self) -> float:
        """How many times as many multi-adds the baseline has."""
        return self.baseline_multi_adds / max(self.multi_adds, 1)


def bench(
    source: str,
    *,
    size: int | None = None,
    batch: int = 8,
    runs: int = 20,
    threads: int | None = None,
    compiled: bool = True,
    clock: Clock = time.perf_counter,
) -> BenchmarkReport:
    """Measure the model of `source` (as `find_model` takes it) for images of `size` pixels, one by one and in batches of `batch`.

    `clock` gives seconds: of the wall, or `time.process_time`, which on one thread leaves out what other processes take.

    Raises:
        ValueError: no such model, a number below 1, or a model that can't be exported.
    """
    check_positive(batch=batch, runs=runs, threads=threads)
    model = find_model(source).model
    with threads_set(threads):
        return _measured(model, input_size(model, size), batch, runs, compiled, clock)


def _measured(model: nn.Module, shape: Shape, batch: int, runs: int, compiled: bool, clock: Clock) -> BenchmarkReport:
    cost = cost_of(reference(model), torch.zeros(1, *shape)).multi_adds
    baseline = nearest(cost)
    with seeded(0):
        other = timm.create_model(baseline.name).eval()
    variants = {EAGER: _eager(reference(model), shape, batch)}
    speedup = _compiled(reference(model), shape, batch) if compiled else "not asked for"
    variants |= {"torch.compile": speedup} if isinstance(speedup, Variant) else {}
    variants |= _exported("ONNX", model, shape, batch)
    title = f"timm's {baseline.name}"
    variants |= {f"{title}, {EAGER}": _eager(other, baseline.input_size, batch)}
    variants |= _exported(f"{title}, ONNX", other, baseline.input_size, batch, int8=False)
    return BenchmarkReport(
        model=describe(model),
        input_size=shape,
        multi_adds=cost,
        baseline=baseline.name,
        baseline_input_size=baseline.input_size,
        baseline_multi_adds=baseline.multi_adds,
        batch=batch,
        runs=runs,
        threads=torch.get_num_threads(),
        versions={
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "processor": processor(),
        },
        rows=tuple(_rows(variants, batch, runs, clock)),
        skipped={} if isinstance(speedup, Variant) else {"torch.compile": speedup},
        notes=(SYNTHETIC, "weights don't matter to speed: they are random unless the source brings some"),
    )


# ---- the sides


def _eager(model: nn.Module, shape: Shape, batch: int) -> Variant:
    return Variant(*(partial(model, sample_images(count, *shape)) for count in (1, batch)))


def _compiled(model: nn.Module, shape: Shape, batch: int) -> Variant | str:
    """The side of torch.compile, or why there is none."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        return f"no C++ compiler ({', '.join(COMPILERS)}) at hand"
    try:
        quick: Any = torch.compile(model, dynamic=False)
        side = _eager(quick, shape, batch)
        with torch.inference_mode():
            side.one(), side.several()
    except Exception as error:  # of the compiler, whatever it may be
        return first_line(error)
    return side


def _exported(title: str, model: nn.Module, shape: Shape, batch: int, *, int8: bool = True) -> dict[str, Variant]:
    base = checked(model, size=shape[1])
    sessions = {f"{title} float32": base.session, **({f"{title} int8": to_int8(base, None).session} if int8 else {})}
    return {
        name: Variant(*(partial(run, session, sample_images(count, *shape)) for count in (1, batch))) for name, session in sessions.items()
    }


# ---- the figures


@torch.inference_mode()
def _turns(calls: dict[str, Callable[[], Any]], runs: int, clock: Clock) -> dict[str, list[float]]:
    """Seconds of each call in each of `runs` turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(WARMUP + runs):
        for name, call in calls.items():
            start = clock()
            call()
            if turn >= WARMUP:
                times[name].append(clock() - start)
    return times


def _rows(sides: dict[str, Variant], batch: int, runs: int, clock: Clock) -> list[Row]:
    single = _turns({name: side.one for name, side in sides.items()}, runs, clock)
    several = _turns({name: side.several for name, side in sides.items()}, max(3, runs // 2), clock)
    one, many = ({name: statistics.median(times) for name, times in times_by_name.items()} for times_by_name in (single, several))
    return [
        Row(
            name=name,
            latency_ms=1e3 * one[name],
            latency_quartiles_ms=quartiles([1e3 * seconds for seconds in single[name]]),
            images_per_second=batch / many[name],
            latency_ratio=one[EAGER] / one[name],
            throughput_ratio=many[EAGER] / many[name],
        )
        for name in sides
    ]


# ---- timm's nearest network


class Baseline(NamedTuple):
    """A timm model and what one image [C, H, W] of its own size costs it."""

    name: str
    input_size: tuple[int, int, int]
    multi_adds: int


def nearest(multi_adds: int) -> Baseline:
    """The one of `BASELINES` whose multi-adds are the fewest times more or less than `multi_adds`."""
    return min(map(_baseline, BASELINES), key=lambda one: abs(math.log(one.multi_adds / max(multi_adds, 1))))


def _baseline(name: str) -> Baseline:
    with torch.device("meta"):
        model = timm.create_model(name).eval()
    size = model.pretrained_cfg["input_size"]
    return Baseline(name, tuple(size), cost_of(model, torch.zeros(1, *size, device="meta")).multi_adds)
