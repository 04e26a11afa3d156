"""What every recipe owes: one table of methods, one list of properties."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import torch

from nasarch.cells.space import DARTS, NATS, Space
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from nasarch.search.supernet.candidates import all_candidates, winners
from tests.helpers.coloured_images import data
from tests.helpers.nested import nested
from tests.helpers.short_methods import METHODS, SHORT_DOTS, SMALL

GROUPS = (dots.FREE, dots.PARAMETRIC)
all_methods = pytest.mark.parametrize("name", METHODS)


def finish(recipe: ModuleType, settings: Any, seed: int = 0, space: Space = DARTS) -> tuple[list[Progress], SearchResult]:
    """The epochs' last reports, and what was found."""
    steps, running = [], recipe.search(SearchContext(data=data(), space=space, seed=seed), settings)
    while True:
        try:
            steps.append(next(running))
        except StopIteration as stop:
            return [step for step in steps if step.ends_epoch], stop.value


@cache
def finished(name: str) -> tuple[list[Progress], SearchResult]:
    return finish(*METHODS[name])


@all_methods
def test_finds_a_cell_of_two_edges_a_node_and_never_none(name: str) -> None:
    epochs, found = finished(name)
    assert epochs[-1].epoch == epochs[-1].epochs and epochs[-1].genotype == found.genotype
    for cell in found.genotype.cells.values():
        assert [len(node) for node in cell.nodes] == [2, 2, 2, 2]
        assert "none" not in {edge.operation for node in cell.nodes for edge in node}


@all_methods
def test_the_same_seed_gives_the_same_and_another_other_numbers(name: str) -> None:
    """Which numbers these have to be, says test_literal_search.py."""
    recipe, settings = METHODS[name]
    (epochs, found), (again, same) = finished(name), finish(recipe, settings)
    assert found[:2] == same[:2] and [e.loss for e in epochs] == [e.loss for e in again]
    assert all(torch.equal(a, b) for a, b in zip(found.weights, same.weights, strict=True))
    assert next(first for first in recipe.search(SearchContext(data=data(), seed=1), settings) if first.ends_epoch).loss != epochs[0].loss


@all_methods
def test_margins_belong_to_the_cell(name: str) -> None:
    _, found = finished(name)
    for margin in found.margins:
        assert margin.kept == tuple(edge.source for edge in found.genotype.cells[margin.kind].nodes[margin.node - 2])
        if margin.lead is None or margin.dropped is None:
            assert (margin.lead, margin.dropped) == (None, None) and set(margin.kept) == {0, 1}
            continue
        left = [source for source in range(margin.node) if source not in margin.kept]
        assert margin.lead == margin.weights[margin.kept[-1]] - margin.weights[margin.dropped] and margin.dropped in left
        assert margin.weights[margin.dropped] >= max(margin.weights[source] for source in left) - 1e-5


@all_methods
def test_none_does_not_stay_even_where_it_dominates(name: str) -> None:
    recipe, settings = METHODS[name]
    operations = torch.rand(2, 14, 8, generator=torch.Generator().manual_seed(0)) / 100
    operations[:, :, DARTS.operations.index("none")] = 0.9
    found = recipe.derive(DARTS, settings, ArchitectureWeights(operations, torch.rand(2, 14)), "cell")
    assert all(edge.operation != "none" for cell in found.genotype.cells.values() for node in cell.nodes for edge in node)


@pytest.mark.parametrize(
    ("recipe", "title", "year", "where"),
    [
        (darts, "DARTS: Differentiable Architecture Search", 2019, ("arxiv", "1806.09055")),
        (pc_darts, "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search", 2020, ("arxiv", "1907.05737")),
        (dots, "DOTS: Decoupling Operation and Topology in Differentiable Architecture Search", 2021, ("arxiv", "2010.00969")),
        (ftso, "FTSO: Effective NAS via First Topology Second Operator", 2023, ("arxiv", "2303.12948")),
        (
            edarts,
            "Operation and Topology Aware Fast Differentiable Architecture Search",
            2021,
            ("url", "https://zenodo.org/record/6678111"),
        ),
    ],
)
def test_says_its_paper(recipe: ModuleType, title: str, year: int, where: tuple[str, str]) -> None:
    assert (recipe.PAPER["title"], recipe.PAPER["year"]) == (title, year) and where in recipe.PAPER.items()


STAGES = {
    "darts": [("operations and topology", False)],
    "pc_darts": [("operations and topology", True), ("operations and topology", False)],
    "dots": [("operations", True), ("operations", False), ("topology", True), ("topology", False)],
    "ftso": [("topology", False)],
    "ftso, operators by gradient": [("topology", False), ("operators", False)],
    "edarts": [("operations", False)],
    "edarts, all edges": [("operations and topology", False)],
}


