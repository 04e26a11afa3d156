"""What a stage is told, and the file in which it keeps what it has found. Imports no torch, so that the parent process needs none."""

from __future__ import annotations

import json
import math
import os
import re
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LONGEST = 3000  # characters of a traceback or a log


@dataclass(frozen=True, kw_only=True)
class Context:
    """The options of a run, the places of its files, and the results of one stage so far.

    Args:
        device: cuda or cpu.
        small: everything tiny, to see that it runs.
        tf32: let the GPU round the factors of float32 products to 10 bits.
        autotune: let cuDNN try its algorithms on each new shape and keep the fastest, instead of its own guess.
        capture: searches and trainings run by CUDA graphs.
        cases: names of the searches and steps of the stages smoke, steps, graph and whole, and how names of kernels begin; none are all.
        precisions: of smoke, steps and graph.
        forms: memory formats in which they do.
        switched_on: of captured steps, what is off by default: kernels in Triton (fused; joins and depthwise among them), streams.
        contiguous: whole searches run in NCHW order instead of channels_last.
        data: name or path, as `nasarch search --data` takes it.
        scratch: folder for what one stage hands on to another.
        out: folder of the results.
        resume: folder of the results of an earlier run, whose unfinished trainings go on.
        epochs: of the trainings; None takes as many as the time allows.
        part: the file of this stage's results.
        deadline: when the stage is killed, in seconds of `time.time`.
        found: the results by name.
    """

    device: str = "cpu"
    small: bool = False
    tf32: bool = False
    autotune: bool = False
    capture: bool = False
    cases: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("channels_last", "NCHW")
    precisions: tuple[str, ...] = ("off", "bf16", "fp16")
    switched_on: tuple[str, ...] = ()
    contiguous: bool = False
    data: str = "digits"
    scratch: Path = Path()
    out: Path = Path()
    resume: Path | None = None
    epochs: int | None = None
    part: Path = Path()
    deadline: float = math.inf
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds until the stage is killed."""
        return self.deadline - time.time()

    def note(self, name: str, figures: Any) -> None:
        """Keep a result, at once and whole: whatever happens to this process afterwards, the file has it."""
        self.found[name] = plain(figures)
        replace_text(self.part, json.dumps(self.found))

    def attempt(self, name: str, measure: Callable[[], Any]) -> None:
        """Keep what `measure` gives; an error is a result, too."""
        try:
            figures = measure()
        except Exception as error:
            figures = described(error)
        self.note(name, figures)

    def to_json(self) -> str:
        values = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}
        return json.dumps({key: value for key, value in values.items() if key != "found"})

    @classmethod
    def from_json(cls, text: str) -> Context:
        values = json.loads(text)
        places = {key: Path(values[key]) for key in ("scratch", "out", "resume", "part") if values[key] is not None}
        names = {key: tuple(values[key]) for key in ("cases", "forms", "precisions", "switched_on")}
        return cls(**values | places | names)


def described(error: BaseException) -> dict[str, str]:
    """An error and where it came from, for JSON."""
    lines = str(error).strip().splitlines()
    whole = "".join(traceback.format_exception(error))
    return {"error": brief(f"{type(error).__name__}: {lines[0] if lines else ''}", 300), "traceback": brief(whole, LONGEST)}


def brief(text: str, longest: int = LONGEST) -> str:
    """The end of a text, every absolute path in it cut to its last two parts: results are published, this machine's folders are not."""
    return re.sub(r"(?<![\w.])(?:/[\w.+@-]+)+/([\w.+@-]+/[\w.+@-]+)", r"\1", text)[-longest:]


def plain(value: Any) -> Any:
    """For JSON: numbers to five digits, and what is no finite number as a word."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else str(value)
    return value


def replace_text(path: Path, text: str) -> None:
    """Write a file as a whole, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
