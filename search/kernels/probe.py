# mypy: disable-error-code="import-untyped,import-not-found,no-untyped-def"
"""Whether kernels in Triton can be compiled here: one that copies a number is, which needs a C compiler, too. This module needs Triton."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


def check(device: torch.device) -> None:
    """Compile and run a kernel.

    Raises:
        Exception: of any kind, it can't be done.
    """
    x, y = torch.ones(1, device=device), torch.zeros(1, device=device)
    _copy_kernel[(1,)](x, y)
    if y.item() != 1:
        raise RuntimeError("a kernel that copies a number did not")


@triton.jit
def _copy_kernel(x, y):
    tl.store(y, tl.load(x))
