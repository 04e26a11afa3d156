"""Cells of a search space, drawn at random or all with one operation."""

from __future__ import annotations

import random

from .genotype import Cell, Genotype, Op
from .space import Space


def random_cells(space: Space, generator: random.Random, name: str) -> Genotype:
    """Cells drawn uniformly: the sources of each node, and an operation other than `none` on each edge that it keeps."""
    operations = [operation for operation in space.operations if operation != "none"]
    cells = {}
    for kind in space.kinds:
        nodes = []
        for j in space.inner_nodes:
            sources = sorted(generator.sample(range(j), min(j, space.kept_edges or j)))
            nodes.append(tuple(Op(generator.choice(operations), i) for i in sources))
        cells[kind] = Cell(tuple(nodes), space.concat(), space.inputs)
    return Genotype(name, space.name, cells, {"method": "random"})


def uniform_cells(space: Space) -> Genotype:
    """Cells of the form that a search finds: each node reads the first nodes, by the first operation other than `none`."""
    operation = next(name for name in space.operations if name != "none")
    nodes = tuple(tuple(Op(operation, i) for i in range(space.kept_edges or j)) for j in space.inner_nodes)
    return Genotype("uniform", space.name, dict.fromkeys(space.kinds, Cell(nodes, space.concat(), space.inputs)))
