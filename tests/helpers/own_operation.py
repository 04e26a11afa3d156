"""An own operation that is registered for the time of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from nasarch.cells.space import OWN_OPERATIONS
from nasarch.models.operations import BUILDERS, register_operation

NAME = "mine_3x3"


def mine(channels: int, stride: int, affine: bool) -> nn.Module:
    """3x3 - BN - tanh."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(channels, affine=affine), nn.Tanh()
    )


@contextmanager
def registered() -> Iterator[str]:
    """The name of the operation."""
    register_operation(NAME, mine)
    try:
        yield NAME
    finally:
        del BUILDERS[NAME]
        OWN_OPERATIONS.remove(NAME)
