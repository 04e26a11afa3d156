"""A cell computes what its genotype says, and builds no more; drop path drops whole edges, never identities."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nasarch.cells.genotype import Cell as CellGenotype
from nasarch.cells.genotype import Genotype
from nasarch.models.cell import Cell, Node
from nasarch.models.network import CellNetwork


def darts(normal: list, concat: list[int] | None = None, reduction: list | None = None) -> Genotype:
    concat = concat or list(range(2, 2 + len(normal)))
    cells = {"normal": CellGenotype(normal, concat), "reduction": CellGenotype(reduction or normal, concat)}
    return Genotype("cell", "darts", cells)


def build_cell(genotype: CellGenotype, **kwargs: Any) -> Cell:
    torch.manual_seed(0)
    return Cell(genotype, 6, 10, 4, **kwargs).eval()


def cell_inputs(previous_is_larger: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    size = 14 if previous_is_larger else 7
    return torch.randn(2, 6, size, size, generator=generator), torch.randn(2, 10, 7, 7, generator=generator)


def literal(cell: Cell, genotype: CellGenotype, previous: Tensor, current: Tensor, stride: int) -> Tensor:
    """The output of a cell, computed from the genotype alone with the cell's own operations, each after a ReLU of its own."""
    states = {0: cell.preprocess[0](previous), 1: cell.preprocess[1](current)}
    for j in genotype.live:
        modules = iter(cell.nodes[str(j)].edges)
        terms = []
        for edge in genotype.edges_of(j):
            x = states[edge.source]
            begins_with_relu = "conv" in edge.operation or (edge.operation == "skip_connect" and stride == 2 and edge.source < 2)
            if edge.operation != "none":
                terms.append(next(modules)(x.relu() if begins_with_relu else x))
        states[j] = sum(terms)
    return torch.cat([states[j] for j in genotype.live_concat], dim=1)


MANY_EDGES = [
    [["sep_conv_3x3", 0], ["max_pool_3x3", 1], ["skip_connect", 1]],
    [["dil_conv_5x5", 2]],
    [["avg_pool_3x3", 3], ["sep_conv_5x5", 3], ["skip_connect", 0], ["conv_7x1_1x7", 2]],
]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("previous_is_larger", [False, True])
@pytest.mark.parametrize("concat", [[2, 3, 4], [3, 4]])
def test_a_cell_sums_its_edges_and_concatenates_its_nodes(stride: int, previous_is_larger: bool, concat: list[int]) -> None:
    genotype = CellGenotype(MANY_EDGES, concat)
    cell, inputs = build_cell(genotype, stride=stride, previous_is_larger=previous_is_larger), cell_inputs(previous_is_larger)
    out = cell(*inputs)
    assert out.shape == (2, cell.out_channels, math.ceil(7 / stride), math.ceil(7 / stride)) and cell.out_channels == 4 * len(concat)
    torch.testing.assert_close(out, literal(cell, genotype, *inputs, stride))


def test_a_node_without_edges_is_left_out_with_the_edges_that_read_it() -> None:
    edges = [["sep_conv_3x3", 1], ["skip_connect", 0]]
    genotype = CellGenotype([edges, [], [["skip_connect", 2], ["sep_conv_5x5", 3]]], [2, 3, 4])
    cell = build_cell(genotype)
    assert cell.out_channels == 8 and list(cell.nodes) == ["2", "4"] and len(cell.nodes["4"].edges) == 1
    out = cell(*cell_inputs())
    torch.testing.assert_close(out[:, :4], out[:, 4:])  # node 4 is node 2


@pytest.mark.parametrize("stride", [1, 2])
def test_a_node_of_none_edges_exists_and_is_zero_even_next_to_infinite_values(stride: int) -> None:
    genotype = CellGenotype([[["none", 0], ["none", 1]], [["skip_connect", 1], ["none", 0], ["max_pool_3x3", 2]]], [2, 3])
    cell = build_cell(genotype, stride=stride)
    previous, current = cell_inputs()
    out = cell(torch.full_like(previous, math.inf), current)
    assert out.shape[1] == 8 and not out[:, :4].any() and out[:, 4:].isfinite().all()


