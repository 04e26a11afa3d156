"""The difference of two genotypes for people and as JSON: edges beside each other, and the cost of the same networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nasarch.cells.difference import OUTPUT, CellDifference, Difference, GraphEdge, Pair
from nasarch.cells.genotype import Cell, Genotype
from nasarch.drawing.text import OUTPUT as OUTPUT_NAME
from nasarch.drawing.text import name
from nasarch.models.catalogue import cost_of, generic_models_of
from nasarch.models.zoo import Model

MARKS = {"equal": " ", "changed": "~", "only_a": "-", "only_b": "+"}


def describe(a: Genotype, b: Genotype, compared: Difference) -> str:
    """Distance, both names, the edges of each cell kind beside each other, and the costs."""
    return "\n".join([summary(compared), "", *_origins(a, b), *_cells(a, b, compared), "", *_costs(a, b)])


def summary(compared: Difference) -> str:
    """The distance in one line, with what it is made of."""
    if not compared.distance:
        renumbered = any(cell.is_renumbered for cell in compared.cells.values())
        return f"distance 0: the cells are equal{', with their nodes in another order' if renumbered else ''}"
    how = "" if compared.is_exact else "; nodes of large cells are compared by their numbers"
    counts = (
        f"only in A {compared.count('only_a')}, only in B {compared.count('only_b')}, with another operation {compared.count('changed')}"
    )
    return f"distance {compared.distance}: edges {counts}{how}"


def _origins(a: Genotype, b: Genotype) -> Iterator[str]:
    width = max(len(a.name), len(b.name))
    for letter, one in (("A", a), ("B", b)):
        method, data = one.provenance.get("method", "unknown method"), one.provenance.get("searched_on", "unknown data")
        yield f"  {letter}  {one.name:<{width}}  {method}, searched on {data}"


def _cells(a: Genotype, b: Genotype, compared: Difference) -> Iterator[str]:
    for kind, cell in compared.cells.items():
        texts = [_texts(pair, a.cells[kind], b.cells[kind]) for pair in cell.pairs]
        width = max(len(one) for one, _ in texts)
        yield from ("", f"{kind} cell, distance {cell.distance}{_matching(cell)}", f"    {'A':<{width}}    B")
        for pair, (one, other) in zip(cell.pairs, texts, strict=True):
            yield f"  {MARKS[pair.status]} {one:<{width}}  {MARKS[pair.status]} {other}".rstrip()


def _texts(pair: Pair, a: Cell, b: Cell) -> tuple[str, str]:
    return "" if pair.a is None else edge_text(pair.a, a), "" if pair.b is None else edge_text(pair.b, b)


def edge_text(edge: GraphEdge, cell: Cell) -> str:
    """`c_{k-1} ── sep_conv_3x3 ─▶ 2`, or `2 ─▶ c_k` for an edge to the output."""
    target = OUTPUT_NAME if edge.target == OUTPUT else name(cell, edge.target)
    return f"{name(cell, edge.source):>7} ─{f'─ {edge.operation} ─' if edge.operation else ''}▶ {target}"


def _matching(cell: CellDifference) -> str:
    moved = [f"{a} of A is {b} of B" for a, b in cell.nodes.items() if a != b]
    return f"; node {', '.join(moved)}" if moved else ""


def _costs(a: Genotype, b: Genotype) -> Iterator[str]:
    yield f"{'network':<20}{'parameters of A':>18}{'of B':>14}{'B / A':>8}{'multi-adds of A':>18}{'of B':>12}{'B / A':>8}"
    for model, other in zip(generic_models_of(a), generic_models_of(b), strict=True):
        one, two = cost_of(model), cost_of(other)
        parameters = f"{one.parameters:>18,}{two.parameters:>14,}{two.parameters / one.parameters:>8.3f}"
        multi_adds = f"{one.multi_adds / 1e6:>16.1f} M{two.multi_adds / 1e6:>10.1f} M{two.multi_adds / one.multi_adds:>8.3f}"
        yield f"{_network(model):<20}{parameters}{multi_adds}"


def _network(model: Model) -> str:
    return f"{model.name}, {model.network.size}x{model.network.size}"


def as_dict(a: Genotype, b: Genotype, compared: Difference) -> dict[str, Any]:
    """The difference as a JSON object; an edge is [operation, source, target], and one to the output ["", source, -1]."""
    cells = {
        kind: {
            "distance": cell.distance,
            "nodes": {str(one): other for one, other in cell.nodes.items()},
            "edges": [{"status": pair.status, "a": _edge(pair.a), "b": _edge(pair.b)} for pair in cell.pairs],
        }
        for kind, cell in compared.cells.items()
    }
    networks = [
        {"network": one.name, "a": cost_of(one)._asdict(), "b": cost_of(other)._asdict()}
        for one, other in zip(generic_models_of(a), generic_models_of(b), strict=True)
    ]
    names = {"a": a.name, "b": b.name}
    return {**names, "distance": compared.distance, "is_exact": compared.is_exact, "cells": cells, "networks": networks}


def _edge(edge: GraphEdge | None) -> list[Any] | None:
    return None if edge is None else [edge.operation, edge.source, edge.target]
