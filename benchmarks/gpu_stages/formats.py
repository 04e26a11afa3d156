"""The supernet in NCHW order: search/ computes in channels_last everywhere, and on a GPU that may be the slow one of the two.

Four modules of nasarch.search name the format as `torch.channels_last`; inside `in_format` they see a torch in which that name means
NCHW. Four functions that rearrange pixels or channels by way of NHWC are exchanged for such as stay in NCHW. Nothing else changes: the
results agree to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from nasarch.search.kernels import average_pool, polyphase, recompute
from nasarch.search.supernet import convolutions, network

FORMATS = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}


class _Torch:
    """torch, but that channels_last is NCHW."""

    channels_last = torch.contiguous_format

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def in_format(name: str) -> Iterator[None]:
    """Networks that are built and run in the block compute in this format, "channels_last" or "NCHW"."""
    with ExitStack() as stack:
        if name == "NCHW":
            for module in (network, average_pool, recompute, polyphase):
                stack.enter_context(patch.object(module, "torch", _Torch()))
            for module in (convolutions, recompute):
                stack.enter_context(patch.object(module, "to_polyphase", split_phases))
            stack.enter_context(patch.object(convolutions, "from_polyphase", joined_phases))
            stack.enter_context(patch.object(network.SearchCell, "_widened", widened))
        yield


def widened(cell: network.SearchCell, share: Tensor) -> Tensor:
    """`SearchCell._widened`: each channel is followed by K - 1 others, which are zero."""
    if share.shape[1] == cell.channels:
        return share
    return F.pad(share.unsqueeze(2), (0, 0, 0, 0, 0, cell.partial - 1)).flatten(1, 2)


def split_phases(x: Tensor) -> Tensor:
    """`polyphase.to_polyphase`: [B, C, H, W] of even size -> [4 * B, C, H / 2, W / 2]."""
    return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).permute(3, 5, 0, 1, 2, 4).flatten(0, 2)  # B C H 2 W 2 -> 2 2 B C H W


def joined_phases(x: Tensor) -> Tensor:
    """Its inverse."""
    return x.unflatten(0, (2, 2, -1)).permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3)  # 2 2 B C H W -> B C H 2 W 2
