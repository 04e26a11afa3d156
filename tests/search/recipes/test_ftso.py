"""FTSO from data to a cell: what Algorithm 1 says, on a few synthetic images and on the digits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import SearchResult
from nasarch.search.recipes.ftso import Ftso, search
from tests.helpers.coloured_images import data

TINY = Ftso(layers=3, channels=8, batch_size=8)


def finish(recipe: Ftso, seed: int = 0) -> tuple[list[Progress], SearchResult]:
    steps, running = [], search(SearchContext(data=data(), seed=seed), recipe)
    while True:
        try:
            steps.append(next(running))
        except StopIteration as stop:
            return steps, stop.value


def test_keeps_two_edges_a_node_and_replaces_all_of_them() -> None:
    _, found = finish(TINY)
    for cell in found.genotype.cells.values():
        assert [len(node) for node in cell.nodes] == [2, 2, 2, 2]
        assert {edge.operation for node in cell.nodes for edge in node} == {"sep_conv_3x3"}


def test_the_same_seed_finds_the_same_and_another_starts_elsewhere() -> None:
    (steps, found), (again, same) = finish(TINY), finish(TINY)
    assert (found[:2], steps[-1].loss) == (same[:2], again[-1].loss)
    assert finish(TINY, seed=1)[0][-1].loss != steps[-1].loss


def test_one_iteration_is_one_step_and_ranks_by_descent() -> None:
    """After one step of Adam from zero all weights of a node are one of two numbers; without ties it is the order by gradient."""
    steps, found = finish(replace(TINY, iterations=1))
    assert [(p.epoch, p.step, p.steps) for p in steps] == [(1, 1, 1)]
    for margin in found.margins:
        assert len({round(weight, 6) for weight in margin.weights}) <= 2
        assert {len(margin.kept), len(margin.weights) - len(margin.kept)} == {2, margin.node - 2}


def test_an_epoch_is_half_of_the_images_and_the_last_one_may_stop_early() -> None:
    steps, _ = finish(replace(TINY, epochs=3, iterations=8))
    assert [(p.epoch, p.step) for p in steps if p.ends_epoch] == [(1, 3), (2, 3), (3, 2)]
    rates = [p.learning_rate for p in steps if p.ends_epoch]
    assert rates == pytest.approx([0.025, 0.01875, 0.00625])


def test_margins_tell_the_last_kept_from_the_first_dropped() -> None:
    _, found = finish(TINY)
    for kind, node, weights, kept, dropped, lead in found.margins:
        assert sum(weights) == pytest.approx(1.0)
        assert kept == tuple(edge.source for edge in found.genotype.cells[kind].nodes[node - 2])
        if dropped is not None and lead is not None:
            assert lead == pytest.approx(weights[kept[-1]] - weights[dropped]) and lead >= -1e-5


@pytest.mark.parametrize("operations", [("max_pool_3x3",), ("none", "max_pool_3x3", "skip_connect"), ("sep_conv_3x3", "skip_connect")])
def test_other_operations_of_table_1_search_the_topology_as_well(operations: tuple[str, ...]) -> None:
    _, found = finish(replace(TINY, topology_operation=operations, iterations=1, operation="dil_conv_5x5", nodes=3))
    assert [len(node) for node in found.genotype.cells["normal"].nodes] == [2, 2, 2]
    assert {edge.operation for node in found.genotype.cells["normal"].nodes for edge in node} == {"dil_conv_5x5"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"operation": "conv"}, "'conv'.*legal are max_pool_3x3"),
        ({"operation": "none"}, "'none' can't replace"),
        ({"topology_operation": ("skip",)}, "unknown operation 'skip'.*skip_connect"),
        ({"epochs": 0}, "epochs=0"),
        ({"iterations": 0}, "iterations=0"),
        ({"nodes": 99}, "nodes=99: choose 1 to 12"),
        ({"partial": 3}, "partial=3 does not divide"),
    ],
)
def test_refuses_settings_that_make_no_sense(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(search(SearchContext(data=data()), replace(TINY, **settings)))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch size 256.*24 images"):
        next(search(SearchContext(data=data()), replace(TINY, batch_size=256)))


def test_a_loss_that_is_no_number_stops_the_search() -> None:
    with pytest.raises(ValueError, match="the loss is nan in topology, epoch 1, step .*smaller learning rate"):
        finish(replace(TINY, lr=1e30, epochs=2))
