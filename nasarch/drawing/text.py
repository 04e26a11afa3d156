"""Text drawings of cells, and the names of a cell's nodes in drawings and text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nasarch.cells.genotype import Cell, Genotype, Op, resolve

INPUTS = {1: ("c_{k-1}",), 2: ("c_{k-2}", "c_{k-1}")}
OUTPUT = "c_k"
NOTES = {"reduction": "edges from the inputs have stride 2"}


def text(genotype: Genotype | str | os.PathLike[str] | Mapping[str, Any]) -> str:
    """All cells of `genotype` (a value, a name of the zoo, a file, a plain dict) in lines of text.

    The edges of a node run into it, in their published order; edges and nodes that a network leaves out are named as such:

        normal cell
          c_{k-1} ── sep_conv_3x3 ──┐
          c_{k-2} ── skip_connect ──┴─▶ 2
    """
    return "\n\n".join("\n".join(_lines(kind, cell)) for kind, cell in resolve(genotype).cells.items())


def name(cell: Cell, node: int) -> str:
    """c_{k-2}, c_{k-1}, or the number of an inner node."""
    return INPUTS[cell.inputs][node] if node < cell.inputs else str(node)


def _lines(kind: str, cell: Cell) -> Iterator[str]:
    yield f"{kind} cell ({NOTES[kind]})" if kind in NOTES else f"{kind} cell"
    widest = max(len(op.operation) for edges in cell.nodes for op in edges)
    for node, edges in zip(cell.inner_nodes, cell.nodes, strict=True):
        kept = cell.edges_of(node)
        yield from _node_lines(cell, node, kept, widest)
        for op in edges:
            if op not in kept:
                yield f"  {name(cell, op.source):>7} ╌╌ {op.operation} ╌╌ ignored: node {op.source} is left out"
        if not kept:
            yield f"  {'':7}    node {node} is left out: it has no edge"
    nodes = ", ".join(map(str, cell.live_concat))
    yield f"  {OUTPUT} = concat({nodes})" if len(cell.live_concat) > 1 else f"  {OUTPUT} = {nodes}"


def _node_lines(cell: Cell, node: int, edges: Sequence[Op], widest: int) -> Iterator[str]:
    """One line for each edge; brackets join them into the node, whose number stands at the last one."""
    for rank, op in enumerate(edges):
        last = rank == len(edges) - 1
        bracket = ("┴" if rank else "─") + f"─▶ {node}" if last else "┤" if rank else "┐"
        yield f"  {name(cell, op.source):>7} ── {op.operation} {'─' * (widest - len(op.operation) + 2)}{bracket}"
