"""The main job on the embedded digits: a row of a paper's table from search to test, its report, a profile, a verified ONNX file."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path

from nasarch.console import console

ROW = "ftso/table1/skip-1ep/600"  # FTSO's search: a topology of skip connections in one epoch, which separable convolutions replace
SMALL = (
    "train.cells=5",
    "train.channels=8",
    "train.cutout=8",
    "train.batch-size=32",
)  # eDARTS' shallow network, half as wide; the search is the paper's


def demo(*, out: Path | None = None) -> Generator[Sequence[str], None, None]:
    """Reproduce a row of a table on the embedded digits with a small network, and export what it found, in about two minutes.

    Args:
        out: Folder to write, a new one (default: below runs/).
    """
    folder = out or Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    cell = str(folder / "search" / "genotype.json")
    shown, start = console(), time.perf_counter()
    yield ["reproduce", ROW, "--data", "digits", "--scale", "0.005", "--out", str(folder), "--set", *SMALL]
    for arguments in (
        ["show", cell],
        ["draw", cell, "--out", str(folder / "cell.svg")],
        ["profile", cell, "--runs", "5"],
        ["export", "onnx", str(folder / "train"), "--out", str(folder / "model.onnx")],
        ["report", str(folder)],
    ):
        shown.rule(" ".join(arguments[: 2 if arguments[0] == "export" else 1]))
        yield arguments
    shown.rule("summary")
    shown.print(f"from search to verified ONNX file in {time.perf_counter() - start:.0f} s: {folder}", soft_wrap=True)
    shown.print(f"all of it on a page: {folder / 'report' / 'index.html'}", soft_wrap=True)
