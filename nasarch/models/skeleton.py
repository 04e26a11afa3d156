"""The skeleton of a network: kind, width and stride of each cell, from the input to the output. Knows no torch.

| space | network of `cells` cells and `channels` = C | source |
|---|---|---|
| darts | `cells` in all; at cells // 3 and 2 * cells // 3 reduction cells, which halve the map and double C | Liu et al. 2019, sec. 3.2 |
| nats | 3 stages of `cells` cells of C, 2C, 4C channels, a residual block of stride 2 between stages | Dong et al. 2021, sec. 3.1 |
"""

from __future__ import annotations

from typing import NamedTuple

from nasarch.cells.space import NATS

MAX_CELLS, MAX_CHANNELS = 1000, 2**16
RESIDUAL = "residual"  # not a cell kind: NATS-Bench's fixed block between two stages


class CellSpec(NamedTuple):
    """A cell of `kind` whose inner nodes have `channels` channels; its output is `stride` times smaller than its newer input."""

    kind: str
    channels: int
    stride: int = 1


def reductions(cells: int) -> tuple[int, int]:
    """The indices of the two reduction cells of a DARTS network."""
    return cells // 3, 2 * cells // 3


def cell_specs(space: str, cells: int, channels: int) -> tuple[CellSpec, ...]:
    """Kind, channels and stride of each cell of a network, in order.

    Raises:
        ValueError: too few cells for the two reductions, no channels, or more of either than any machine can hold.
    """
    least = 1 if space == NATS.name else 3
    if not isinstance(cells, int) or not least <= cells <= MAX_CELLS:
        unit = "cells a stage" if space == NATS.name else "cells"
        raise ValueError(f"cells={cells!r}: a network of space {space!r} has {least} to {MAX_CELLS:,} {unit}; the papers' have 5, 14 or 20")
    if not isinstance(channels, int) or not 2 <= channels <= MAX_CHANNELS:
        raise ValueError(
            f"channels={channels!r}: the first cells of a network have 2 to {MAX_CHANNELS:,} channels; the papers' have 16, 36 or 48"
        )
    return _nats(cells, channels) if space == NATS.name else _darts(cells, channels)


def _darts(cells: int, channels: int) -> tuple[CellSpec, ...]:
    halving = reductions(cells)
    layers = []
    for i in range(cells):
        channels *= 2 if i in halving else 1
        layers.append(CellSpec("reduction", channels, 2) if i in halving else CellSpec("normal", channels))
    return tuple(layers)


def _nats(cells: int, channels: int) -> tuple[CellSpec, ...]:
    stage = [[CellSpec("normal", channels * width)] * cells for width in (1, 2, 4)]
    return (*stage[0], CellSpec(RESIDUAL, 2 * channels, 2), *stage[1], CellSpec(RESIDUAL, 4 * channels, 2), *stage[2])
