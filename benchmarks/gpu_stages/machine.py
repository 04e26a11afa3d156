"""The machine and its software: what a report says of them, and how a stage's process is set up for them."""

from __future__ import annotations

import platform
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .context import Context

PACKAGES = ("nasarch", "torch", "torchvision", "timm", "onnx", "onnxruntime")
CARD = ("name", "driver_version", "memory.total", "clocks.max.sm", "power.limit")
SWITCHES = ("fused", "joins", "depthwise", "streams")
PATIENCE = 30.0  # seconds for NVIDIA's tool to answer


def about(context: Context) -> dict[str, Any]:
    """Card, driver, versions and date, without a CUDA call in this process."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": context.device,
        **card(context.device),
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "data": Path(context.data).name,
        "tf32": context.tf32,
        "autotune": context.autotune,
        "switched_on": list(context.switched_on),
        "searches_in": "NCHW" if context.contiguous else "channels_last",
        "small": context.small,
    }


def card(device: str) -> dict[str, Any]:
    """The name of the card and its driver; of a CPU the architecture."""
    if device == "cpu":
        return {"card": platform.machine(), "driver": "none: a CPU"}
    command = ["nvidia-smi", f"--query-gpu={','.join(CARD)}", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout.splitlines()[0]
        name, driver, *others = (part.strip() for part in said.split(","))
        return {"card": name, "driver": driver} | dict(zip(CARD[2:], others, strict=True))
    except (OSError, subprocess.SubprocessError, IndexError, ValueError) as error:
        unknown = f"unknown: nvidia-smi gave {type(error).__name__}"
        return {"card": unknown, "driver": unknown}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def prepare(context: Context) -> None:
    """Set up the process of a stage.

    Raises:
        ValueError: there is no such device.
    """
    import torch

    from nasarch.compute import keep_freed_memory, pick_device, set_tf32
    from nasarch.search.kernels import device, streams

    device.FUSED, device.FUSED_JOINS, device.FUSED_DEPTHWISE, streams.FORKS = (name in context.switched_on for name in SWITCHES)
    set_tf32(context.tf32)
    torch.backends.cudnn.benchmark = context.autotune
    if context.device == "cpu":
        torch.set_num_threads(1)
        keep_freed_memory()
    pick_device(context.device)
    if context.device == "cuda":
        major, minor = torch.cuda.get_device_capability()
        context.note("card", {"name": torch.cuda.get_device_name(), "capability": f"{major}.{minor}", **_libraries()})


def _libraries() -> dict[str, Any]:
    import torch

    return {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "memory_GB": torch.cuda.mem_get_info()[1] / 1e9}
