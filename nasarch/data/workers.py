"""How torch's loaders get their worker processes without a word, and without a signal handler of theirs."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def ignore_interrupts(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the one that the workers serve decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def forking() -> Iterator[None]:
    """Workers start without Python's warning of forking beside threads: like every loader's of torch they use one thread.

    Torch has a signal handler that raises wherever the program is when a worker dies. It is taken back: a dead worker is noticed
    within seconds when its batch is asked for, and between two steps at that. An interrupt is ignored meanwhile, so that workers are
    born ignoring it.
    """
    here = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD")
    before = {number: signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT)} if here else {}
    if here:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
