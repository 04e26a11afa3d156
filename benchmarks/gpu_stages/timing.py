"""How long things take: medians of a step, what the GPU did in it, and the rate at which memory is copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.measure import KernelCount, seconds_of

WARM = 2  # calls before those that count
TOP, OPERATIONS = 40, 80  # kernels and operations by name in a report
LENGTH = 160  # characters of such a name
SPIN = 4_000_000  # cycles in which the GPU is kept busy while the host queues what is measured: about 2 ms
NO_GPU = "left out: a CPU has no kernels to look at"
COPIED = {"cuda": 2**30, "cpu": 2**24}  # bytes, more than any cache holds


def median_ms(run: Callable[[], Any], device: str, rounds: int) -> float:
    """Median milliseconds until everything is computed, launches included; on a CPU, milliseconds of its own time."""
    for _ in range(WARM):
        run()
    return 1e3 * median(seconds_of(run, torch.device(device)) for _ in range(rounds))


def back_to_back_us(run: Callable[[], Any], device: str, times: int) -> float:
    """Microseconds of the GPU for one of `times` calls one behind the other, launches left out."""

    def all_of_them() -> None:
        for _ in range(times):
            run()

    for _ in range(WARM):
        run()
    if device == "cpu":
        return 1e6 * seconds_of(all_of_them, torch.device(device)) / times
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(SPIN)
    begin.record()
    all_of_them()
    end.record()
    torch.cuda.synchronize()
    return 1e3 * begin.elapsed_time(end) / times


def copy_rate(device: str) -> float:
    """Bytes a second, read and written ones together, at which this device copies memory."""
    source = torch.ones(COPIED[device], dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    return 2 * source.nbytes / (1e-6 * min(back_to_back_us(lambda: copy.copy_(source), device, 5) for _ in range(3)))


def launched(run: Callable[[], Any], device: str) -> dict[str, Any]:
    """What one call makes of the GPU: kernels, copies and their milliseconds by the profiler, and peak memory.

    `longest` has milliseconds and number of calls of the longest kernels by name. `operations` are those that PyTorch
    dispatches, on any device.
    """
    with KernelCount() as count:
        run()
    if device == "cpu":
        return {"operations": count.kernels, "gpu": NO_GPU}
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        run()
        torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() / 1e6
    events = [event for event in seen.events() if event.device_type == DeviceType.CUDA and not event.is_user_annotation]
    copies = [event for event in events if event.name.startswith(("Memcpy", "Memset"))]
    spent, calls = Counter[str](), Counter[str]()
    for event in events:
        name = event.name[:LENGTH]
        spent[name] += event.time_range.elapsed_us() / 1e3
        calls[name] += 1
    busy = {"busy_ms": sum(spent.values()), "kernels": len(events) - len(copies), "copies": len(copies)}
    longest = {name: [ms, calls[name]] for name, ms in spent.most_common(TOP)}
    return {"operations": count.kernels, **busy, "peak_MB": peak, "longest": longest}


def by_operation(run: Callable[[], Any]) -> dict[str, list[float]]:
    """The GPU's milliseconds of one call by operation of PyTorch and shapes of its arguments, with the number of its calls."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], record_shapes=True) as seen:
        run()
        torch.cuda.synchronize()
    rows = [
        (f"{row.key} {[shape for shape in row.input_shapes if shape]}"[:LENGTH], row.self_device_time_total / 1e3, row.count)
        for row in seen.key_averages(group_by_input_shape=True)
        if row.device_type == DeviceType.CPU and row.self_device_time_total > 0
    ]
    return {name: [ms, calls] for name, ms, calls in sorted(rows, key=lambda row: -row[1])[:OPERATIONS]}
