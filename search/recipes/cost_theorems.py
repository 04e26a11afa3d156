"""Savings of FTSO by its Theorems 1 and 2 (2024 text, sec. 3). Counts by formula; builds and measures nothing.

n nodes (two inputs and the output among them) have n (n - 3) / 2 edges; p operations, kernel k, C channels in and out, maps of H x W:

| | operations | parameters | FLOPs of one pass through a cell |
|---|---|---|---|
| DARTS (Theorem 1) | n (n - 3) p / 2 | operations * (k^2 C + 1) C | operations * H W C (k^2 C + 1) |
| FTSO, topology (Theorem 2) | n (n - 3) / 2 | operations: a beta for each edge | operations * H W C |
| FTSO, operators (sec. 3) | 2 (n - 3) p | as DARTS' | as DARTS' |

Against DARTS, Theorem 2 has 1 / (p (k^2 C + 1) C) of the parameters and 1 / (p (k^2 C + 1)) of the FLOPs: 1.9e-8 and 9.8e-6 for the
paper's k = 5, C = 512, n = 7, p = 8. The introduction rounds to factors of 10^8 and 10^5; the first is 5.2e7 by the theorem.

Note:
    The count simplifies, in FTSO's favour. It takes every operation for a plain convolution of k x k with bias; four of DARTS' eight have
    no weights, the others are separable, and searches have 16 to 64 channels rather than 512. It counts beta for FTSO but not alpha for
    DARTS, a multiplication with its addition as one FLOP, and leaves out weighing by alpha and beta and all that both share: stem,
    preprocessing of a cell's inputs, classifier. All counts are of one image in one cell.
Note:
    The paper gives the operator search by its number of operations alone; parameters and FLOPs are Theorem 1's formula for that number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.table import Table


class Cost(NamedTuple):
    """Of one cell of a supernet."""

    operations: int
    parameters: int
    flops: int

    def over(self, other: Cost) -> tuple[float, ...]:
        """The ratio of each count to the other's."""
        return tuple(own / divisor for own, divisor in zip(self, other, strict=True))


class Costs(NamedTuple):
    """Of DARTS and of the two stages of FTSO."""

    darts: Cost
    topology: Cost
    operators: Cost

    def to_dict(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Counts, and their ratios to DARTS'."""
        return {
            name: {"count": cost._asdict(), "ratio": dict(zip(Cost._fields, cost.over(self.darts), strict=True))}
            for name, cost in self._asdict().items()
        }


def costs(*, kernel: int, channels: int, nodes: int, operations: int, size: int) -> Costs:
    """Theorems 1 and 2, for maps of `size` x `size`.

    Raises:
        ValueError: fewer than four nodes, or a number below 1.
    """
    if nodes < 4:
        raise ValueError(f"{nodes} nodes: two are inputs and one is the output; take 4 or more, 7 for DARTS' cell")
    for name, value in (("kernel", kernel), ("channels", channels), ("operations", operations), ("size", size)):
        if value < 1:
            raise ValueError(f"{name} {value}; it has to be at least 1")
    edges = nodes * (nodes - 3) // 2
    numbers = size * size * channels
    convolution = kernel**2 * channels + 1

    def convolutions(count: int) -> Cost:
        return Cost(count, count * convolution * channels, count * numbers * convolution)

    return Costs(
        darts=convolutions(edges * operations),
        topology=Cost(edges, edges, edges * numbers),
        operators=convolutions(2 * (nodes - 3) * operations),
    )


def table(costs: Costs) -> Table:
    """Counts of one cell, and below those of FTSO their ratio to DARTS'."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("", *Cost._fields):
        table.add_column(column.replace("flops", "FLOPs"), justify="right" if column else "left", no_wrap=True)
    titles = {"darts": "DARTS", "topology": "FTSO, topology search", "operators": "FTSO, operator search"}
    for name, cost in costs._asdict().items():
        table.add_row(titles[name], *(f"{count:,}" for count in cost))
        if name != "darts":
            table.add_row("  of DARTS'", *(f"{ratio:.1e}" if ratio < 0.01 else f"{ratio:.3f}" for ratio in cost.over(costs.darts)))
    return table