@pytest.mark.parametrize(
    ("name", "stages"), [(name, STAGES.get(name, STAGES[name.split(",")[0]])) for name in METHODS if "no edge" not in name]
)
def test_every_stage_has_its_name_and_every_epoch_its_number(name: str, stages: list[tuple[str, bool]]) -> None:
    epochs, _ = finished(name)
    assert list(dict.fromkeys((epoch.stage, epoch.is_warmup) for epoch in epochs)) == stages
    for stage in {epoch.stage for epoch in epochs}:
        of_stage = [epoch for epoch in epochs if epoch.stage == stage]
        assert [epoch.epoch for epoch in of_stage] == list(range(1, of_stage[0].epochs + 1))


def test_more_warm_up_than_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="warmup=50, epochs=50: choose fewer epochs of warm-up"):
        pc_darts.PcDarts(warmup=50)


@pytest.mark.parametrize(
    ("settings", "change", "words"),
    [
        (darts.Darts, {"epochs": 0}, "epochs=0: choose 1 or more"),
        (edarts.Edarts, {"epochs": -1}, "epochs=-1: choose 1 or more"),
        (pc_darts.PcDarts, {"rate_warmup": 60}, "rate_warmup=60, epochs=50: choose fewer"),
        (pc_darts.PcDarts, {"momentum": 2.0}, "momentum=2.0: choose a number from 0 to below 1"),
        (dots.Dots, {"operation_start": -1.0}, "start=-1.0: choose a number above 0"),
        (dots.Dots, {"topology_decay": 0.0}, "decay=0.0: choose a number above 0, 1 at most"),
        (dots.Dots, {"operation_decay": 2.0}, "decay=2.0: "),
        (dots.Dots, {"topology_warmup": 35}, "warmup=35, epochs=35: choose fewer"),
        (ftso.Ftso, {"clip": 0.0}, "clip=0.0: choose a number above 0"),
    ],
)
def test_settings_that_make_no_search_are_refused(settings: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        nested(settings(), **change)


def test_a_gradient_that_overflowed_does_not_choose_edges() -> None:
    running = ftso.search(SearchContext(data=data()), ftso.Ftso(**SMALL | {"epochs": 1}))
    next(running)
    loop = running
    while loop.gi_yieldfrom is not None:
        loop = loop.gi_yieldfrom
    loop.gi_frame.f_locals["stage"].state.arch.beta.grad[0, 0, 0] = float("inf")
    with pytest.raises(ValueError, match="overflowed in float16.* bf16"):
        for _ in running:
            pass


@pytest.mark.parametrize("nodes", [3, 5])
def test_other_numbers_of_nodes(nodes: int) -> None:
    recipe, settings = METHODS["darts, first order"]
    _, found = finish(recipe, replace(settings, nodes=nodes, epochs=1))
    assert len(found.genotype.cells["reduction"].nodes) == nodes


def test_dots_anneals_each_stage_after_its_warm_up_and_runs_one_cosine() -> None:
    epochs, _ = finished("dots")
    assert [e.temperature for e in epochs] == [10.0, 10.0, 10.0, 10.0, 10 * 0.72]
    assert [e.stage for e in epochs] == ["operations"] * 2 + ["topology"] * 3
    assert [e.learning_rate for e in epochs] == sorted((e.learning_rate for e in epochs), reverse=True)
    assert epochs[0].learning_rate == 0.025 and epochs[0].steps == 3 and epochs[-1].steps == 6


def test_dots_keeps_one_operation_of_each_group_on_every_edge() -> None:
    mask = winners(torch.rand(2, 14, 8), all_candidates(DARTS), torch.tensor([[n in g for n in DARTS.operations] for g in GROUPS]))
    assert (mask[..., :4].sum(2) == 1).all() and (mask[..., 4:].sum(2) == 1).all()


@pytest.mark.parametrize(("operation_levels", "topology_levels", "steps"), [(2, 1, [3, 6]), (1, 1, [6, 6]), (2, 2, [3, 3]), (1, 2, [6, 3])])
def test_dots_on_one_level_sees_all_images_and_on_two_a_half(operation_levels: Any, topology_levels: Any, steps: list[int]) -> None:
    short = {"operation_epochs": 1, "topology_epochs": 1, "operation_warmup": 0, "topology_warmup": 0, "nodes": 2, "topology_layers": 3}
    epochs, _ = finish(dots, nested(SHORT_DOTS, operation_levels=operation_levels, topology_levels=topology_levels, **short))
    assert [epoch.steps for epoch in epochs] == steps


def test_dots_without_groups_keeps_one_operation_an_edge_that_is_not_none() -> None:
    """Table 5."""
    epochs, found = finished("dots, of DARTS' operations")
    assert (epochs[0].result.weights.operations_ZEO > 0).all()
    assert ((found.weights.operations_ZEO > 0).sum(2) == 1).all() and not found.weights.operations_ZEO[:, :, 0].any()


def test_dots_takes_the_other_candidate_where_none_holds_all_of_an_edge() -> None:
    """At the end of its annealing the softmax of the operations is exactly 0 or 1."""
    candidates = torch.zeros(2, 14, 8, dtype=torch.bool)
    candidates[:, :, [0, 7]] = True
    arch = Relaxation(DARTS, candidates, subset=2, operation_scale=1e-3)
    arch.alpha.data[:, :, 0] = 0.5
    arch.temperature.fill_(0.02)
    assert (arch.operations()[:, :, 7] == 0).all()
    found = dots.derive(DARTS, dots.Dots(), dots.traced(arch), "cell")
    assert {edge.operation for cell in found.genotype.cells.values() for node in cell.nodes for edge in node} == {"dil_conv_5x5"}


@pytest.mark.parametrize("iterations", [None, 1])
def test_ftso_searches_operators_on_the_edges_that_its_topology_kept(iterations: int | None) -> None:
    recipe, settings = METHODS["ftso, operators by gradient"]
    epochs, found = finish(recipe, replace(settings, iterations=iterations))
    topology, operators = ([e for e in epochs if e.stage == stage] for stage in ("topology", "operators"))
    assert ([e.steps for e in topology], [e.steps for e in operators]) == ([1] if iterations else [3, 3], [3, 3])
    for cells in [e.genotype for e in operators] + [found.genotype]:
        assert sources(cells) == sources(topology[-1].genotype)
    for z, cell in enumerate(found.genotype.cells.values()):
        searched = {edge for edge, row in zip(DARTS.edges, found.weights.operations_ZEO[z], strict=True) if row.any()}
        assert searched == {(edge.source, node) for node, edges in enumerate(cell.nodes, start=2) for edge in edges}


def sources(cells: Any) -> list[list[int]]:
    return [[edge.source for edge in node] for cell in cells.cells.values() for node in cell.nodes]


NATS_SMALL = {"epochs": 2, "layers": 1, "channels": 4, "batch_size": 8}
NATS_METHODS: dict[str, tuple[ModuleType, Any]] = {
    "darts": (darts, darts.Darts(order="second", **NATS_SMALL)),
    "pc_darts": (pc_darts, pc_darts.PcDarts(warmup=0, **NATS_SMALL)),
    "ftso, operators by gradient": (
        ftso,
        ftso.Ftso(operator="gradient", operation="nor_conv_3x3", operator_epochs=2, partial=1, **NATS_SMALL),
    ),
}


@pytest.mark.parametrize(("recipe", "settings"), NATS_METHODS.values(), ids=NATS_METHODS)
def test_cells_of_nats_bench_keep_all_edges_and_never_none(recipe: ModuleType, settings: Any) -> None:
    epochs, found = finish(recipe, settings, space=NATS)
    assert [sorted(node) for node in sources(found.genotype)] == [[0], [0, 1], [0, 1, 2]]
    assert "none" not in found.genotype.to_nats() and len(epochs) == 2
    dominated = ArchitectureWeights(torch.eye(5)[0].expand(1, 6, 5) + 0.01, torch.ones(1, 6))
    assert "none" not in recipe.derive(NATS, settings, dominated, "cell").genotype.to_nats()


def test_ftso_replaces_the_edges_of_nats_bench_without_a_step() -> None:
    settings = ftso.Ftso(operation="nor_conv_3x3", **NATS_SMALL)
    (epochs, found), (_, other) = finish(ftso, settings, space=NATS), finish(ftso, settings, seed=1, space=NATS)
    conv = "nor_conv_3x3"
    assert epochs == [] and found[:2] == other[:2]
    assert found.genotype.to_nats() == f"|{conv}~0|+|{conv}~0|{conv}~1|+|{conv}~0|{conv}~1|{conv}~2|"


def test_dots_refuses_a_space_that_keeps_all_edges() -> None:
    with pytest.raises(
        ValueError, match="space 'nats' keeps all edges, DOTS chooses pairs of them: search it with darts, pc-darts or ftso"
    ):
        finish(dots, SHORT_DOTS, space=NATS)
