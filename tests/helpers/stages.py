"""The stages of a search as the lines of metrics.jsonl have them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def epochs(*stages: str, warmup: Collection[int] = ()) -> list[dict[str, Any]]:
    """The stage of each epoch, and whether the epoch, counted from 1, is one of the warm-up."""
    return [{"stage": stage, "warmup": epoch in warmup} for epoch, stage in enumerate(stages, 1)]
