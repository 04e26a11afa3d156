"""Random cells of a search space."""

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
