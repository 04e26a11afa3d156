"""Cells within a budget are the best of all cells that keep it, with the exact figures of their network."""

from __future__ import annotations

import math
import random
from itertools import product

import numpy as np
import pytest
import timm
import torch

from nasarch.cells.genotype import Genotype, Op
from nasarch.cells.space import DARTS, NATS, Space
from nasarch.models.profile import count_parameters, multi_adds
from nasarch.models.zoo import network_of
from nasarch.search.derive.budget import Budget, Derivation, Derived
from nasarch.search.derive.costs import CostModel, Figures, figures
from nasarch.search.derive.front import front
from nasarch.search.derive.groups import Group
from nasarch.search.derive.program import solve
from nasarch.search.engine.result import ArchitectureWeights
from nasarch.search.recipes import darts, pc_darts

SMALL = DARTS.with_nodes(2)
CANDIDATES = (1, 3, 4)  # max_pool_3x3, skip_connect, sep_conv_3x3
BUDGETS = {"multi-adds": ("max_macs",), "all": ("max_macs", "max_params", "max_skips"), "skips": ("max_skips",)}


def derivation(space: Space, seed: int, network: str | None = None, candidates: tuple[int, ...] | None = None) -> Derivation:
    """Of random weights of DARTS; other operations than `candidates` weigh nothing."""
    generator = torch.Generator().manual_seed(seed)
    operations = torch.rand(len(space.kinds), len(space.edges), len(space.operations), generator=generator)
    for o in range(len(space.operations)):
        operations[:, :, o] *= candidates is None or o in candidates
    weights = ArchitectureWeights(operations, torch.ones(operations.shape[:2]))
    return Derivation.of(space, darts.scores(space, darts.Darts(), weights), network_of(space, network))


def everything(found: Derivation) -> tuple[np.ndarray, np.ndarray]:
    """Scores and figures of all cells, by brute force."""
    scores, costs = np.zeros(1), np.array([found.fixed])
    for group in found.groups:
        scores = (scores[:, None] + group.scores).ravel()
        costs = (costs[:, None] + group.costs).reshape(-1, len(Figures._fields))
    return scores, costs


def limits(names: tuple[str, ...], costs: np.ndarray, share: float) -> Budget:
    """A budget that a share of the cells keeps, of each figure by itself."""
    quantiles = np.quantile(costs, share, axis=0)
    values = {"max_macs": quantiles[0] / 1e6, "max_params": quantiles[1] / 1e6, "max_skips": int(quantiles[2])}
    return Budget(**{name: values[name] for name in names})


@pytest.mark.parametrize("names", BUDGETS.values(), ids=BUDGETS)
@pytest.mark.parametrize("best", [1, 7])
def test_cells_within_a_budget_are_the_best_of_all(names: tuple[str, ...], best: int) -> None:
    for seed, share in product(range(3), (0.02, 0.3, 0.9)):
        found = derivation(SMALL, seed, candidates=CANDIDATES)
        scores, costs = everything(found)
        assert len(scores) == 3**2 * 3**2 * 27**2
        budget = limits(names, costs, share)
        allowed = (costs <= np.array(budget.limits)).all(1)
        expected = np.sort(scores[allowed])[::-1][:best]
        derived = found.within(budget, best)
        assert [one.score for one in derived] == pytest.approx(expected.tolist(), abs=1e-9), (seed, share)
        for one in derived:
            assert all(figure <= limit for figure, limit in zip(one.figures, budget.limits, strict=True))
        assert len({tuple(one.cells.values()) for one in derived}) == len(derived)


def test_the_front_is_the_best_cell_for_every_budget() -> None:
    found = derivation(SMALL, 1, candidates=CANDIDATES)
    scores, costs = everything(found)
    for c, name in enumerate(Figures._fields):
        expected, highest = [], -math.inf
        for i in np.lexsort((-scores, costs[:, c])):
            if scores[i] > highest:
                highest = scores[i]
                expected.append((int(costs[i, c]), highest))
        points = [(one.figures[c], one.score) for one in found.front(name)]
        assert [cost for cost, _ in points] == [cost for cost, _ in expected]
        assert [score for _, score in points] == pytest.approx([score for _, score in expected], abs=1e-9)


