"""Device of a tensor: where a computation has another form on CUDA than on a CPU, this decides.

The forms are chosen by what was measured on an H200 (docs/gpu.md). Kernels in Triton save GPU time and cost more of the host's to start,
so captured steps alone have them. The switches are for benchmarks: what was not measured yet, or was slower, is off.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from nasarch.runtime.captured import is_captured

FUSED = False  # BN of blocks, poolings and copies: faster, but their test on a GPU has not passed yet
FUSED_JOINS = False  # concatenation and sums of a node
FUSED_DEPTHWISE = False  # depthwise convolutions of copies
MAX_MAPS = 4  # that a kernel joins or adds


def on_cuda(x: Tensor) -> bool:
    """Whether the forms for CUDA compute with x."""
    return x.is_cuda


def has_triton(x: Tensor) -> bool:
    """Whether kernels in Triton compute with x: in captured steps on CUDA, where they can be compiled."""
    return FUSED and x.is_cuda and is_captured() and _can_compile(x.device)


@cache
def _can_compile(device: torch.device) -> bool:
    """Whether Triton is installed, knows the GPU, and finds the C compiler that it needs."""
    if find_spec("triton") is None or torch.version.hip is not None or torch.cuda.get_device_capability(device) < (7, 0):
        return False
    from .probe import check

    try:
        check(device)
    except Exception as error:  # of a compiler: of any kind
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        warnings.warn(f"Triton's kernels can't be compiled, PyTorch's are used, which are slower: {reason}", stacklevel=2)
        return False
    return True
