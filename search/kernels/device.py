"""Device of a tensor: where a computation has another form on CUDA than on a CPU, this decides."""

from __future__ import annotations

from torch import Tensor


def on_cuda(x: Tensor) -> bool:
    """Whether the forms for CUDA compute with x."""
    return x.is_cuda
