"""The folder of a run, whatever runs: claimed by one process, its config.json, checkpoint.pt, JSON lines and result.

| file | holds |
|---|---|
| .lock | nothing; locked by the process that writes into the folder, removed at the end |
| config.json | options, settings, data with digest, device, versions, command |
| checkpoint.pt | the state after the last epoch, or after the step at which it was stopped; removed at the end |
| metrics.jsonl | a line an epoch |
| result.json | the result; a run that has one is finished |

A command claims its folder before it reads data (claim.py); each run in it (one seed) is a `RunFolder`. Of several processes under
torchrun the first one writes, and the others follow.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from nasarch.atomic import remove_leftovers, write_text

from . import distributed
from .checkpoint import Checkpoint, shared_checkpoint
from .claim import Lock, lock_existing, make_folder
from .json_files import CONFIG, JsonLines, read_object, reading, typed_keys
from .signals import stopping_at_signals

CHECKPOINT, METRICS, RESULT = "checkpoint.pt", "metrics.jsonl", "result.json"


class Progress(Protocol):
    """Progress that training loops report."""

    @property
    def ends_epoch(self) -> bool: ...


P = TypeVar("P", bound=Progress)
R = TypeVar("R")


class RunFolder:
    """The folder of one run: `path`, its `config`, its `checkpoint`, and after `follow` the `last` line of metrics.jsonl."""

    def __init__(
        self, path: Path, config: dict[str, Any], checkpoint: Checkpoint, lock: Lock | None, texts: Mapping[str, str] | None = None
    ) -> None:
        self.path, self.config, self.checkpoint, self._lock, self.texts = path, config, checkpoint, lock, texts or {}
        self.last: dict[str, Any] = {}

    @classmethod
    @contextmanager
    def begin(
        cls, path: Path, config: Mapping[str, Any], identity: Sequence[str], texts: Mapping[str, str] | None = None
    ) -> Iterator[RunFolder]:
        """Begin a run, or go on with it from the checkpoint in its folder, which is locked in the block.

        A run that goes on keeps its first command, device, versions and number of threads: on a CPU another one gives other sums.

        Args:
            config: what config.json is to hold, with `environment` and the command.
            identity: its keys that have to be equal to go on from a checkpoint.
            texts: other files to write beside config.json, by name.

        Raises:
            ValueError: another process is running in the folder, it can't be written, or the checkpoint is damaged or of another run.
        """
        lock: Lock | None = None

        def prepare() -> dict[str, Any]:
            nonlocal lock
            lock = lock_existing(make_folder(path))
            remove_leftovers(path)
            return _continued(config, path / CONFIG)

        try:
            known = distributed.run_on_main(prepare)
            if torch.get_num_threads() != known["threads"] and known["device"].startswith("CPU"):
                torch.set_num_threads(known["threads"])
            yield cls(path, known, shared_checkpoint(path / CHECKPOINT, {key: known[key] for key in identity}), lock, texts)
        finally:
            if lock is not None:
                lock.release()

    @property
    def has_state(self) -> bool:
        """Whether there is a state to go on from in the checkpoint."""
        return bool(self.checkpoint.stages)

    def lines(self, name: str) -> JsonLines:
        """A file with a line an epoch; those of epochs that the checkpoint doesn't know are dropped."""
        return JsonLines(self.path / name, self.checkpoint.epochs)

    def follow(self, steps: Iterator[P], report: Callable[[P], object], line: Callable[[P], Mapping[str, Any]]) -> Any:
        """Drive a training loop to its end, as `epochs` does; returns what the generator returns."""
        return returned(self.epochs(steps, report, line))

    def epochs(self, steps: Iterator[P], report: Callable[[P], object], line: Callable[[P], Mapping[str, Any]]) -> Generator[P, None, Any]:
        """Write config.json, drive a training loop, and add a line with the seconds so far at the end of each epoch, which is yielded.

        SIGINT and SIGTERM stop it after the present step with its state saved; a second signal stops it at once.

        Args:
            steps: the loop, a generator.
            report: called with its progress, in the first process; other processes yield nothing.
            line: an epoch's figures for metrics.jsonl.

        Returns:
            What the generator returns.

        Raises:
            ValueError: a file can't be written, or another run has taken the folder.
            KeyboardInterrupt: it was stopped.
        """
        distributed.run_on_main(self._write_config)
        metrics, start = self.lines(METRICS), time.perf_counter()
        with reading(metrics.path):
            start -= float(metrics.last.get("seconds", 0.0))
        with stopping_at_signals(self.checkpoint):
            while True:
                try:
                    progress = next(steps)
                except StopIteration as stop:
                    self.last = distributed.broadcast_from_main(metrics.last)
                    return stop.value
                if not distributed.is_main():
                    continue
                report(progress)
                if progress.ends_epoch:
                    self._restore()
                    metrics.add(dict(line(progress)) | {"seconds": round(time.perf_counter() - start, 3)})
                    yield progress

    def finish(self, write: Callable[[], object]) -> None:
        """Write the result by `write`, in the first process, then remove the checkpoint.

        Raises:
            ValueError: it can't be written; the checkpoint stays.
        """

        def finish() -> None:
            self._restore()
            write()
            (self.path / CHECKPOINT).unlink(missing_ok=True)

        distributed.run_on_main(finish)

    def _write_config(self) -> None:
        for name, text in {CONFIG: as_json(self.config), **self.texts}.items():
            write_text(self.path / name, text)

    def _restore(self) -> None:
        """If the folder was removed during the run, make it again; the checkpoint and the lines are written as a whole anyway.

        Raises:
            ValueError: it can't be made, or it is another run's by now.
        """
        if self._lock is None or self._lock.is_intact:
            return
        make_folder(self.path)
        try:
            self._lock.renew()
            is_free = not (self.path / CONFIG).exists()
        except OSError:
            is_free = False
        if not is_free:
            raise ValueError(f"{self.path} was removed during the run, and another run is in its place: choose another folder with --out")
        self._write_config()
        print(f"nasarch: warning: {self.path} was removed during the run, and is written again", file=sys.stderr)


def returned(steps: Generator[Any, None, R]) -> R:
    """What a generator returns at its end."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def finished(marker: Path, read: Callable[[], R]) -> R | None:
    """The result of a finished run by `read`, in the first process, if the file `marker` is there; errors as there, in all processes."""
    return distributed.run_on_main(lambda: read() if marker.exists() else None)


def _continued(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """`config`; of a run that goes on with its first command and environment, and with all later ones under `resumed`."""
    if not path.exists():
        return dict(config)
    before = read_object(path)
    first = {key: before.get(key, config.get(key)) for key in ("command", "threads", "device", "versions")}
    with reading(path):
        typed_keys(first, command=str, threads=int, device=str, versions=dict)
        later = [*typed_keys(before | {"resumed": before.get("resumed", [])}, resumed=list)["resumed"]]
    return {**before, **config, **first, "resumed": [*later, {key: config[key] for key in first}]}


def as_json(value: Any) -> str:
    """JSON text for people to read, indented."""
    return json.dumps(value, indent=2) + "\n"
