"""What a part of a run did on the simulated device: waits, copies, kernels and bytes, each with its place."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NamedTuple

SYNCHRONISATION, BLOCKING, COPY, MIXED = "synchronisation", "blocking copy", "copy", "mixed devices"
OUTSIDE = "outside"  # the part of a run that no `during` names
MACHINERY = ("torch.", "contextlib", __name__, "tests.simulated_cuda.watch")


class Event(NamedTuple):
    kind: str
    what: str
    place: str


@dataclass
class Ledger:
    """What a part of a run did on the device; kernels and bytes by (operation, place)."""

    events: Counter[Event] = field(default_factory=Counter)
    kernels: Counter[tuple[str, str]] = field(default_factory=Counter)
    bytes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kernels": self.kernels.total(),
            "bytes": self.bytes.total(),
            "events": [{**event._asdict(), "count": count} for event, count in self.events.items()],
        }


def place() -> str:
    """The innermost line of nasarch on the stack; outside of it the innermost that is of no machinery."""
    frames = [frame for frame in stack() if not module(frame).startswith(MACHINERY)]
    frame = next((frame for frame in frames if module(frame).startswith("nasarch.")), frames[0])
    return f"{module(frame)}:{frame.f_lineno} {frame.f_code.co_name}"


def stack() -> Iterator[FrameType]:
    """From the innermost frame outwards."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def module(frame: FrameType) -> str:
    return frame.f_globals.get("__name__", "")
