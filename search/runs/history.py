"""History of edges by epoch: stretches of epochs in which something stayed the same. Knows values and cells, no files and no pictures.

Epochs count from 1 over all stages of a search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import Edge, Space
from nasarch.drawing.text import INPUTS
from nasarch.search.engine.result import Margin


class Span(NamedTuple):
    """`value` from epoch `first` to epoch `last`, both included."""

    value: str
    first: int
    last: int


class Timeline(NamedTuple):
    """The epochs of a search, or a part of them: the stages, one after the other, and their warm-ups, which train the weights alone."""

    stages: tuple[Span, ...]
    warmups: tuple[Span, ...]

    @property
    def first(self) -> int:
        return self.stages[0].first

    @property
    def last(self) -> int:
        return self.stages[-1].last

    @property
    def epochs(self) -> int:
        return self.last - self.first + 1

    def of_stage(self, stage: Span) -> Timeline:
        """That of one stage alone."""
        return Timeline((stage,), tuple(span for span in self.warmups if stage.first <= span.first <= stage.last))

    @classmethod
    def of(cls, lines: Sequence[Mapping[str, Any]]) -> Timeline:
        """From the stage and the warm-up of each epoch, as metrics.jsonl has them."""
        warmups = spans(line["stage"] if line["warmup"] else None for line in lines)
        return cls(tuple(spans(line["stage"] for line in lines)), tuple(warmups))


def spans(values: Iterable[str | None]) -> list[Span]:
    """The stretches of equal values, of the first epoch on; None is left out."""
    epochs, first = [], 1
    for value, group in groupby(values):
        count = len(list(group))
        if value is not None:
            epochs.append(Span(value, first, first + count - 1))
        first += count
    return epochs


def kept_edges(space: Space, kind: str, cells: Mapping[int, Genotype], epochs: int) -> dict[Edge, list[Span]]:
    """For every edge of the space when the present cell had it, and with which operation; epochs without a cell count as without it."""
    by_epoch = [_operations(cells[epoch], kind) if epoch in cells else {} for epoch in range(1, epochs + 1)]
    return {edge: spans([operations.get(edge) for operations in by_epoch]) for edge in space.edges}


def _operations(genotype: Genotype, kind: str) -> dict[Edge, str]:
    cell = genotype.cells[kind]
    return {Edge(op.source, j): op.operation for j, node in zip(cell.inner_nodes, cell.nodes, strict=True) for op in node}


def retained_edges(space: Space, kind: str, cells: Mapping[int, Genotype], epochs: int) -> dict[int, list[Span]]:
    """For every inner node when the present cell had which edges into it, named by their sources: "c_{k-1}, 2"."""
    by_epoch = [_operations(cells[epoch], kind) if epoch in cells else None for epoch in range(1, epochs + 1)]

    def sources(operations: Mapping[Edge, str] | None, node: int) -> str | None:
        if operations is None:
            return None
        return ", ".join(node_name(space, edge.source) for edge in sorted(operations) if edge.target == node)

    return {j: spans([sources(operations, j) for operations in by_epoch]) for j in space.inner_nodes}


def retained_operations(
    space: Space, weights_EO: Sequence[Sequence[float]], groups: Sequence[Sequence[str]]
) -> dict[Edge, tuple[str, ...]]:
    """On every edge of a cell kind the operation of greatest weight in each group (DOTS eq. 6, Tables 7 to 9)."""
    columns = [[space.operations.index(name) for name in group] for group in groups]
    return {
        edge: tuple(space.operations[max(group, key=row.__getitem__)] for group in columns)
        for edge, row in zip(space.edges, weights_EO, strict=True)
    }


def operation_count(genotype: Genotype, operation: str) -> dict[str, int]:
    """Number of edges with `operation`, for each cell kind."""
    return {kind: sum(op.operation == operation for node in cell.nodes for op in node) for kind, cell in genotype.cells.items()}


def kept_counts(runs: Sequence[Sequence[Margin]]) -> list[dict[str, Any]]:
    """For each node how often each source was kept, over the margins of several runs of the same search."""
    rows = []
    for same_node in zip(*runs, strict=True):
        counts = Counter(source for margin in same_node for source in margin.kept)
        kind, node = same_node[0][:2]
        rows.append({"kind": kind, "node": node, "kept": [counts[i] for i in range(node)], "runs": len(runs)})
    return rows


def node_name(space: Space, node: int) -> str:
    """c_{k-2}, c_{k-1}, or the number of an inner node."""
    return INPUTS[space.inputs][node] if node < space.inputs else str(node)
