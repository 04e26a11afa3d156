"""Runs that differ in the seed: one in the folder itself, several in its folders seed-N."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from nasarch.atomic import write_text
from nasarch.console import command_line

from . import distributed
from .json_files import CONFIG
from .run_folder import as_json

R = TypeVar("R")


def run_seeds(
    run: Callable[[int, Path], R], seeds: Sequence[int], folder: Path, *, config: Mapping[str, Any], command: str, console: Console
) -> list[R]:
    """Results of `run` for each seed and its folder, in order.

    Args:
        config: of several seeds what config.json in `folder` is to hold.
        command: that which resumes them, such as "search darts".

    Raises:
        KeyboardInterrupt: a run was stopped; says how to resume.
    """
    if len(seeds) > 1:
        distributed.run_on_main(lambda: write_text(folder / CONFIG, as_json(config)))
    try:
        return [run(seed, folder if len(seeds) == 1 else folder / f"seed-{seed}") for seed in seeds]
    except KeyboardInterrupt:
        console.print(f"stopped; to go on: {command_line(*command.split(), '--resume', folder)}", soft_wrap=True)
        raise
