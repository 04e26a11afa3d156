"""The commands on searches that were run: `nasarch report` and `nasarch gather`. PyTorch is imported once the flags are parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from nasarch.console import print_text

Runs = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
Out = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="DIR")]


def report(runs: Runs, *, out: Path | None = None) -> None:
    """Write an HTML report on searches: settings, curves, architecture weights over time, cells, margins, stability, cost.

    Args:
        runs: Folders of searches, finished or not, or of several seeds; several are compared. Or the folder of a row that was reproduced.
        out: Folder of the report and its images (default: report/ in the folder of the first run).
    """
    from .report import write_report

    print_text(f"wrote {write_report(runs, out)}")


def gather(runs: Runs, *, out: Out, stability_only: bool = False) -> None:
    """Combine searches with different seeds, from this machine or others: stability, and the consensus cell of their mean weights.

    Args:
        runs: Folders of finished searches, or folders that hold such as seed-N.
        out: Folder to write, a new one.
        stability_only: Stability alone: no consensus cell, and no agreement between halves of the runs.
    """
    from nasarch.search.runs.gather import combine

    combine(runs, out, stability_only=stability_only)
