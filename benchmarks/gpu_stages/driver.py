"""Runs stages one after the other, each in a process of its own under its own limit of time. Knows no torch and no CUDA.

What a stage has found goes into the report as soon as it is in the stage's file, whether the stage ends, fails, hangs or is killed. So
does how it ended:

| status | meaning |
|---|---|
| ok | it came to its end |
| error | it raised: see `traceback` |
| died | its process ended otherwise (a signal, `os._exit`): see `ended` and `log` |
| killed | it was not over at its limit |
| skipped | too little time was left to begin it: see `reason` |
| interrupted | this process was asked to end |
| running | it runs; in the file of a report, that this process ended before the stage |
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from .child import ERROR
from .context import Context, brief

Report = dict[str, dict[str, Any]]  # by stage
PAUSE = 0.1  # seconds between two looks at a stage
PATIENCE = 10.0  # seconds in which a killed process should be gone; one that hangs in the driver of the GPU may stay


class Stage(NamedTuple):
    """A stage: "module:function", the seconds that it needs at least, and the most that it may take.

    Without a limit it takes what is left but for the least of those that come after it.
    """

    target: str
    least: float
    most: float = math.inf


class Child:
    """The process of a stage, which imports at once and begins at `go`."""

    def __init__(self, command: Sequence[str], name: str, target: str, scratch: Path) -> None:
        self.part, self.log, self.seen = scratch / f"{name}.json", scratch / f"{name}.log", 0
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, target, str(self.part)], stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def go(self, context: Context) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already, and `ending` tells how
            self.process.stdin.write(f"{replace(context, part=self.part).to_json()}\n".encode())
            self.process.stdin.flush()

    def news(self) -> bool:
        """Whether there are results since the last call."""
        before, self.seen = self.seen, self.part.stat().st_mtime_ns if self.part.exists() else 0
        return self.seen != before

    def found(self) -> dict[str, Any]:
        return json.loads(self.part.read_text(encoding="utf-8")) if self.part.exists() else {}

    def ending(self) -> dict[str, Any]:
        """How a process that is over ended."""
        code, error = self.process.returncode, self.part.with_suffix(ERROR)
        if error.exists():
            return {"status": "error", **json.loads(error.read_text(encoding="utf-8"))}
        if code:
            return {"status": "died", "ended": signal.Signals(-code).name if code < 0 else f"exit status {code}"}
        return {"status": "ok"}

    def said(self) -> dict[str, str]:
        """The end of what it printed, if it did."""
        text = brief(self.log.read_text(encoding="utf-8", errors="replace")).strip()
        return {"log": text} if text else {}

    def stop(self) -> None:
        """End it, and what it has started, whatever they are doing."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()


def run_stages(
    stages: Mapping[str, Stage], context: Context, *, budget: float, command: Sequence[str], save: Callable[[Report], None]
) -> Report:
    """Run the stages within `budget` seconds, and `save` the report whenever it has changed.

    Args:
        command: starts the process of a stage, with its target and the file of its results as further arguments.

    Raises:
        KeyboardInterrupt: it was raised in this process; the report was saved.
    """
    end, report = time.monotonic() + budget, Report()
    with _scratch() as scratch:
        context, names = replace(context, scratch=scratch), list(stages)
        ready: dict[str, Child] = {}
        try:
            for number, name in enumerate(names):
                for near in names[number : number + 2]:
                    if near not in ready:
                        ready[near] = Child(command, near, stages[near].target, scratch)
                report[name] = {}
                seconds = _limit(stages, name, end - time.monotonic())
                _run(ready.pop(name), context, seconds, stages[name].least, report[name], lambda: save(report))
        finally:
            for child in ready.values():
                child.stop()
    return report


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a process that can't be killed may still write there
        yield Path(folder)


def _limit(stages: Mapping[str, Stage], name: str, left: float) -> float:
    """The seconds that a stage may take of those that are left."""
    names = list(stages)
    if stages[name].most < math.inf:
        return min(stages[name].most, left)
    return left - sum(stages[later].least for later in names[names.index(name) + 1 :])


def _run(child: Child, context: Context, limit: float, least: float, row: dict[str, Any], save: Callable[[], None]) -> None:
    """Let a stage run to its end or limit, its row of the report kept up to date."""
    begin = time.monotonic()
    row |= {"status": "running", "seconds": 0.0, "limit": round(max(0.0, limit), 1), "found": {}}
    try:
        if limit < least:
            row |= {"status": "skipped", "reason": f"{max(0.0, limit):.0f} s left for it; it needs {least:.0f} s"}
            return
        save()
        child.go(replace(context, deadline=time.time() + limit))
        while child.process.poll() is None and time.monotonic() - begin < limit:
            if child.news():
                row |= {"seconds": round(time.monotonic() - begin, 1), "found": child.found()}
                save()
            time.sleep(PAUSE)
        is_over = child.process.poll() is not None
        row |= child.ending() if is_over else {"status": "killed"}
    except KeyboardInterrupt:
        row["status"] = "interrupted"
        raise
    finally:
        child.stop()
        row |= {"seconds": round(time.monotonic() - begin, 1), "found": child.found(), **child.said()}
        save()
