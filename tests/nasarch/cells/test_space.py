"""The spaces have the published numbers of edges, in the order that everything else counts on."""

import dataclasses

import pytest

from nasarch.cells.space import DARTS, MAX_NODES, NATS, SPACES, Edge, Space


@pytest.mark.parametrize(("space", "edges", "candidates"), [(DARTS, 14, 8), (NATS, 6, 5)])
def test_number_of_edges_and_operations_is_the_papers(space: Space, edges: int, candidates: int) -> None:
    assert len(space.edges) == edges
    assert len(space.operations) == len(set(space.operations)) == candidates


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("nodes", [1, 3, 4, 5, MAX_NODES])
def test_every_inner_node_reads_every_earlier_node_once_in_order(space: Space, nodes: int) -> None:
    space = space.with_nodes(nodes)
    assert space.edges == tuple(sorted(set(space.edges), key=lambda edge: (edge.target, edge.source)))
    for node in space.inner_nodes:
        assert [source for source, target in space.edges if target == node] == list(range(node))
    assert len(space.inner_nodes) == nodes


def test_darts_edges_begin_with_those_of_the_first_node() -> None:
    assert DARTS.edges[:5] == (Edge(0, 2), Edge(1, 2), Edge(0, 3), Edge(1, 3), Edge(2, 3))


def test_output_is_all_inner_nodes_in_darts_and_the_last_in_nats() -> None:
    assert DARTS.concat() == (2, 3, 4, 5)
    assert DARTS.with_nodes(5).concat() == (2, 3, 4, 5, 6)
    assert NATS.concat() == (3,)
    assert NATS.with_nodes(2).concat() == (2,)


def test_another_number_of_nodes_changes_nothing_else() -> None:
    assert DARTS.with_nodes(5).with_nodes(4) == DARTS
    assert DARTS.with_nodes(5).legal_operations == DARTS.legal_operations


def test_published_cells_may_have_operations_that_no_search_has() -> None:
    assert set(DARTS.legal_operations) - set(DARTS.operations) == {"sep_conv_7x7", "conv_7x1_1x7", "conv_3x1_1x3"}
    assert NATS.legal_operations == NATS.operations


@pytest.mark.parametrize("nodes", [0, -1, MAX_NODES + 1])
def test_an_impossible_number_of_nodes_is_refused(nodes: int) -> None:
    with pytest.raises(ValueError, match=rf"{nodes} inner nodes.*1 to {MAX_NODES}.*nodes=4"):
        DARTS.with_nodes(nodes)


def test_a_space_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DARTS.nodes = 5  # type: ignore[misc]


def test_spaces_are_found_by_their_name() -> None:
    assert SPACES == {"darts": DARTS, "nats": NATS}
