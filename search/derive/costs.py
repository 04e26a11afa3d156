"""Additive cost model of a network by the operations of its cells: parameters, multi-adds and skip connections, exact, and latency.

The cells of a network share their genotype, so an edge's operation costs the sum over all cells of its kind, whatever the other edges
carry; stem, preprocessing, sums, concatenation, classifier are fixed, since the first node of a searched cell reads both inputs. Edges
from an input of a reduction cell have stride 2, others 1. Latency is the prediction of a latency table (nasarch/latency/table.py), rounded
to integer microseconds for each operation: sums are exact, and a front has no more cells than its range has microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from nasarch.cells.genotype import Genotype
from nasarch.cells.random_cells import uniform_cells
from nasarch.cells.space import Space
from nasarch.latency.table import LatencyTable
from nasarch.models.cost import edge_cost, network_cost
from nasarch.models.zoo import Model

SKIP = "skip_connect"
MICROSECONDS = 1e3  # of a millisecond


class Figures(NamedTuple):
    """Multi-adds, parameters and predicted latency (µs; 0 without a latency table) of a network, skip connections of its normal cell."""

    multi_adds: int
    parameters: int
    skips: int
    latency: int = 0

    def minus(self, others: Iterable[Figures]) -> Figures:
        """These figures without the sum of `others`."""
        return Figures(*(total - sum(parts) for total, parts in zip(self, zip(*others, strict=True), strict=True)))

    def facts(self) -> dict[str, Any]:
        """The figures by name, for a file; latency in milliseconds, if there is one."""
        facts = self._asdict()
        latency = facts.pop("latency")
        return facts | ({"predicted_latency_ms": latency / MICROSECONDS} if latency else {})


def figures(model: Model, genotype: Genotype, table: LatencyTable | None = None) -> Figures:
    """The figures of the network `model` with these cells."""
    cost = network_cost(genotype, **model.skeleton, num_classes=model.data.num_classes)
    skips = sum(op.operation == SKIP for node in genotype.cells["normal"].nodes for op in node)
    return Figures(cost.multi_adds, cost.parameters, skips, 0 if table is None else _microseconds(table, table.added_ms(genotype)))


def _microseconds(table: LatencyTable, added_ms: float) -> int:
    return round(MICROSECONDS * table.scale * added_ms)


@dataclass(frozen=True)
class CostModel:
    """Figures of a network as a sum: `fixed` ones, and those of each operation of its cells."""

    fixed: Figures
    operations: Mapping[tuple[str, str, bool], Figures]  # by cell kind, operation, and whether the edge reads an input of the cell

    @classmethod
    def of(cls, space: Space, model: Model, table: LatencyTable | None = None) -> CostModel:
        """Of the cells of `space` in the network `model`, with latencies of `table`.

        Raises:
            ValueError: the table is of another network, or has not all operations of the space.
        """
        if table is not None:
            table.check_fits(space, model)
        reference, costs = uniform_cells(space), {}
        names = [name for name in space.operations if name != "none"]
        for kind, name, reads_input in product(space.kinds, names, (True, False)):
            cost = edge_cost(reference, kind, name, reads_input, **model.skeleton)
            latency = 0 if table is None else _microseconds(table, table.edge_ms(reference, kind, name, reads_input))
            costs[kind, name, reads_input] = Figures(cost.multi_adds, cost.parameters, int((kind, name) == ("normal", SKIP)), latency)
        edges = [
            costs[kind, op.operation, op.source < space.inputs]
            for kind in space.kinds
            for node in reference.cells[kind].nodes
            for op in node
        ]
        return cls(figures(model, reference, table).minus(edges), costs)