def test_dynamic_programme_and_linear_programme_agree_on_whole_cells() -> None:
    for seed in range(4):
        found = derivation(DARTS, seed)
        points = found.front()
        for one in points[:: max(1, len(points) // 3)]:
            (chosen,) = solve(found.groups, [one.figures.multi_adds - found.fixed.multi_adds, math.inf, math.inf])
            score = sum(group.scores[i] for group, i in zip(found.groups, chosen, strict=True))
            assert score == pytest.approx(one.score, abs=1e-6)
            (within,) = found.within(Budget(max_macs=one.figures.multi_adds / 1e6))
            assert within.figures.multi_adds <= one.figures.multi_adds and within.score == one.score


def test_the_best_of_the_front_is_the_optimum_without_a_budget() -> None:
    found = derivation(DARTS, 5)
    (free,) = found.within(Budget())
    last = found.front("parameters")[-1]
    assert last.score == free.score and last.figures == free.figures
    assert found.within(Budget(max_macs=1e4, max_params=1e4, max_skips=99)) == [free]


@pytest.mark.parametrize(("space", "network"), [(DARTS, "nas_224"), (DARTS, "nas_cifar"), (NATS, "nas_bench_201")])
def test_figures_are_those_of_the_network(space: Space, network: str) -> None:
    """The sum of the operations' costs, and the cost of the whole network."""
    drawn, found = random.Random(0), derivation(space, 0, network)
    for _ in range(50):
        one = found._derived([drawn.randrange(len(group.edges)) for group in found.groups])
        assert one.figures == figures(found.model, Genotype("drawn", space.name, one.cells))


def test_figures_are_those_of_built_networks_as_fvcore_counts_them() -> None:
    for seed, network in ((0, "nas_cifar"), (1, "nas_224")):
        found = derivation(DARTS, seed, network)
        one = found.within(Budget(max_params=3.4 if network == "nas_cifar" else 4.6))[0]
        cells = Genotype("derived", "darts", one.cells)
        built = timm.create_model(network, genotype=cells)
        assert one.figures[:3] == (multi_adds(built, built.pretrained_cfg["input_size"]), count_parameters(built), skips(one))


def skips(one: Derived) -> int:
    return sum(op.operation == "skip_connect" for node in one.cells["normal"].nodes for op in node)


def test_skip_connections_are_counted_in_the_normal_cell_alone() -> None:
    costs = CostModel.of(DARTS, network_of(DARTS)).operations
    assert {key for key, figure in costs.items() if figure.skips} == {("normal", "skip_connect", True), ("normal", "skip_connect", False)}
    weights = torch.full((2, 14, 8), 0.01)
    weights[:, :, DARTS.operations.index("skip_connect")] = 0.9
    scores = darts.scores(DARTS, darts.Darts(), ArchitectureWeights(weights, torch.ones(2, 14)))
    found = Derivation.of(DARTS, scores, network_of(DARTS))
    for most in (0, 2, 8):
        (one,) = found.within(Budget(max_skips=most))
        assert skips(one) == one.figures.skips == most
        assert all(op.operation == "skip_connect" for node in one.cells["reduction"].nodes for op in node)


def test_a_budget_that_no_cell_keeps_names_the_smallest_figure() -> None:
    found = derivation(DARTS, 0)
    least = found.front()[0].figures.multi_adds
    with pytest.raises(ValueError, match=r"--max-macs 100: the smallest nas_224 of this search has \d+\.?\d* M multi-adds") as error:
        found.within(Budget(max_macs=100))
    named = float(str(error.value).split(" has ")[1].split()[0])
    assert 0 <= named - least / 1e6 <= 0.01 and found.within(Budget(max_macs=named))


def test_budgets_that_exclude_each_other_name_what_one_takes_beside_the_others() -> None:
    """Where skip connections and convolutions are the candidates, small cells are made of skip connections."""
    found = derivation(DARTS, 0, candidates=(3, 4))
    smallest = found.front()[0].figures.multi_adds / 1e6
    with pytest.raises(ValueError, match=r"--max-macs \d.*the smallest nas_224 of this search with --max-skips 0 has") as error:
        found.within(Budget(max_macs=smallest + 1, max_skips=0))
    named = float(str(error.value).split(" has ")[1].split()[0])
    assert named > smallest + 100 and found.within(Budget(max_macs=named, max_skips=0))[0].figures.skips == 0


def test_the_searchs_own_cell_wins_among_equal_ones() -> None:
    equal = ArchitectureWeights(torch.full((2, 14, 8), 0.125), torch.full((2, 14), 0.5) + 1e-7 * torch.rand(2, 14))
    scores = pc_darts.scores(DARTS, pc_darts.PcDarts(), equal)
    own = pc_darts.derive(DARTS, pc_darts.PcDarts(), equal._replace(edges_ZE=torch.rand(2, 14), operations_ZEO=torch.rand(2, 14, 8)), "own")
    (free,) = Derivation.of(DARTS, scores, network_of(DARTS), own.genotype).within(Budget())
    assert [cell.nodes for cell in free.cells.values()] == [cell.nodes for cell in own.genotype.cells.values()]
    (other,) = Derivation.of(DARTS, scores, network_of(DARTS)).within(Budget())
    assert other.cells != free.cells


def test_another_cell_than_the_searchs_own_wins_by_a_clear_weight() -> None:
    found = derivation(DARTS, 3)
    (free,) = found.within(Budget())
    nodes = free.cells["normal"].nodes
    unlike = Genotype(
        "own", "darts", {**free.cells, "normal": type(free.cells["normal"])(((Op("none", 0),) * 2, *nodes[1:]), (2, 3, 4, 5))}
    )
    generator = torch.Generator().manual_seed(3)
    weights = ArchitectureWeights(torch.rand(2, 14, 8, generator=generator), torch.ones(2, 14))
    again = Derivation.of(DARTS, darts.scores(DARTS, darts.Darts(), weights), network_of(DARTS), unlike).within(Budget())[0]
    assert again.cells == free.cells


def test_a_cell_that_scores_clearly_less_is_not_taken_for_the_searchs_own() -> None:
    generator = torch.Generator().manual_seed(3)
    weights = ArchitectureWeights(torch.rand(2, 14, 8, generator=generator), torch.ones(2, 14))
    scores = darts.scores(DARTS, darts.Darts(), weights)
    free, second = Derivation.of(DARTS, scores, network_of(DARTS)).within(Budget(), 2)
    assert 5e-5 < free.score - second.score < 0.5
    own = Genotype("own", "darts", second.cells)
    assert Derivation.of(DARTS, scores, network_of(DARTS), own).within(Budget())[0].cells == free.cells


def test_of_equal_scores_the_cheapest_is_on_the_front() -> None:
    groups = [Group("normal", 2, ((Op("a", 0),),) * 3, np.array([1.0, 1.0, 0.5]), np.array([[3, 0, 0], [2, 0, 0], [2, 0, 0]]))] * 2
    assert [(one.chosen, one.score, one.cost) for one in front(groups, 0)] == [((1, 1), 2.0, 4)]


def test_networks_of_another_space_are_refused() -> None:
    with pytest.raises(ValueError, match="network 'nas_224'; cells of space 'nats' make nas_bench_201: choose"):
        network_of(NATS, "nas_224")
    assert network_of(NATS).name == "nas_bench_201" and network_of(DARTS).name == "nas_224"


@pytest.mark.parametrize(("name", "value"), [("max_macs", 0.0), ("max_params", -1.0), ("max_skips", -1)])
def test_budgets_outside_their_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"--{name.replace('_', '-')} {value}: choose"):
        Budget(**{name: value})
