"""Device of a tensor: where a computation has another form on CUDA than on a CPU, this decides."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor


def on_cuda(x: Tensor) -> bool:
    """Whether the forms for CUDA compute with x."""
    return x.is_cuda


FUSED = True  # kernels in Triton are used where they can be; benchmarks compare with False
FUSED_DEPTHWISE = True  # those of depthwise convolutions among them


def has_triton(x: Tensor) -> bool:
    """Whether kernels in Triton can compute with x: on CUDA, from compute capability 7.0 on, with Triton installed."""
    return FUSED and x.is_cuda and _can_compile(x.device)


@cache
def _can_compile(device: torch.device) -> bool:
    return find_spec("triton") is not None and torch.version.hip is None and torch.cuda.get_device_capability(device) >= (7, 0)
