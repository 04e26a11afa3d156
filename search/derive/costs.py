"""Additive cost model of a network by the operations of its cells, exact: parameters, multi-adds and skip connections.

The cells of a network share their genotype, so an edge's operation costs the sum over all cells of its kind, whatever the other edges
carry; stem, preprocessing, classifier are fixed, since the first node of a searched cell reads both inputs. Edges from an input of a
reduction cell have stride 2, others 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from nasarch.cells.genotype import Cell, Genotype, Op
from nasarch.cells.space import Space
from nasarch.models.cost import edge_cost, network_cost
from nasarch.models.zoo import Model

SKIP = "skip_connect"


class Figures(NamedTuple):
    """Multi-adds and parameters of a network, and skip connections of its normal cell."""

    multi_adds: int
    parameters: int
    skips: int

    def minus(self, others: Iterable[Figures]) -> Figures:
        """These figures without the sum of `others`."""
        return Figures(*(total - sum(parts) for total, parts in zip(self, zip(*others, strict=True), strict=True)))


def figures(model: Model, genotype: Genotype) -> Figures:
    """The figures of the network `model` with these cells."""
    network = model.network
    cost = network_cost(
        genotype, stem=network.stem, cells=network.cells, channels=network.channels, size=network.size, num_classes=model.data.num_classes
    )
    return Figures(cost.multi_adds, cost.parameters, sum(op.operation == SKIP for node in genotype.cells["normal"].nodes for op in node))


@dataclass(frozen=True)
class CostModel:
    """Figures of a network as a sum: `fixed` ones, and those of each operation of its cells."""

    fixed: Figures
    operations: Mapping[tuple[str, str, bool], Figures]  # by cell kind, operation, and whether the edge reads an input of the cell

    @classmethod
    def of(cls, space: Space, model: Model) -> CostModel:
        """Of the cells of `space` in the network `model`."""
        names = [name for name in space.operations if name != "none"]
        cell = Cell(
            tuple(tuple(Op(names[0], i) for i in range(space.kept_edges or j)) for j in space.inner_nodes), space.concat(), space.inputs
        )
        reference = Genotype("reference", space.name, dict.fromkeys(space.kinds, cell))
        _, stem, cells, channels, size, _ = model.network
        costs = {}
        for kind, name, reads_input in product(space.kinds, names, (True, False)):
            cost = edge_cost(reference, kind, name, reads_input, stem=stem, cells=cells, channels=channels, size=size)
            costs[kind, name, reads_input] = Figures(cost.multi_adds, cost.parameters, int((kind, name) == ("normal", SKIP)))
        edges = [costs[kind, op.operation, op.source < space.inputs] for kind in space.kinds for node in cell.nodes for op in node]
        return cls(figures(model, reference).minus(edges), costs)
