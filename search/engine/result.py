"""Search result: the cells, the architecture weights they were derived from, and the margin of each choice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype
from nasarch.runtime.json_files import read_object, reading

DECIMALS = 7  # of a weight in a file, as many as float32 has
NO_PAIRS = NOT_ANNEALED = torch.zeros(0)


class Margin(NamedTuple):
    """The choice at a node: `weights` of its incoming edges by source, the sources kept (strongest first) and the best one dropped.

    `lead` is by how much the last one kept leads that one; None where nothing is dropped.
    """

    kind: str
    node: int
    weights: tuple[float, ...]
    kept: tuple[int, ...]
    dropped: int | None
    lead: float | None


class ArchitectureWeights(NamedTuple):
    """Architecture weights, from which a cell is derived: of operations [Z, E, O] and of edges [Z, E], zero where nothing is a candidate.

    Where edges are weighted in pairs, theirs too, as at temperature 1: [Z, N, S] in the order of itertools.combinations; else nothing.
    Where operations are weighted at another temperature than 1, also their weights without annealing (DOTS Fig. 3b): [Z, E, O].
    """

    operations_ZEO: Tensor
    edges_ZE: Tensor
    pairs_ZNS: Tensor = NO_PAIRS
    unannealed_ZEO: Tensor = NOT_ANNEALED

    def to_lists(self) -> dict[str, Any]:
        """For JSON."""
        more = {"pairs": self.pairs_ZNS, "unannealed": self.unannealed_ZEO}
        return {
            "operations": _lists(self.operations_ZEO),
            "edges": _lists(self.edges_ZE),
            **{name: _lists(table) for name, table in more.items() if len(table)},
        }

    @classmethod
    def from_lists(cls, lists: Mapping[str, Any]) -> ArchitectureWeights:
        """What `to_lists` gave."""
        pairs, unannealed = (torch.tensor(lists.get(name, [])) for name in ("pairs", "unannealed"))
        return cls(torch.tensor(lists["operations"]), torch.tensor(lists["edges"]), pairs, unannealed)

    @classmethod
    def load(cls, path: Path, remedy: str) -> ArchitectureWeights:
        """From a JSON file.

        Raises:
            ValueError: the file is damaged or missing: names it and the remedy.
        """
        lists = read_object(path, remedy)
        with reading(path, remedy):
            return cls.from_lists(lists)

    def detached(self) -> ArchitectureWeights:
        """On the CPU, without gradients."""
        return ArchitectureWeights(*(table.detach().cpu() for table in self))


def _lists(table: Tensor) -> list[Any]:
    return torch.round(table.detach().cpu().double(), decimals=DECIMALS).tolist()


class SearchResult(NamedTuple):
    """Result of a search: the cells, the margins of each node's choice of edges, and the architecture weights."""

    genotype: Genotype
    margins: list[Margin]
    weights: ArchitectureWeights
