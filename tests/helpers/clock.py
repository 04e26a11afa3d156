"""A clock for tests."""

from __future__ import annotations


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now
