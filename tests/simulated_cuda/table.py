"""Kernels and bytes of a step of each method, at the sizes of its paper."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.simulated_cuda.ledger import Ledger
from tests.simulated_cuda.steps import SMALL, STEP, Shape, step
from tests.simulated_cuda.watch import SimulatedCuda

PRECISIONS = ("float32", "bf16")
WIDE, SMALLER = Shape(4, 16, 8, 256, 32), Shape(4, 16, 8, 64, 32)


class Row(NamedTuple):
    title: str
    supernet: str
    update: str
    shape: Shape


ROWS = (
    Row("FTSO", "ftso", "first_order", WIDE),
    Row("PC-DARTS", "pc-darts", "first_order", WIDE),
    Row("PC-DARTS, warm-up", "pc-darts", "weights_only", WIDE),
    Row("PC-DARTS, random channels", "pc-darts random", "first_order", WIDE),
    Row("DARTS, first order", "darts", "first_order", SMALLER),
    Row("DARTS, second order", "darts", "second_order", SMALLER),
    Row("DARTS, exact order", "darts", "exact_second_order", SMALLER),
    Row("DOTS, topology, 17 cells", "dots topology", "one_level", SMALLER._replace(layers=17)),
    Row("eDARTS, 5 cells", "edarts", "second_order", SMALLER._replace(layers=5)),
)


def measured(row: Row, precision: str) -> Ledger:
    """A second step."""
    with SimulatedCuda() as cuda:
        step(cuda, row.update, row.supernet, precision, row.shape)
    return cuda.ledgers[STEP]


def lines(*, small: bool = False) -> Iterator[str]:
    """A table in Markdown, line by line as it is computed; of small networks, to try it out."""
    yield f"| step | batch | {' | '.join(f'{precision}: kernels | GB' for precision in PRECISIONS)} |"
    yield "|---|---:" + "|---:" * 2 * len(PRECISIONS) + "|"
    for row in ROWS:
        one = row._replace(shape=SMALL) if small else row
        ledgers = [measured(one, precision) for precision in PRECISIONS]
        cells = [f"{ledger.kernels.total():,} | {ledger.bytes.total() / 1e9:.3g}" for ledger in ledgers]
        yield f"| {one.title} | {one.shape.batch_size} | {' | '.join(cells)} |"