def test_what_the_output_does_not_depend_on_is_not_built() -> None:
    genotype = CellGenotype([[["sep_conv_3x3", 0]], [["sep_conv_3x3", 1]], [["skip_connect", 3]]], [4])
    cell = build_cell(genotype)
    assert list(cell.nodes) == ["3", "4"] and isinstance(cell.preprocess[0], nn.Identity)
    cell(*cell_inputs()).sum().backward()
    assert all(p.grad is not None for p in cell.parameters())


@pytest.mark.parametrize("nodes", [3, 5, 12])
def test_cells_of_any_number_of_nodes_make_a_network(nodes: int) -> None:
    model = CellNetwork(darts([[["sep_conv_3x3", j], ["skip_connect", j + 1]] for j in range(nodes)]), num_classes=5, cells=3, channels=4)
    assert model.num_features == 16 * nodes and model(torch.randn(2, 3, 16, 16)).shape == (2, 5)


def test_weights_are_named_by_the_published_order_of_the_edges() -> None:
    first = darts([[["sep_conv_3x3", 1], ["max_pool_3x3", 0]]])
    second = darts([[["max_pool_3x3", 0], ["sep_conv_3x3", 1]]])
    names = [set(CellNetwork(g, cells=3, channels=4).state_dict()) for g in (first, second)]
    assert first == second and "cells.0.nodes.2.edges.0.op.1.weight" in names[0] and "cells.0.nodes.2.edges.1.op.1.weight" in names[1]


# --- drop path ---------------------------------------------------------------------------------------------------------------


def test_drop_path_drops_whole_edges_of_single_samples() -> None:
    edge = build_cell(CellGenotype([[["sep_conv_3x3", 1]]], [2]), drop_path_rate=0.5).nodes["2"].edges[0]
    x = torch.randn(64, 4, 6, 6)
    torch.manual_seed(0)
    edge.train()
    kept = edge(x).flatten(1).abs().sum(1) > 0
    torch.testing.assert_close(edge.drop_path(torch.ones(64, 1)).unique(), torch.tensor([0.0, 2.0]))
    assert 0.2 < kept.float().mean() < 0.8
    assert (edge.eval()(x).flatten(1).abs().sum(1) > 0).all()


def test_identities_are_never_dropped_but_their_strided_form_is() -> None:
    genotype = CellGenotype([[["skip_connect", 1]]], [2])
    inputs = torch.randn(64, 6, 8, 8), torch.randn(64, 10, 8, 8)
    normal = Cell(genotype, 6, 10, 4, drop_path_rate=0.9)
    torch.testing.assert_close(normal(*inputs), normal.preprocess[1](inputs[1]))
    strided = Cell(genotype, 6, 10, 4, stride=2, drop_path_rate=0.9)
    assert (strided(*inputs).flatten(1).abs().sum(1) == 0).float().mean() > 0.5


def test_nodes_are_dropped_once_on_the_sum_with_its_identities() -> None:
    """FairDARTS' code, fairdarts/model.py, DCOCell."""
    model = CellNetwork("fair_darts_g_cifar", num_classes=3, cells=3, channels=4).train()
    model.set_drop_path(0.5, "nodes")
    nodes = [node for node in model.modules() if isinstance(node, Node)]
    assert any(isinstance(edge, nn.Identity) for node in nodes for edge in node.edges)
    seen: dict[Node, list[Tensor]] = {node: [] for node in nodes}
    for node in nodes:
        for module in (*node.edges, node):
            module.register_forward_hook(lambda _module, _given, out, node=node: seen[node].append(out.clone()))
    model(torch.randn(32, 3, 16, 16))
    dropped = 0
    for *edges, out in seen.values():
        gone = out.flatten(1).abs().sum(1) == 0
        torch.testing.assert_close(out[~gone], 2 * sum(edges)[~gone])
        dropped += int(gone.sum())
    assert 0.4 < dropped / (32 * len(nodes)) < 0.6
    model.set_drop_path(0.0, "nodes")
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(model(x), model(x))


def test_the_rate_can_be_set_while_training() -> None:
    model = CellNetwork("darts_v2_cifar", num_classes=3, cells=3, channels=4).train()
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(model(x), model(x))
    model.set_drop_path(0.5)
    assert not torch.equal(model(x), model(x))
    model.set_drop_path(0.0)
    torch.testing.assert_close(model(x), model(x))
    with pytest.raises(ValueError, match="0 <= rate < 1"):
        model.set_drop_path(1.5)
