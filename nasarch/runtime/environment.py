"""Software and hardware of a run, for its record."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import torch

from nasarch.compute import device_name

PACKAGES = ("nasarch", "torch", "timm")


def environment(device: torch.device | str, *packages: str) -> dict[str, Any]:
    """Device, CPU threads, and versions of Python, nasarch, torch, timm and the other `packages`."""
    return {
        "device": device_name(torch.device(device)),
        "threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in (*PACKAGES, *packages)} | {"python": platform.python_version()},
    }
