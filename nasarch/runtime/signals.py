"""Stopping at signals: SIGINT and SIGTERM ask for a stop after the present step, with the state saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from . import distributed
from .checkpoint import Checkpoint


@contextmanager
def stopping_at_signals(checkpoint: Checkpoint) -> Iterator[None]:
    """SIGINT and SIGTERM set `checkpoint.stop_requested`; the previous handlers come back at the first signal and after the block.

    One of several processes gets such signals twice, from the terminal and from torchrun, which ends those that don't stop: there the
    handlers come back after the block alone.
    """
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request_stop(number: int, frame: FrameType | None) -> None:
        checkpoint.stop_requested = True
        if distributed.world_size() == 1:
            _set_handlers(before)

    _set_handlers(dict.fromkeys(before, request_stop))
    try:
        yield
    finally:
        _set_handlers(before)


def _set_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
    if threading.current_thread() is threading.main_thread():  # only there Python lets a signal be handled
        for number, handler in handlers.items():
            signal.signal(number, handler)
