"""Which nodes of a cell exist, and when two cells are the same."""

import pytest

from nasarch.cells.genotype import Cell, GenotypeError, Op, resolve


def test_nodes_without_edges_are_left_out_with_the_edges_that_read_them() -> None:
    cell = resolve("fair_darts_c_cifar").cells["normal"]
    assert cell.live == cell.live_concat == (2, 4, 5)
    assert cell.edges_of(5) == (Op("sep_conv_3x3", 0),)
    assert cell.edges_of(3) == ()
    assert cell.nodes[3] == (Op("skip_connect", 3), Op("sep_conv_3x3", 0))


def test_a_chain_from_a_node_without_edges_is_left_out_as_a_whole() -> None:
    skip = "skip_connect"
    cell = Cell(((), (Op(skip, 2),), (Op(skip, 3), Op(skip, 2)), (Op("sep_conv_3x3", 4), Op(skip, 0)), (Op(skip, 5),)), (2, 4, 5, 6))
    assert cell.live == (5, 6) == cell.live_concat
    assert [cell.edges_of(j) for j in cell.inner_nodes] == [(), (), (), (Op(skip, 0),), (Op(skip, 5),)]


def test_a_node_of_none_exists() -> None:
    cell = resolve("snas_aggressive_cifar").cells["reduction"]
    assert cell.live == cell.live_concat == (2, 3, 4, 5)
    assert cell.edges_of(5) == (Op("none", 1), Op("none", 0))


def test_edges_that_occur_twice_count_twice() -> None:
    assert Cell(((Op("skip_connect", 0),) * 2,), (2,)) != Cell(((Op("skip_connect", 0),),), (2,))


def test_the_order_of_edges_within_a_node_makes_no_difference_but_the_node_does() -> None:
    one, other = Op("skip_connect", 0), Op("sep_conv_3x3", 1)
    cell = Cell(((one, other), (other,)), (2, 3))
    assert cell == Cell(((other, one), (other,)), (2, 3)) and hash(cell) == hash(Cell(((other, one), (other,)), (2, 3)))
    assert cell != Cell(((one,), (other, other)), (2, 3))
    assert cell != Cell(((one, other), (other,)), (3,))


def test_a_source_may_be_any_earlier_node_counted_from_the_inputs() -> None:
    assert Cell(((Op("none", 0),), (Op("none", 1),)), (2,), inputs=1).inner_nodes == range(1, 3)
    with pytest.raises(GenotypeError, match=r"node 1: source 1 .*precedes its node: write one of 0 to 0"):
        Cell(((Op("none", 1),),), (1,), inputs=1)
