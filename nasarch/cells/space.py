"""Cell search spaces: input nodes, inner nodes, edges, operations and cell kinds. Knows no network and no torch.

| space | cell kinds (Z) | inputs | inner nodes | an inner node reads | output of a cell |
|---|---|---|---|---|---|
| `darts` (Liu et al. 2019) | normal, reduction | c_{k-2}, c_{k-1} | 4 | any earlier node | concatenation of the inner nodes |
| `nats` (Dong et al. 2021) | normal | c_{k-1} | 3 | every earlier node | the last node |

Shape letters used throughout the package: Z cell kind, E edge, O operation, B batch, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

OWN_OPERATIONS: set[str] = set()  # names that `nasarch.register_operation` added to those of every space


class Edge(NamedTuple):
    """A directed edge of a cell: node `source` is read by node `target`. Nodes are numbered from 0, the inputs first."""

    source: int
    target: int


@dataclass(frozen=True, kw_only=True)
class Space:
    """The candidates [edge, operation] of every cell kind, before any search.

    `operations` are the candidates of a search, in the published order (the order of columns O); `extra_operations` may
    occur in published cells as well. `kept_edges` is how many edges a searched cell keeps for each node (None: all).
    """

    name: str
    kinds: tuple[str, ...]
    inputs: int
    nodes: int
    operations: tuple[str, ...]
    extra_operations: tuple[str, ...] = ()
    kept_edges: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_NODES:
            raise ValueError(
                f"{self.nodes} inner nodes: a cell of space {self.name!r} has 1 to {MAX_NODES}; pass nodes=4 for the papers' cell"
            )

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, ordered by target and then source (DARTS: 2 + 3 + 4 + 5 = 14): the order of rows E."""
        return tuple(Edge(i, j) for j in self.inner_nodes for i in range(j))

    @property
    def inner_nodes(self) -> range:
        return range(self.inputs, self.inputs + self.nodes)

    @property
    def legal_operations(self) -> tuple[str, ...]:
        """Operations that an edge of a finished cell may carry (`none` is the absence of the edge, except in `nats`)."""
        own = sorted(OWN_OPERATIONS.difference(self.operations))
        return (*self.operations, *(name for name in self.extra_operations if name not in self.operations), *own)

    def concat(self) -> tuple[int, ...]:
        """The nodes whose concatenation is the output of a searched cell."""
        return (self.inner_nodes[-1],) if self.name == NATS.name else tuple(self.inner_nodes)

    def check_operations(self, names: Iterable[str]) -> None:
        """Raise ValueError for an operation that is not one of the candidates."""
        for name in names:
            if name not in self.operations:
                raise ValueError(f"unknown operation {name!r} in space {self.name!r}; legal are {', '.join(self.operations)}")

    def with_operations(self, names: Iterable[str]) -> Space:
        """The same space with these candidates, in this order; `none` is one of them only if it is named.

        Raises:
            ValueError: an operation is unknown or repeated, or there is none beside `none`.
        """
        names, legal = tuple(names), SPACES[self.name].legal_operations
        for name in names:
            if name not in legal:
                register = "an own operation is registered by the file of --plugin"
                raise ValueError(f"unknown operation {name!r} in space {self.name!r}; legal are {', '.join(legal)}; {register}")
        if len(set(names)) < len(names) or not set(names) - {"none"}:
            raise ValueError(f"candidates {', '.join(names) or '(nothing)'}: name each once, and one at least that is not none")
        return replace(self, operations=names)

    def about(self) -> dict[str, Any]:
        """Name and number of nodes, and the operations if they are not those of the published space: what `space_of` takes."""
        known: dict[str, Any] = {"name": self.name, "nodes": self.nodes}
        return known if self.operations == SPACES[self.name].operations else known | {"operations": list(self.operations)}

    def with_nodes(self, nodes: int) -> Space:
        """The same space with another number of inner nodes (PC-DARTS Table 4, eDARTS)."""
        return replace(self, nodes=nodes)


MAX_NODES = 12

DARTS = Space(
    name="darts",
    kinds=("normal", "reduction"),
    inputs=2,
    nodes=4,
    operations=(
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    ),
    extra_operations=("sep_conv_7x7", "conv_7x1_1x7", "conv_3x1_1x3"),
    kept_edges=2,
)

NATS = Space(
    name="nats",
    kinds=("normal",),
    inputs=1,
    nodes=3,
    operations=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
)

SPACES = {space.name: space for space in (DARTS, NATS)}


def space_of(about: Mapping[str, Any]) -> Space:
    """The space of `Space.about`.

    Raises:
        KeyError: it has no name, or one that is not in SPACES.
        ValueError: its operations or nodes are not legal.
    """
    space = SPACES[about["name"]].with_nodes(about["nodes"])
    return space.with_operations(about["operations"]) if "operations" in about else space
