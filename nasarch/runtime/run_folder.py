"""The folder of a run, whatever runs: its usual name, that nothing is in it yet, and how JSON is written there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from nasarch.atomic import write_text


def usual_folder(*words: str | Path) -> Path:
    """runs/WORDS-DATE-TIME; of a path its last part counts, without the suffix."""
    return Path("runs") / "-".join([*(identifier(Path(word).stem) for word in words), f"{datetime.now():%Y%m%d-%H%M%S}"])


def identifier(text: str) -> str:
    """`text` with all but letters, digits and _ made _."""
    return re.sub(r"\W+", "_", text)


def check_unused(folder: Path) -> None:
    """Raise ValueError if there is something at `folder` that a run would mix with."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already: choose another folder with --out, or remove it first")


def make_folder(folder: Path) -> Path:
    """`folder`, made if it is not there.

    Raises:
        ValueError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"can't make the folder {folder}: {error.strerror}; choose one that you may write to with --out") from error
    return folder


def withdraw(folder: Path) -> None:
    """Remove the folder of a run that was refused before it had anything to keep, so that the corrected command can have it."""
    if {path.name for path in folder.iterdir()} <= {"config.json"}:
        (folder / "config.json").unlink(missing_ok=True)
        folder.rmdir()


def as_json(value: Any) -> str:
    """For people to read."""
    return json.dumps(value, indent=2) + "\n"


class JsonLines:
    """A file of JSON lines, of which the first `keep`, or all, are taken over; every line replaces the file as a whole."""

    def __init__(self, path: Path, keep: int | None = None) -> None:
        self.path = path
        self.lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[:keep] if path.exists() else []

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def last(self) -> dict[str, Any]:
        """Empty if there is none."""
        return json.loads(self.lines[-1]) if self.lines else {}

    def drop(self, unwanted: Callable[[dict[str, Any]], bool]) -> None:
        """Leave out the lines, from the next one that is added on."""
        self.lines = [line for line in self.lines if not unwanted(json.loads(line))]

    def add(self, value: Mapping[str, Any]) -> None:
        self.lines.append(json.dumps(value) + "\n")
        write_text(self.path, "".join(self.lines))
