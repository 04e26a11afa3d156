"""What the benchmarks of training steps share: seconds, kernels and saved bytes of a call, and where the figures go."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nasarch.atomic import write_text

FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "alias", "lift_fresh"}


class KernelCount(TorchDispatchMode):
    """Counts operations whose results are no views of their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        name = func.overloadpacket.__name__
        self.kernels += not is_view and name not in FREE and name != "_unsafe_view"
        return func(*args, **(kwargs or {}))


def saved_bytes(forward: Callable[[], Tensor], parameters: list[Tensor]) -> int:
    """What autograd keeps for the backward pass of `forward`."""
    known = {p.untyped_storage().data_ptr() for p in parameters}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward()
    del loss
    return sum(kept.values())


def seconds_of(run: Callable[[], None], device: torch.device) -> float:
    """CPU seconds of this process, or seconds until the GPU has finished."""
    if device.type == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def setting(device: torch.device) -> dict[str, str]:
    """Machine, version of torch, and date."""
    machine = platform.machine() if device.type == "cpu" else torch.cuda.get_device_name(device)
    threads = f", {torch.get_num_threads()} thread(s)" if device.type == "cpu" else ""
    return {"machine": machine + threads, "torch": torch.__version__, "date": time.strftime("%Y-%m-%d")}


def publish(result: dict[str, Any], out: Path | None) -> None:
    """Print the figures, and write them to `out`."""
    show(result)
    keep(result, out)


def show(result: dict[str, Any]) -> None:
    print(json.dumps(result, indent=2))


def keep(result: dict[str, Any], out: Path | None) -> None:
    """Write the figures to `out`, in place of what is there."""
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + "\n")
