"""Operations that are given: the candidates of a search of the topology alone, from a cell or a finished search (DOTS Table 5).

Table 5 searches the topology "of DARTS' searched cell", "based on its original searched operations". A derived cell has operations on two
of the edges of a node; which ones the others carry is taken from, in this order:

| an edge | carries |
|---|---|
| that the cell has | its operation there |
| that the cell lacks, but the search has weights for | the strongest one that is not `none` (DARTS' rule, by weights.json) |
| any other | the operations of its node's own edges, among which the topology search chooses: the cell with its edges moved |
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cells.space import Space
from nasarch.search.engine.discretize import strongest_operations
from nasarch.search.engine.result import ArchitectureWeights


def given_candidates(space: Space, origin: str) -> Tensor:
    """Candidate operations of a topology search: a mask [Z, E, O].

    Args:
        origin: zoo name or path of a genotype, or the folder of a finished search.

    Raises:
        ValueError: there is no such cell, it is of another space or number of nodes, has operations that are no candidates of the space,
            or a node without any.
    """
    folder = Path(origin).expanduser()
    is_run = folder.is_dir()
    cells = Genotype.load(folder / "genotype.json") if is_run else resolve(origin)
    nodes = {len(cell.nodes) for cell in cells.cells.values()}
    if cells.space != space.name or nodes != {space.nodes}:
        actual = f"space {cells.space!r} with {max(nodes)} inner nodes"
        raise ValueError(
            f"--operations-from {origin}: its cells are of {actual}, searched are {space.nodes} of {space.name!r}: set --nodes"
        )
    names_ZE: list[list[str]] | None = None
    if is_run:
        weights_ZEO = ArchitectureWeights.load(folder / "weights.json", "give the folder of a finished search").operations_ZEO
        if weights_ZEO.shape != (len(space.kinds), len(space.edges), len(space.operations)):
            raise ValueError(f"{folder / 'weights.json'} has a table {list(weights_ZEO.shape)}, of other cells: search again")
        names_ZE = [
            [name if row.any() else "" for name, row in zip(names, rows, strict=True)]
            for names, rows in zip(strongest_operations(space, weights_ZEO), weights_ZEO, strict=True)
        ]
    mask = torch.zeros(len(space.kinds), len(space.edges), len(space.operations), dtype=torch.bool)
    for z, kind in enumerate(space.kinds):
        for e, (source, target) in enumerate(space.edges):
            of_node = [op for op in cells.cells[kind].nodes[target - space.inputs] if op.operation != "none"]
            own = [op.operation for op in of_node if op.source == source]
            strongest = [names_ZE[z][e]] if names_ZE is not None and names_ZE[z][e] else []
            names = own or strongest or [op.operation for op in of_node]
            space.check_operations(names)
            mask[z, e, [space.operations.index(name) for name in names]] = True
    return mask
