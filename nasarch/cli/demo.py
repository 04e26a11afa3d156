"""The whole workflow on data that comes with scikit-learn: search, genotype, picture, timm model, profile, verified ONNX file."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path

from nasarch.console import command_line, console


def demo(*, out: Path | None = None) -> Generator[Sequence[str], None, None]:
    """Search on the embedded digits, build the model, profile it and export it to ONNX, in about a minute.

    Args:
        out: Folder to write, a new one (default: below runs/).
    """
    folder = out or Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    cell = str(folder / "genotype.json")
    shown, start = console(), time.perf_counter()
    for number, arguments in enumerate(
        (
            ["search", "ftso", "--data", "digits", "--out", str(folder)],
            ["show", cell],
            ["draw", cell, "--out", str(folder / "cell.svg")],
            ["profile", cell, "--runs", "5"],
            ["export", "onnx", cell, "--out", str(folder / "model.onnx")],
        ),
        start=1,
    ):
        shown.rule(f"{number}. {command_line(*arguments)}")
        yield arguments
    shown.rule("summary")
    shown.print(f"search, genotype, picture and verified ONNX file in {time.perf_counter() - start:.0f} s: {folder}", soft_wrap=True)
