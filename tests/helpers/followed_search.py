"""A search that is followed to its end, or stopped."""

from __future__ import annotations

from typing import Any

from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import SearchResult
from tests.helpers.coloured_images import data


def follow(
    recipe: Any, settings: Any, checkpoint: Checkpoint, stop_at: int | None = None, **context: Any
) -> tuple[list[Progress], SearchResult | None]:
    """Run to the end, or ask for a stop at the report of that number."""
    reports, running = [], recipe.search(SearchContext(data=data(), checkpoint=checkpoint, **context), settings)
    while True:
        try:
            reports.append(next(running))
        except StopIteration as end:
            return reports, end.value
        except KeyboardInterrupt:
            return reports, None
        checkpoint.stop_requested = stop_at is not None and len(reports) >= stop_at
