"""The topologies of a cell: how many there are, and which of them are the same graph."""

from __future__ import annotations

from nasarch.search.edarts import read_path
from nasarch.search.rank_topologies import canonical, chain, pooled, read, topologies, unified, written
from nasarch.space import DARTS


def test_there_are_180_different_topologies_of_four_nodes() -> None:
    paths = topologies()
    assert len(set(paths)) == len(paths) == 1 * 3 * 6 * 10 and paths == sorted(paths)
    assert all(written(read_path(path, DARTS)) == path == written(read(path)) for path in paths)
    assert len({unified(path) for path in paths}) == 180 == len({pooled(path, chain(4)) for path in paths})
    assert [len(topologies(DARTS.with_nodes(nodes))) for nodes in (1, 2, 3)] == [1, 3, 18]


def test_some_of_them_are_the_same_graph() -> None:
    assert canonical("01-01-02-13") == canonical("01-01-03-12") == "01-01-02-13"  # nodes 2 and 3 change places
    assert canonical("01-12-23-34") == "01-12-23-34"
    graphs = {canonical(path) for path in topologies()}
    assert len(graphs) == 79 and all(canonical(graph) == graph for graph in graphs)


def test_stage_one_pools_in_the_reduction_cell_and_stage_two_has_one_path() -> None:
    first, second = pooled("01-02-13-04", chain(4)), unified("01-02-13-04")
    assert {op.operation for node in first.cells["normal"].nodes for op in node} == {"sep_conv_3x3"}
    assert {op.operation for node in first.cells["reduction"].nodes for op in node} == {"max_pool_3x3"}
    assert chain(4) == "01-12-23-34" == written([[op.source for op in node] for node in first.cells["reduction"].nodes])
    assert second.cells["normal"] == second.cells["reduction"] == first.cells["normal"]
