"""Kernels and bytes of one search step of each method at the sizes of its paper, counted on simulated CUDA tensors: no GPU is needed.

A step's kernels are the operations that PyTorch dispatches and that are no views, its bytes those of the tensors that they read and write
(tests/simulated_cuda). One operation counts as one kernel, though cuDNN starts several for some, and a `foreach` operation one for some
dozens of tensors. Literal is the twin of tests/helpers/reference.py, a module for each edge and operation, under the same update, which
asks for the wanted gradients alone (the published codes compute all and throw half of them away). Its channels are never sampled.

    python benchmarks/step_cost.py [--out benchmarks/results/step-cost.json]    (ten minutes)
    python benchmarks/step_cost.py --only PC-DARTS FTSO
    python benchmarks/step_cost.py --show benchmarks/results/step-cost.json     (the table of docs/gpu.md)
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:
    import checkout  # noqa: F401

from tests.simulated_cuda import stub


class Row(NamedTuple):
    """A step: the supernet and the update of tests/simulated_cuda/steps.py, the batch size and the cells."""

    supernet: str
    update: str
    batch_size: int
    layers: int = 8


ROWS = {
    "FTSO": Row("ftso", "first_order", 256),
    "PC-DARTS": Row("pc-darts", "first_order", 256),
    "PC-DARTS, warm-up": Row("pc-darts", "weights_only", 256),
    "PC-DARTS, random channels": Row("pc-darts random", "first_order", 256),
    "DARTS, first order": Row("darts", "first_order", 64),
    "DARTS, second order": Row("darts", "second_order", 64),
    "DARTS, exact order": Row("darts", "exact_second_order", 64),
    "DOTS, topology, 17 cells": Row("dots topology", "one_level", 64, 17),
    "eDARTS, 5 cells": Row("edarts", "second_order", 64, 5),
}
FORMS = {"literal, float32": ("float32", True), "float32": ("float32", False), "bf16": ("bf16", False)}
SAMPLED = "PC-DARTS, random channels"


def count(row: Row, precision: str, *, literal: bool, small: bool) -> dict[str, float]:
    """Kernels and GB of a second step. The stub of CUDA's runtime has to be loaded."""
    from tests.simulated_cuda.steps import SMALL, STEP, Shape, step
    from tests.simulated_cuda.watch import SimulatedCuda

    shape = SMALL if small else Shape(4, 16, row.layers, row.batch_size, 32)
    with SimulatedCuda() as cuda:
        step(cuda, row.update, row.supernet, precision, shape, literal=literal)
    ledger = cuda.ledgers[STEP]
    return {"kernels": ledger.kernels.total(), "GB": float(f"{ledger.bytes.total() / 1e9:.3g}")}


def counts(names: list[str], *, small: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The figures of each step."""
    for name in names:
        forms = {form: told for form, told in FORMS.items() if not (told[1] and name == SAMPLED)}
        found = {form: count(ROWS[name], precision, literal=literal, small=small) for form, (precision, literal) in forms.items()}
        yield name, {"batch": ROWS[name].batch_size, **found}


def header() -> list[str]:
    return [f"| step | batch | {' | '.join(f'{form}: kernels | GB' for form in FORMS)} |", "|---|---:" + "|---:" * 2 * len(FORMS) + "|"]


def line(name: str, figures: Mapping[str, Any]) -> str:
    """A row of the table in Markdown."""
    cells = [f"{figures[form]['kernels']:,} | {figures[form]['GB']:.3g}" if form in figures else "- | -" for form in FORMS]
    return f"| {name} | {figures['batch']} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="STEP", help=", ".join(ROWS))
    parser.add_argument("--small", action="store_true", help="tiny networks, to see that it runs")
    parser.add_argument("--out", type=Path, help="file for the figures")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print the table of figures that were counted before, and end")
    told = parser.parse_args()
    if told.show:
        print("\n".join([*header(), *(line(*item) for item in json.loads(told.show.read_text(encoding="utf-8"))["steps"].items())]))
        return
    if (reason := stub.why_not()) is not None:
        parser.error(reason)
    stub.load()
    import torch

    from benchmarks.measure import keep

    print("\n".join(header()), flush=True)
    found: dict[str, Any] = {}
    for name, figures in counts(told.only, small=told.small):
        found[name] = figures
        print(line(name, figures), flush=True)
        keep({"torch": torch.__version__, "steps": found}, told.out)


if __name__ == "__main__":
    main()
