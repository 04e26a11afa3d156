"""Stage resume: searches that are stopped in the middle and resumed, against unbroken ones; and the same seed twice.

On a CPU all of them agree bit for bit. On a GPU sums by atomic additions differ from run to run, so the difference after a stop means
something only beside that of the same seed twice; PyTorch's deterministic algorithms should make both zero.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch

from nasarch.data.dataset import Dataset
from nasarch.runtime import loop
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.options import Precision
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import SearchResult

from .context import Context
from .images import read
from .searches import finish, start

SEARCHES: tuple[tuple[str, Precision], ...] = (
    ("pc-darts, random channels", "off"),
    ("dots", "off"),
    ("ftso, operators", "fp16"),
    ("pc-darts", "bf16"),
)


def run(context: Context) -> None:
    """Each search as users have it, then with deterministic algorithms."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # what deterministic products ask for, before the first one
    loop.INTERVAL = 0.0  # a report, and so a place to stop, after every step
    data = read(context)
    for kind in ("", ", deterministic"):
        torch.use_deterministic_algorithms(bool(kind), warn_only=True)
        for name, amp in SEARCHES:
            context.attempt(f"{name}, {amp}{kind}", partial(resumed, context, data, name, amp))


def resumed(context: Context, data: Dataset, name: str, amp: Precision) -> dict[str, Any]:
    """How far losses and architecture weights are from those of an unbroken search: the same again, and stopped in the middle."""
    unbroken, again = (finish(start(context, data, name, amp)) for _ in range(2))
    path = context.scratch / f"{name}-{amp}.pt"
    path.unlink(missing_ok=True)
    checkpoint, middle = Checkpoint(path), len(unbroken[0]) // 2
    seen = list[Progress]()

    def look(progress: Progress) -> None:
        seen.append(progress)
        checkpoint.stop_requested = len(seen) >= middle

    before, nothing = finish(start(context, data, name, amp, checkpoint), look)
    if nothing is not None:
        raise AssertionError(f"the search did not stop after {middle} of {len(unbroken[0])} steps")
    after = finish(start(context, data, name, amp, Checkpoint(path)))
    broken = before + after[0], after[1]
    return {
        "steps": [len(unbroken[0]), len(broken[0])],
        "stopped_after": len(before),
        "again": apart(unbroken, again),
        "resumed": apart(unbroken, broken),
        "same_cell_again": cell(unbroken) == cell(again),
        "same_cell_resumed": cell(unbroken) == cell(broken),
    }


Run = tuple[list[Progress], SearchResult | None]


def cell(run: Run) -> Any:
    assert run[1] is not None
    return run[1].genotype


def apart(one: Run, other: Run) -> float:
    """The largest difference of a loss, or of a weight of an operation or an edge; infinite if the steps are not the same."""
    if [where(step) for step in one[0]] != [where(step) for step in other[0]]:
        return float("inf")
    assert one[1] is not None and other[1] is not None
    losses = [abs(a.loss - b.loss) for a, b in zip(one[0], other[0], strict=True)]
    weights = [float((a - b).abs().max()) for a, b in zip(one[1].weights, other[1].weights, strict=True) if a.numel()]
    return max(losses + weights)


def where(step: Progress) -> tuple[str, int, int]:
    return step.stage, step.epoch, step.step
