"""The graph of one cell: (operation, source) edges for each inner node, and the nodes that its output concatenates.

Nodes are numbered from 0, the inputs first. A node without edges is left out of the network, and so are the edges that read it
(Chu et al. 2020, FairDARTS, code); a node whose edges are all `none` exists and is zero (Xie et al. 2019, SNAS). Knows no space.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from nasarch.strict_json import shown

from .space import DARTS, MAX_NODES


class GenotypeError(ValueError):
    """A genotype that can't be: the message names the place, the value, what is legal and the remedy, in one line."""


@contextmanager
def at(where: str) -> Iterator[None]:
    """Prefix the message of what goes wrong inside with its place."""
    try:
        yield
    except ValueError as error:
        raise GenotypeError(f"{where}: {error}") from None


class Op(NamedTuple):
    """One edge of a node: `operation` applied to the output of node `source`."""

    operation: str
    source: int


@dataclass(frozen=True, eq=False)
class Cell:
    """The inner nodes of a cell, each a tuple of edges in the published order, and the nodes whose concatenation is its output.

    The first of `nodes` is node number `inputs`. Equality and hash ignore the order of the edges within a node.
    Lists and pairs are accepted for tuples and `Op`s.

    Raises:
        GenotypeError: a source does not precede its node, there is no edge at all, or the concatenation is not of inner nodes.
    """

    nodes: tuple[tuple[Op, ...], ...]
    concat: tuple[int, ...]
    inputs: int = DARTS.inputs

    def __post_init__(self) -> None:
        if type(self.inputs) is not int or not 1 <= self.inputs <= MAX_NODES:
            raise GenotypeError(f"inputs {shown(self.inputs)}; a cell has 1 to {MAX_NODES} input nodes: give 2 for DARTS' cells")
        nodes = _sequence(self.nodes, "nodes", "a list with one list of [operation, source] edges for each inner node")
        if not 1 <= len(nodes) <= MAX_NODES:
            raise GenotypeError(f"{len(nodes)} inner nodes; a cell has 1 to {MAX_NODES}: give one list of edges for each")
        object.__setattr__(self, "nodes", tuple(_node(edges, self.inputs + i) for i, edges in enumerate(nodes)))
        if not self.live:
            raise GenotypeError("no edge at all from an input; an inner node must read one: add [operation, source] edges to nodes")
        object.__setattr__(self, "concat", _concat(self.concat, self.inner_nodes))
        if not self.live_concat:
            raise GenotypeError(f"concat {list(self.concat)} has only nodes without edges; name one of the nodes {list(self.live)}")

    @property
    def inner_nodes(self) -> range:
        """The numbers of the inner nodes."""
        return range(self.inputs, self.inputs + len(self.nodes))

    @property
    def live(self) -> tuple[int, ...]:
        """The inner nodes that exist: those with at least one edge from an input or a live node (FairDARTS' networks)."""
        live = list(range(self.inputs))
        for j, edges in zip(self.inner_nodes, self.nodes, strict=True):
            if any(edge.source in live for edge in edges):
                live.append(j)
        return tuple(live[self.inputs :])

    def edges_of(self, node: int) -> tuple[Op, ...]:
        """The edges of inner node `node` without those that read a node that isn't live, in the published order."""
        sources = {*range(self.inputs), *self.live}
        return tuple(edge for edge in self.nodes[self.inner_nodes.index(node)] if edge.source in sources)

    @property
    def live_concat(self) -> tuple[int, ...]:
        """`concat` without the nodes that aren't live; its length is the multiplier of the cell's channels."""
        live = self.live
        return tuple(j for j in self.concat if j in live)

    @property
    def _key(self) -> tuple[Any, ...]:
        return self.inputs, self.concat, tuple(tuple(sorted(edges)) for edges in self.nodes)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Cell) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)


def _sequence(value: Any, name: str, legal: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise GenotypeError(f"{name} is {shown(value)}; write {legal}")
    return value


def _node(edges: Any, node: int) -> tuple[Op, ...]:
    with at(f"node {node}"):
        edges = _sequence(edges, "it", "a list of [operation, source] edges, an empty one to leave the node out")
        return tuple(_op(edge, node) for edge in edges)


def _op(edge: Any, node: int) -> Op:
    if not isinstance(edge, (list, tuple)) or len(edge) != 2:
        raise GenotypeError(f'edge {shown(edge)}; an edge is [operation, source]: write ["sep_conv_3x3", 0]')
    operation, source = edge
    if not isinstance(operation, str):
        raise GenotypeError(f'operation {shown(operation)} of edge {shown(edge)} is not a name; write a string such as "sep_conv_3x3"')
    if type(source) is not int or not 0 <= source < node:
        raise GenotypeError(f"source {shown(source)} of edge {shown(edge)}; a source precedes its node: write one of 0 to {node - 1}")
    return Op(operation, source)


def _concat(value: Any, inner: range) -> tuple[int, ...]:
    legal = f"the output concatenates inner nodes, each once, ascending, out of {inner[0]} to {inner[-1]}: write {list(inner)}"
    concat = tuple(_sequence(value, "concat", f"a list; {legal}"))
    if not concat or not all(type(j) is int and j in inner for j in concat) or list(concat) != sorted(set(concat)):
        raise GenotypeError(f"concat is {shown(value)}; {legal}")
    return concat
