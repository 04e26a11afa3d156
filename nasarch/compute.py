"""Device, precision, random seed and environment of a computation, and what CPUs need to be quick."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
import torch.utils.deterministic

PACKAGES = ("nasarch", "torch", "timm")  # whose versions are recorded
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
AUTOCAST_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """The device `name`, after a tensor was put there; `auto` is the first accelerator, or the CPU.

    Raises:
        ValueError: there is no such device; names those that there are.
    """
    try:
        device = torch.device(devices()[0] if name == "auto" else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name!r} can't be used here ({reason}); legal are auto, {', '.join(devices())}") from None
    if device.type == "meta":
        raise ValueError(f"device 'meta' holds no numbers to compute with; legal are auto, {', '.join(devices())}")
    return device


def devices() -> list[str]:
    """All usable devices, the accelerators first."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    count = torch.accelerator.device_count() if accelerator else 0
    return [accelerator.type, *(f"{accelerator.type}:{i}" for i in range(count)), "cpu"] if accelerator else ["cpu"]


def device_name(device: torch.device) -> str:
    """The hardware in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        count = torch.get_num_threads()
        return f"CPU ({platform.machine()}), {count} thread{'' if count == 1 else 's'}"
    return str(device)


def set_tf32(allowed: bool) -> None:
    """Whether NVIDIA GPUs may round the factors of float32 convolutions and matrix products to TF32, which has 10 bits of 23.

    PyTorch's own default is yes for convolutions and no for matrix products. These two switches work in all versions; the newer
    `fp32_precision` of each operation can't be read any more through them, so nobody should mix both.
    """
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """Deterministic algorithms alone in the block, if `enabled`: PyTorch's switch, cuDNN's and cuBLAS' fixed workspace.

    The same seed then gives the same bits on the same GPU with the same driver and libraries. cuBLAS reads its workspace at its first use
    in a process: one that has used it before may have another.

    Raises:
        RuntimeError: in the block, by an operation that has no deterministic algorithm.
    """
    if not enabled:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    cudnn, fills, workspace = torch.backends.cudnn, memory.fill_uninitialized_memory, os.environ.get(WORKSPACE)
    algorithms = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    memory.fill_uninitialized_memory = False  # would be a launch for each new tensor, and none is read before it is written
    os.environ.setdefault(WORKSPACE, ":4096:8")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark = algorithms
        memory.fill_uninitialized_memory = fills
        if workspace is None:
            os.environ.pop(WORKSPACE, None)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers on the CPU, such as initial weights, from `seed` in the block; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def keep_freed_memory() -> None:
    """Ask glibc to keep freed blocks for the next step of a training on the CPU instead of giving them back to the system.

    Without it every large activation is mapped anew in every step, and the kernel clears its pages. Other C libraries are left alone.
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD in malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(mmap_threshold, 2**31 - 1)
    mallopt(trim_threshold, 2**31 - 1)


def environment(device: torch.device | str, *packages: str) -> dict[str, Any]:
    """Software and hardware of a run for its record: device, CPU threads, versions of Python, nasarch, torch, timm and `packages`."""
    return {
        "device": device_name(torch.device(device)),
        "threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in (*PACKAGES, *packages)} | {"python": platform.python_version()},
    }
