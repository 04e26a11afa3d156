"""A latency table of made-up figures, without any measurement."""

from __future__ import annotations

import random

from nasarch.cells.space import Space
from nasarch.latency.table import LatencyTable, Subject, WholeNetworks, space_parts
from nasarch.latency.timing import Timing, processor
from nasarch.models.zoo import Model


def made_up_table(space: Space, model: Model, *, seed: int = 0, overhead_us: int = 20, scale: float | None = None) -> LatencyTable:
    """A table of whole microseconds, drawn at random; with `scale` it was checked on networks that are so many times slower than sums."""
    drawn = random.Random(seed)
    medians = {part: drawn.randint(overhead_us, 900) / 1000 for part in space_parts(space, model)}
    check = None if scale is None else WholeNetworks.of([scale, 2 * scale, 3 * scale], [1, 2, 3])
    return LatencyTable(
        subject=Subject.of(space, model),
        backend="onnxruntime",
        batch=1,
        threads=1,
        time="wall",
        rounds=5,
        processor=processor(),
        versions={"onnxruntime": "1.0"},
        date="2026-01-01",
        overhead_ms=overhead_us / 1000,
        parts={part: Timing(ms, (ms, ms)) for part, ms in medians.items()},
        check=check,
    )
