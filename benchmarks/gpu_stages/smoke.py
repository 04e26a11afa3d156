"""Stage smoke: whether every method runs to its end in every precision that is legal for it, and refuses the others."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from nasarch.compute import AUTOCAST_DTYPES
from nasarch.data.dataset import Dataset
from nasarch.runtime.options import Precision

from .context import Context
from .images import read
from .searches import SEARCHES, finish, start


def run(context: Context) -> None:
    """Each search in float32, then each in bf16, then each in fp16."""
    data = read(context)
    chosen = {name: search for name, search in SEARCHES.items() if name in (context.cases or SEARCHES)}
    for amp in (amp for amp in AUTOCAST_DTYPES if amp in context.precisions):
        for name, search in chosen.items():
            is_legal = search.fp16 or amp != "fp16"
            context.attempt(f"{name}, {amp}", partial(searched if is_legal else refused, context, data, name, amp))  # type: ignore[arg-type]


def searched(context: Context, data: Dataset, name: str, amp: Precision) -> dict[str, Any]:
    """A whole search: its seconds, its steps, the losses of its first and last epoch, and the cell."""
    begin = time.perf_counter()
    reports, found = finish(start(context, data, name, amp))
    assert found is not None
    ends = [report for report in reports if report.ends_epoch]
    edges = [edge for nodes in found.genotype.cells.values() for node in nodes.nodes for edge in node]
    return {
        "seconds": time.perf_counter() - begin,
        "steps": sum(report.steps for report in ends),
        "loss": ends[-1].loss,
        "loss_before": ends[0].loss,
        "edges": len(edges),
        "genotype": found.genotype.to_dict()["cells"],
    }


def refused(context: Context, data: Dataset, name: str, amp: Precision) -> dict[str, Any]:
    """The words with which the search is refused.

    Raises:
        AssertionError: it is not refused.
    """
    try:
        finish(start(context, data, name, amp))
    except ValueError as error:
        return {"refused": str(error)}
    raise AssertionError(f"{name} was searched in {amp}, whose loss scaling it can't have")
