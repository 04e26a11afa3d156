"""Checkpoint of a run: the state to resume from, in one file that is replaced as a whole. Knows no method.

A search is straight-line code whose stages feed each other. Run again with the same settings and a filled `Checkpoint`, it builds
the same things; every stage then loads its state: of a stage that is over only the architecture parameters are kept, which is all that
the next one reads; the present stage goes on where it was, bit for bit on a CPU.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nasarch.atomic import atomic_path

from . import distributed

FORMAT = "nasarch.checkpoint/2"


class Checkpoint:
    """The states of the stages of one search, and the file that they are kept in (`path` None: nowhere, nothing is kept).

    `identity` says which search it is; a file of another one is refused.

    Raises:
        ValueError: the file is damaged, of another version, or of another search: names the difference and the remedy.
    """

    def __init__(self, path: Path | None = None, identity: Mapping[str, Any] | None = None) -> None:
        self.path, self.identity = path, dict(identity or {})
        self.stop_requested = False
        self.stages: dict[str, dict[str, Any]] = _read(path, self.identity) if path is not None and path.exists() else {}

    @property
    def epochs(self) -> int:
        """Epochs that are over, in all stages."""
        return sum(stage["epochs"] for stage in self.stages.values())

    def stage(self, name: str) -> dict[str, Any] | None:
        """The state that was kept for stage `name`."""
        return self.stages.get(name)

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Replace the state of stage `name`, and the file.

        Raises:
            ValueError: the file can't be written, for instance on a full disk; the one from before is as it was.
        """
        self.stages[name] = state
        if self.path is not None:
            content = io.BytesIO()  # torch's own writer of files says nothing of a full disk
            torch.save({"format": FORMAT, "identity": self.identity, "stages": self.stages}, content)
            with atomic_path(self.path) as temporary:
                temporary.write_bytes(content.getbuffer())


def shared_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Checkpoint of several processes: the first one reads and writes the file; the others take what it read, and keep nothing.

    Raises:
        ValueError: as `Checkpoint`, in all processes.
    """
    stages = distributed.run_on_main(lambda: Checkpoint(path, identity).stages)
    checkpoint = Checkpoint(None, identity)
    checkpoint.stages = stages
    checkpoint.path = path if distributed.is_main() else None
    return checkpoint


def _read(path: Path, identity: dict[str, Any]) -> dict[str, dict[str, Any]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and zip raise all kinds
        # not what torch says, which advises to load the file without its safeguard
        reason = getattr(error, "strerror", None) or f"no file of torch.save with plain values, {type(error).__name__}"
        raise ValueError(f"checkpoint {path} is damaged ({reason}): start again in another folder") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        version = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"checkpoint {path} has format {version!r}, this version reads {FORMAT!r}: resume with the version that wrote it")
    known, stages = content.get("identity"), content.get("stages")
    if not isinstance(known, dict) or not isinstance(stages, dict) or not all(map(_is_stage, stages.values())):
        raise ValueError(f"checkpoint {path} is damaged (no identity, or stages without their epochs): start again in another folder")
    for key, value in identity.items():
        if known.get(key) != value:
            other = known.get(key)
            raise ValueError(f"checkpoint {path} is of a run with {key} {other!r}, not {value!r}: resume it with its own settings and data")
    return stages


def _is_stage(state: Any) -> bool:
    return isinstance(state, dict) and type(state.get("epochs")) is int and state["epochs"] >= 0
