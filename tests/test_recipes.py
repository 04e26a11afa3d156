"""What every recipe owes: one table of methods, one list of properties."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from nasarch.search import darts, dots, edarts, ftso, pc_darts
from nasarch.search.bench import Bench
from nasarch.search.candidates import all_candidates, winners
from nasarch.search.found import Found
from nasarch.search.loop import Progress
from nasarch.space import DARTS
from tests.colours import data

SMALL = {"epochs": 2, "layers": 3, "channels": 8, "batch_size": 8}
GROUPS = (dots.FREE, dots.PARAMETRIC)
SHORT_DOTS = dots.Dots(
    operation_epochs=2, topology_epochs=3, warmup=1, operation_layers=3, topology_layers=4, channels=8, batch_size=8, arch_lr=1e-2
)
METHODS: dict[str, tuple[ModuleType, Any]] = {
    "darts, first order": (darts, darts.Darts(order="first", **SMALL)),
    "darts, second order": (darts, darts.Darts(order="second", **SMALL)),
    "darts, exact": (darts, darts.Darts(order="exact", **SMALL)),
    "pc_darts": (pc_darts, pc_darts.PcDarts(warmup=1, **SMALL)),
    "pc_darts, no edge normalisation": (pc_darts, pc_darts.PcDarts(warmup=0, edge_normalisation=False, partial=2, **SMALL)),
    "dots": (dots, SHORT_DOTS),
    "dots, two levels": (dots, replace(SHORT_DOTS, topology_levels=2)),
    "dots, of DARTS' operations": (dots, replace(SHORT_DOTS, grouped=False, operation_levels=1)),
    "ftso": (ftso, ftso.Ftso(**SMALL)),
    "ftso, operators by gradient": (ftso, ftso.Ftso(operator="gradient", operator_epochs=2, **SMALL)),
    "edarts": (edarts, edarts.Edarts(images=20, **SMALL)),
    "edarts, all edges": (edarts, edarts.Edarts(images=None, sparse=False, path=None, attention="update", order="first", **SMALL)),
}
all_methods = pytest.mark.parametrize(("recipe", "settings"), METHODS.values(), ids=METHODS)


def finish(recipe: ModuleType, settings: Any, seed: int = 0) -> tuple[list[Progress], Found]:
    """The epochs' last reports, and what was found."""
    steps, running = [], recipe.search(Bench(data=data(), seed=seed), settings)
    while True:
        try:
            steps.append(next(running))
        except StopIteration as stop:
            return [step for step in steps if step.ends_epoch], stop.value


@all_methods
def test_finds_a_cell_of_two_edges_a_node_and_never_none(recipe: ModuleType, settings: Any) -> None:
    epochs, found = finish(recipe, settings)
    assert epochs[-1].epoch == epochs[-1].epochs and epochs[-1].genotype == found.genotype
    for cell in found.genotype.cells.values():
        assert [len(node) for node in cell.nodes] == [2, 2, 2, 2]
        assert "none" not in {edge.operation for node in cell.nodes for edge in node}


@all_methods
def test_the_same_seed_gives_the_same_and_another_other_numbers(recipe: ModuleType, settings: Any) -> None:
    (epochs, found), (again, same) = finish(recipe, settings), finish(recipe, settings)
    assert found[:2] == same[:2] and [e.loss for e in epochs] == [e.loss for e in again]
    assert all(torch.equal(a, b) for a, b in zip(found.weights, same.weights, strict=True))
    assert finish(recipe, settings, seed=1)[0][-1].loss != epochs[-1].loss


@all_methods
def test_margins_belong_to_the_cell(recipe: ModuleType, settings: Any) -> None:
    _, found = finish(recipe, settings)
    for margin in found.margins:
        assert margin.kept == tuple(edge.source for edge in found.genotype.cells[margin.kind].nodes[margin.node - 2])
        assert margin.lead is None or margin.lead >= -1e-5 or recipe is dots  # which keeps the best pair, not the best two


@all_methods
def test_says_its_paper(recipe: ModuleType, settings: Any) -> None:
    assert {"title", "year"} <= recipe.PAPER.keys() and ("arxiv" in recipe.PAPER or "url" in recipe.PAPER)


def test_the_architecture_rests_in_the_warm_up() -> None:
    recipe, settings = METHODS["pc_darts"]
    epochs, _ = finish(recipe, replace(settings, epochs=4, warmup=2))
    assert [": weights only" in e.stage for e in epochs] == [True, True, False, False]
    assert epochs[0].genotype == epochs[1].genotype


def test_more_warm_up_than_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup=50, epochs=50: .* fewer epochs of warm-up"):
        pc_darts.PcDarts(warmup=50)


@pytest.mark.parametrize("nodes", [3, 5])
def test_other_numbers_of_nodes(nodes: int) -> None:
    recipe, settings = METHODS["darts, first order"]
    _, found = finish(recipe, replace(settings, nodes=nodes, epochs=1))
    assert len(found.genotype.cells["reduction"].nodes) == nodes


def test_dots_anneals_each_stage_after_its_warm_up_and_runs_one_cosine() -> None:
    epochs, _ = finish(dots, SHORT_DOTS)
    assert [e.temperature for e in epochs] == [10.0, 10.0, 10.0, 10.0, 10 * 0.72]
    assert [e.stage.split(":")[0] for e in epochs] == ["operations"] * 2 + ["topology"] * 3
    assert [e.learning_rate for e in epochs] == sorted((e.learning_rate for e in epochs), reverse=True)
    assert epochs[0].learning_rate == 0.025 and epochs[0].steps == 3 and epochs[-1].steps == 6


def test_dots_keeps_one_operation_of_each_group_on_every_edge() -> None:
    mask = winners(torch.rand(2, 14, 8), all_candidates(DARTS), torch.tensor([[n in g for n in DARTS.operations] for g in GROUPS]))
    assert (mask[..., :4].sum(2) == 1).all() and (mask[..., 4:].sum(2) == 1).all()
