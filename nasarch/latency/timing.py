"""Latency of modules on this machine: backends that run them, and timing in interleaved rounds.

In each round every call is timed once, in random order, so that drift of the machine (clock rates, other load) meets all of them alike; a
figure is the median of the rounds. A call finds the caches as the others left them, as a layer does within a network.
"""

from __future__ import annotations

import io
import platform
import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from nasarch.models.profile import quartiles

Backend = Literal["onnxruntime", "pytorch"]
Time = Literal["wall", "cpu"]  # wall-clock time; CPU time of the process, without what others take, which is the latency of one thread
Clock = Callable[[], float]
Report = Callable[[str, int, int], None]  # what is done, of how many

CLOCKS: dict[Time, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
WARMUP = 3  # rounds
OPSET = 17


class Timing(NamedTuple):
    """Median and quartiles of the time of a call, in milliseconds."""

    median_ms: float
    quartiles_ms: tuple[float, float]


def prepare(backend: Backend, module: nn.Module, inputs: Sequence[Tensor]) -> Callable[[], Any]:
    """A call that runs `module` on `inputs`, float32 on the CPU, with as many threads as PyTorch uses."""
    module = module.eval().requires_grad_(False)
    if backend == "pytorch":
        return lambda: module(*inputs)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    options.add_session_config_entry("session.force_spinning_stop", "1")  # else threads of one session would slow the next one down
    session = onnxruntime.InferenceSession(_onnx(module, inputs), options, providers=["CPUExecutionProvider"])
    names = [f"x{i}" for i in range(len(inputs))]
    read = {one.name for one in session.get_inputs()}
    feed = {name: x.numpy() for name, x in zip(names, inputs, strict=True) if name in read}
    return lambda: session.run(None, feed)


def _onnx(module: nn.Module, inputs: Sequence[Tensor]) -> bytes:
    """The module as ONNX, by the exporter through TorchScript: the same operators as the newer one's, up to 50 times as quickly."""
    file: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that exporter is deprecated
        names = [f"x{i}" for i in range(len(inputs))]
        torch.onnx.export(module, tuple(inputs), file, opset_version=OPSET, input_names=names, dynamo=False)
    return file.getvalue()


@torch.inference_mode()
def interleaved(
    calls: Sequence[Callable[[], Any]], *, rounds: int, clock: Clock = time.perf_counter, report: Report | None = None
) -> list[Timing]:
    """The timing of each call over `rounds` rounds, after a warm-up; `clock` gives seconds."""
    order, times = [*range(len(calls))], [list[float]() for _ in calls]
    shuffle = random.Random(0).shuffle
    for done in range(WARMUP + rounds):
        shuffle(order)
        for i in order:
            start = clock()
            calls[i]()
            seconds = clock() - start
            if done >= WARMUP:
                times[i].append(1e3 * seconds)
        if report is not None:
            report("rounds", done + 1, WARMUP + rounds)
    return [Timing(round(statistics.median(one), 6), (round(low, 6), round(high, 6))) for one in times for low, high in [quartiles(one)]]


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
