"""What each method decides from its weights, against cells written by hand.

In the tables every rule of derivation and its neighbours choose differently: another measure of an edge, `none` counted or not, another
side of a tie, pairs or single edges. A weight that is not written is 0.01. Edges are named by their nodes, `"13"` is that from 1 to 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS, NATS, Space
from nasarch.data.dataset import Augmentation, Dataset, Images
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.result import ArchitectureWeights, Margin, SearchResult
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from nasarch.search.recipes.methods import METHODS
from nasarch.search.runs.consensus import consensus, mean
from nasarch.search.supernet.candidates import check_candidates, winners
from tests.helpers.nested import nested
from tests.helpers.staged import DATA, Staged, searched

Rows = Mapping[str, Mapping[str, float]]
Nodes = list[list[tuple[str, int]]]
NAMES = {
    "none": "none",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
    "conv1": "nor_conv_1x1",
    "conv3": "nor_conv_3x3",
}


def operations(space: Space, *kinds: Rows, rest: float = 0.01) -> Tensor:
    """[Z, E, O] float64."""
    table = torch.full((len(space.kinds), len(space.edges), len(space.operations)), rest, dtype=torch.float64)
    for z, rows in enumerate(kinds):
        for name, row in rows.items():
            for operation, weight in row.items():
                table[z, edge(space, name), space.operations.index(NAMES[operation])] = weight
    return table


def edges(space: Space, *kinds: list[list[float]], rest: float = 0.0) -> Tensor:
    """[Z, E] float64, from a list for each inner node."""
    return torch.tensor([[value for node in nodes for value in node] for nodes in kinds], dtype=torch.float64)


def edge(space: Space, name: str) -> int:
    return space.edges.index((int(name[0]), int(name[1])))  # type: ignore[arg-type]


def nodes(found: SearchResult | Genotype, kind: str = "normal") -> Nodes:
    """The nodes of a cell as (operation, source), in the order of its file."""
    cells = found.genotype if isinstance(found, SearchResult) else found
    short = {long: name for name, long in NAMES.items()}
    return [[(short[op.operation], op.source) for op in node] for node in cells.cells[kind].nodes]


def sources(found: SearchResult, kind: str = "normal") -> list[list[int]]:
    return [[source for _, source in node] for node in nodes(found, kind)]


# Largest weights but none: node 2: .30 .40, node 3: .06 .30 .20, node 4: .12 .14 .13 .11, node 5: .25 .25 .25 .10 .26.
NORMAL = {
    "02": {"none": 0.60, "skip": 0.30},
    "12": {"sep5": 0.40},
    "03": {"none": 0.90, "dil3": 0.06},  # here alone none is ahead: with it this edge would be the first
    "13": {"sep3": 0.30, "max": 0.28},
    "23": {"avg": 0.20, "dil5": 0.19, "sep5": 0.18, "max": 0.17},  # the largest sum
    "04": {"none": 0.50, "sep3": 0.12},  # none is ahead on all edges of this node
    "14": {"none": 0.50, "sep5": 0.14},
    "24": {"none": 0.50, "dil3": 0.13},
    "34": {"none": 0.50, "skip": 0.11},
    "05": {"max": 0.25},  # three that are equal: the first of them stays
    "15": {"sep3": 0.25},
    "25": {"dil5": 0.25},
    "35": {"skip": 0.10},
    "45": {"avg": 0.26},
}
# The later a source, the better; each has an operation of its own.
REDUCTION = {
    f"{i}{j}": {operation: 0.1 + 0.1 * i} for j in range(2, 6) for i, operation in enumerate(["max", "avg", "sep5", "dil3", "dil5"][:j])
}
REDUCTION_NODES = [
    [("avg", 1), ("max", 0)],
    [("sep5", 2), ("avg", 1)],
    [("dil3", 3), ("sep5", 2)],
    [("dil5", 4), ("dil3", 3)],
]
DARTS_NODES = [
    [("sep5", 1), ("skip", 0)],
    [("sep3", 1), ("avg", 2)],
    [("sep5", 1), ("dil3", 2)],
    [("avg", 4), ("max", 0)],
]
EVEN = [[0.5] * 2, [1 / 3] * 3, [0.25] * 4, [0.2] * 5]
NO_EDGE_WEIGHTS = [[1.0] * 2, [1.0] * 3, [1.0] * 4, [1.0] * 5]
BETA = [[0.7, 0.3], [0.6, 0.15, 0.25], [0.26, 0.235, 0.255, 0.25], [0.1, 0.2, 0.2, 0.4, 0.1]]


def table() -> Tensor:
    return operations(DARTS, NORMAL, REDUCTION)


def test_darts_keeps_the_edges_of_the_largest_operation_weights_none_left_out() -> None:
    found = darts.derive(DARTS, darts.Darts(), ArchitectureWeights(table(), edges(DARTS, NO_EDGE_WEIGHTS, NO_EDGE_WEIGHTS)), "cell")
    assert nodes(found) == DARTS_NODES and nodes(found, "reduction") == REDUCTION_NODES
    assert found.genotype.name == "cell" and found.genotype.space == "darts"
    assert {cell.concat for cell in found.genotype.cells.values()} == {(2, 3, 4, 5)}
    assert_margins(
        found.margins[:4],
        [
            Margin("normal", 2, (0.30, 0.40), (1, 0), None, None),
            Margin("normal", 3, (0.06, 0.30, 0.20), (1, 2), 0, 0.14),
            Margin("normal", 4, (0.12, 0.14, 0.13, 0.11), (1, 2), 0, 0.01),
            Margin("normal", 5, (0.25, 0.25, 0.25, 0.10, 0.26), (4, 0), 1, 0.0),
        ],
    )
    assert_margins(found.margins[6:7], [Margin("reduction", 4, (0.1, 0.2, 0.3, 0.4), (3, 2), 1, 0.1)])


def assert_same(found: SearchResult, other: SearchResult) -> None:
    assert (found.genotype.to_dict(), found.margins) == (other.genotype.to_dict(), other.margins)
    assert all(torch.equal(one, two) for one, two in zip(found.weights, other.weights, strict=True))


def assert_margins(found: list[Margin], told: list[Margin]) -> None:
    for one, other in zip(found, told, strict=True):
        assert (one.kind, one.node, one.kept, one.dropped) == (other.kind, other.node, other.kept, other.dropped)
        assert one.weights == pytest.approx(other.weights) and one.lead == (other.lead and pytest.approx(other.lead))


def test_pc_darts_keeps_the_edges_of_the_largest_products() -> None:
    """Node 3: alpha alone has 1, 2, beta alone 0, 2, the sum 0, 1, the product with none 0, 2; node 4: 1, 2 and 0, 2 and 2, 0 and 2, 0."""
    found = pc_darts.derive(DARTS, pc_darts.PcDarts(), ArchitectureWeights(table(), edges(DARTS, BETA, EVEN)), "cell")
    assert nodes(found) == [
        [("skip", 0), ("sep5", 1)],
        [("avg", 2), ("sep3", 1)],
        [("dil3", 2), ("sep5", 1)],
        [("sep3", 1), ("dil5", 2)],
    ]
    assert nodes(found, "reduction") == REDUCTION_NODES
    assert_margins(
        found.margins[:4],
        [
            Margin("normal", 2, (0.21, 0.12), (0, 1), None, None),
            Margin("normal", 3, (0.036, 0.045, 0.05), (2, 1), 0, 0.009),
            Margin("normal", 4, (0.0312, 0.0329, 0.03315, 0.0275), (2, 1), 0, 0.0017),
            Margin("normal", 5, (0.025, 0.05, 0.05, 0.04, 0.026), (1, 2), 3, 0.01),
        ],
    )


def test_pc_darts_without_edge_normalisation_decides_as_darts() -> None:
    weights = ArchitectureWeights(table(), edges(DARTS, NO_EDGE_WEIGHTS, NO_EDGE_WEIGHTS))
    found = pc_darts.derive(DARTS, pc_darts.PcDarts(edge_normalisation=False), weights, "cell")
    assert nodes(found) == DARTS_NODES and nodes(found, "reduction") == REDUCTION_NODES


def test_beta_of_one_cell_says_nothing_of_the_other() -> None:
    found = pc_darts.derive(DARTS, pc_darts.PcDarts(), ArchitectureWeights(table(), edges(DARTS, EVEN, BETA)), "cell")
    assert nodes(found) == DARTS_NODES
    assert sources(found, "reduction") == [[0, 1], [2, 0], [3, 2], [3, 2]]  # .07 .06, .06 .03 .075, .026 .047 .0765 .1, .01 .04 .06 .16 .05


def test_cells_of_three_nodes_are_decided_alike() -> None:
    space = DARTS.with_nodes(3)
    rows = {name: row for name, row in NORMAL.items() if name[1] != "5"}
    weights = ArchitectureWeights(operations(space, rows, rows), edges(space, BETA[:3], BETA[:3]))
    assert nodes(darts.derive(space, darts.Darts(nodes=3), weights, "cell"), "reduction") == DARTS_NODES[:3]
    found = pc_darts.derive(space, pc_darts.PcDarts(nodes=3), weights, "cell")
    assert sources(found) == [[0, 1], [2, 1], [2, 1]] == sources(found, "reduction")
    assert found.genotype.cells["normal"].concat == (2, 3, 4)


ON_NATS = {
    "01": {"none": 0.9, "conv3": 0.05},
    "02": {"skip": 0.3},
    "12": {"avg": 0.4, "none": 0.39},
    "03": {"conv1": 0.2},
    "13": {"none": 0.6, "conv3": 0.35},
    "23": {"skip": 0.3, "conv1": 0.29},
}


@pytest.mark.parametrize(
    ("recipe", "settings", "edge_weights", "order"),
    [
        (darts, darts.Darts(), [[1.0], [1.0] * 2, [1.0] * 3], [[0], [1, 0], [1, 2, 0]]),
        (pc_darts, pc_darts.PcDarts(), [[1.0], [0.6, 0.4], [0.6, 0.2, 0.2]], [[0], [0, 1], [0, 1, 2]]),
        (ftso, ftso.Ftso(operator="gradient"), [[1.0], [1.0] * 2, [1.0] * 3], [[0], [0, 1], [0, 1, 2]]),
    ],
    ids=["darts", "pc-darts", "ftso"],
)
def test_cells_of_nats_bench_keep_all_edges_the_strongest_first_and_never_none(
    recipe: ModuleType, settings: Any, edge_weights: list[list[float]], order: list[list[int]]
) -> None:
    found = recipe.derive(NATS, settings, ArchitectureWeights(operations(NATS, ON_NATS), edges(NATS, edge_weights)), "cell")
    assert sources(found) == order
    text = "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_1x1~0|nor_conv_3x3~1|skip_connect~2|"
    assert found.genotype.to_nats() == text and found.genotype.cells["normal"].concat == (3,)
    assert [(margin.dropped, margin.lead) for margin in found.margins] == [(None, None)] * 3


def test_a_path_keeps_its_edges_whatever_they_weigh_in_the_order_of_its_text() -> None:
    settings = edarts.Edarts(path="01-20-13-04")
    found = edarts.derive(DARTS, settings, ArchitectureWeights(table(), edges(DARTS, NO_EDGE_WEIGHTS, NO_EDGE_WEIGHTS)), "cell")
    assert nodes(found) == [
        [("skip", 0), ("sep5", 1)],
        [("avg", 2), ("dil3", 0)],
        [("sep5", 1), ("skip", 3)],
        [("max", 0), ("avg", 4)],
    ]
    assert sources(found, "reduction") == [[0, 1], [2, 0], [1, 3], [0, 4]]
    assert [(margin.kept, margin.dropped, margin.lead) for margin in found.margins[:4]] == [
        ((0, 1), None, None),
        ((2, 0), None, None),
        ((1, 3), None, None),
        ((0, 4), None, None),
    ]
    assert found.margins[1].weights == pytest.approx((0.06, 0.20))  # by source
    free = edarts.derive(
        DARTS, edarts.Edarts(path=None), ArchitectureWeights(table(), edges(DARTS, NO_EDGE_WEIGHTS, NO_EDGE_WEIGHTS)), "cell"
    )
    assert nodes(free) == DARTS_NODES and nodes(free, "reduction") == REDUCTION_NODES


def test_the_edges_of_a_path_are_all_that_edarts_searches() -> None:
    candidates = searched(edarts, edarts.Edarts(path="01-20-13-04", operations=("none", "skip_connect", "sep_conv_3x3"))).stages[0][0]
    rows = {(0, 2), (1, 2), (0, 3), (2, 3), (1, 4), (3, 4), (0, 5), (4, 5)}
    for kind in range(2):
        assert {tuple(DARTS.edges[e]) for e in range(14) if candidates[kind, e].any()} == rows
    assert candidates.sum(2).unique().tolist() == [0, 3] and candidates[0, 0].nonzero().flatten().tolist() == [0, 3, 4]


def test_images_of_edarts_are_two_parts_of_all_there_are_unless_a_split_says_which() -> None:
    assert searched(edarts, edarts.Edarts(images=25_000)).stages[0].loaders == ("train and validation", 64, (0.5, 0.5))
    with pytest.raises(ValueError, match="images=25001 for each side: the data have 50000 training images; choose 25000 or fewer"):
        searched(edarts, edarts.Edarts(images=25_001))
    context = Staged(data=DATA, parts=(torch.arange(3), torch.arange(3, 6)))
    next(edarts.search(context, edarts.Edarts(images=40_000)))
    assert context.stages[0].loaders[2] == (0.5, 0.5)  # which the split goes before


def logs(space: Space, *kinds: list[list[float]]) -> Tensor:
    """Edge weights from their logarithms."""
    return edges(space, *kinds).exp()


NEAR = [  # in units of 1e-5, below 1
    [0.0, 0.0],
    [0.4, -0.4, 0.6],  # the first two round to 0, the third to 1
    [0.0, 0.3, -0.3, -0.6],  # the last one rounds to -1
    [-2.0, 0.0, -1.0, 2.0, 1.0],  # all apart
]
DESCENT = [[1.0, 2.0], [1.0, 2.0, -9.0], [3.0, 1.0, 1.0, 9.0], [9.0, 0.0, 9.0, 0.0, 0.0]]


def near_ties() -> tuple[ArchitectureWeights, Tensor]:
    close = [[-1.0 + 1e-5 * value for value in node] for node in NEAR]
    weights = ArchitectureWeights(operations(DARTS, {}, {}), logs(DARTS, close, close))
    return weights, edges(DARTS, DESCENT, [[-value for value in node] for node in DESCENT])


def test_ftso_ranks_by_beta_and_what_is_equal_to_a_hundred_thousandth_by_descent() -> None:
    weights, descent = near_ties()
    found = ftso.derive(DARTS, ftso.Ftso(), weights, "cell", descent_ZE=descent)
    assert sources(found) == [[1, 0], [2, 1], [0, 1], [3, 4]]  # node 4: equal descents of 1 and 2, which the order decides
    assert sources(found, "reduction") == [[0, 1], [2, 0], [1, 2], [3, 4]]
    assert {name for node in nodes(found) for name, _ in node} == {"sep3"}
    margin = found.margins[1]
    assert (margin.kept, margin.dropped) == ((2, 1), 0)
    assert margin.lead == pytest.approx(math.exp(-1) * -0.8e-5, rel=1e-3)  # the dropped one of the tie weighs a little more


def test_ftso_ranks_by_beta_alone_where_no_gradient_is_known() -> None:
    weights, _ = near_ties()
    assert sources(ftso.derive(DARTS, ftso.Ftso(), weights, "cell")) == [[0, 1], [2, 0], [1, 0], [3, 4]]


@pytest.mark.parametrize("operator", ["replace", "gradient"])
def test_an_edge_without_operations_is_none_however_much_it_weighs(operator: Any) -> None:
    rows = {name: {"dil5": 0.5} for name in NORMAL}
    weights = ArchitectureWeights(operations(DARTS, rows, rows), edges(DARTS, [[0.5, 0.5], [0.9, 0.04, 0.06], [0.25] * 4, [0.2] * 5], EVEN))
    weights.operations_ZEO[0, edge(DARTS, "03")] = 0.0
    found = ftso.derive(DARTS, ftso.Ftso(operator=operator, operation="dil_conv_3x3"), weights, "cell")
    assert nodes(found)[1] == [("dil3" if operator == "replace" else "dil5", source) for source in (2, 1)]


UP, DOWN = 6e-4, -6e-4  # where a first step of Adam leaves beta
STEPPED = [[UP, UP], [UP, UP, DOWN], [UP, DOWN, DOWN, DOWN], [DOWN] * 5]
SLOPES = [[0.2, -0.2], [-0.1, -0.3, -0.9], [0.5, -0.1, -0.2, 0.3], [0.1, 0.2, -0.3, 0.4, -0.5]]


def by_node(*kinds: list[list[float]]) -> Tensor:
    """[Z, N, S], as beta of single edges is."""
    beta = torch.zeros(len(kinds), len(kinds[0]), max(map(len, kinds[0])), dtype=torch.float64)
    for z, rows in enumerate(kinds):
        for n, row in enumerate(rows):
            beta[z, n, : len(row)] = torch.tensor(row, dtype=torch.float64)
    return beta


def test_after_one_step_of_ftso_the_steepest_descent_decides_what_beta_leaves_open() -> None:
    """Node 3 drops edge 2, the steepest of all, as its beta went down."""
    mirrored = [[-value for value in node] for node in SLOPES]
    result = searched(ftso, ftso.Ftso(iterations=1), {"beta": by_node(STEPPED, STEPPED), "beta_gradient": by_node(SLOPES, mirrored)})
    assert sources(result.found) == [[1, 0], [1, 0], [0, 2], [4, 2]]
    assert sources(result.found, "reduction") == [[0, 1], [0, 1], [0, 3], [3, 1]]
    assert_same(result.presented[0], result.found)
    candidates = result.stages[0].candidates_ZEO
    assert candidates.sum() == 28 and candidates[:, :, 3].all()


def test_a_gradient_that_is_no_number_decides_nothing() -> None:
    slopes = by_node(SLOPES, SLOPES)
    slopes[1, 2, 0] = math.inf
    with pytest.raises(ValueError, match="last step's gradient overflowed in float16"):
        searched(ftso, ftso.Ftso(), {"beta": by_node(STEPPED, STEPPED), "beta_gradient": slopes})


def test_an_operation_that_can_not_replace_is_refused_before_anything_is_searched() -> None:
    context = Staged(data=DATA)
    with pytest.raises(ValueError, match="'none' can't replace"):
        next(ftso.search(context, ftso.Ftso(operation="none")))
    assert context.stages == []
    assert len(searched(ftso, ftso.Ftso(operation="none", operator="gradient")).stages) == 2  # which doesn't ask for it


def test_ftso_searches_operators_on_the_edges_that_are_left_and_margins_are_of_the_topology() -> None:
    beta = by_node(BETA, EVEN)
    alpha = operations(DARTS, NORMAL, REDUCTION, rest=-1.0)
    alpha[0, edge(DARTS, "13")] = 99.0  # pruned, as is node 5's edge 4
    result = searched(ftso, ftso.Ftso(operator="gradient"), {"beta": beta}, {"alpha": alpha})
    assert sources(result.presented[0]) == [[0, 1], [0, 2], [0, 2], [3, 1]]
    assert nodes(result.found) == [
        [("skip", 0), ("sep5", 1)],
        [("dil3", 0), ("avg", 2)],
        [("sep3", 0), ("dil3", 2)],
        [("skip", 3), ("sep3", 1)],
    ]
    candidates = result.stages[1].candidates_ZEO
    kept = {(0, 2), (1, 2), (0, 3), (2, 3), (0, 4), (2, 4), (3, 5), (1, 5)}
    assert {tuple(DARTS.edges[e]) for e in range(14) if candidates[0, e].any()} == kept
    assert candidates.sum() == 2 * 8 * 8 and not result.found.weights.operations_ZEO[~candidates].any()
    assert result.found.margins == result.presented[0].margins
    assert result.found.margins[1].weights == pytest.approx((0.42693, 0.27222, 0.30085), abs=1e-5)  # e^.6, e^.15, e^.25 by their sum
    assert torch.equal(result.found.weights.edges_ZE, result.presented[0].weights.edges_ZE)
    assert_same(result.presented[1], result.found)


def test_ftso_searches_operators_on_all_edges_of_nats_bench() -> None:
    result = searched(ftso, ftso.Ftso(operator="gradient", operation="nor_conv_3x3"), {"alpha": operations(NATS, ON_NATS)}, space=NATS)
    text = "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_1x1~0|nor_conv_3x3~1|skip_connect~2|"
    assert result.found.genotype.to_nats() == text
    assert [margin.weights for margin in result.found.margins] == [(1.0,), (1.0, 1.0), (1.0, 1.0, 1.0)]
    assert result.stages[0].candidates_ZEO.all() and len(result.stages) == 1
    assert searched(ftso, ftso.Ftso(operation="avg_pool_3x3"), space=NATS).stages == []


# Node 4: the best pair is 0, 1, of which 1 weighs less than both of the others: .60 .43 .47 .50.
PAIRS = {2: {"01": 1.0}, 3: {"01": 0.3, "02": 0.4, "12": 0.3}, 4: {"01": 0.28, "02": 0.22, "03": 0.10, "12": 0.0, "13": 0.15, "23": 0.25}}
ORDER = {j: [f"{s}{t}" for s in range(j) for t in range(s + 1, j)] for j in range(2, 6)}  # itertools.combinations


def betas(pairs: Mapping[int, Mapping[str, float]], temperature: float) -> Tensor:
    """[N, S] of which the softmax at this temperature is `pairs`; nodes without have equal ones."""
    beta = torch.zeros(4, 10, dtype=torch.float64)
    for j, weights in pairs.items():
        shares = torch.tensor([weights[pair] for pair in ORDER[j]], dtype=torch.float64).clamp(min=1e-300)
        beta[j - 2, : len(ORDER[j])] = temperature * shares.log()
    return beta


def dots_settings(**changes: Any) -> dots.Dots:
    return nested(dots.Dots(), **{"operation_epochs": 2, "topology_epochs": 3, "operation_warmup": 0, "topology_warmup": 0} | changes)


def test_dots_keeps_the_best_pair_even_where_others_hold_stronger_edges() -> None:
    """At the last temperature, 10 * 0.72^2; of the pairs in the file T is 1."""
    temperature = 10 * 0.72**2
    beta = torch.stack([betas(PAIRS, temperature), betas({}, temperature)])
    result = searched(dots, dots_settings(), {}, {"beta": beta})
    found = result.found
    assert [set(node) for node in sources(found)] == [{0, 1}, {0, 2}, {0, 1}, {0, 1}]
    assert sources(found)[2] == [0, 1]
    assert [set(node) for node in sources(found, "reduction")] == [{0, 1}] * 4  # where all pairs weigh the same
    three, four = found.margins[1:3]
    assert (three.dropped, four.kept, four.dropped) == (1, (0, 1), 3)
    assert three.weights == pytest.approx((0.7, 0.6, 0.7)) and three.lead == pytest.approx(0.1)
    assert four.weights == pytest.approx((0.60, 0.43, 0.47, 0.50)) and four.lead == pytest.approx(-0.07)
    by_singles = dots.derive(DARTS, dots_settings(), found.weights, "cell")  # what a consensus does
    assert sources(by_singles)[2] == [0, 3] and by_singles.margins[2].lead == pytest.approx(0.03)
    at_one = torch.tensor([0.3, 0.4, 0.3], dtype=torch.float64) ** temperature
    torch.testing.assert_close(found.weights.pairs_ZNS[0, 1, :3], at_one / at_one.sum())
    assert result.presented[1].margins == found.margins


def test_the_edges_of_a_pair_are_listed_by_their_own_weights() -> None:
    pairs = {5: dict.fromkeys(ORDER[5], 0.05) | {"13": 0.4, "34": 0.2}}
    found = searched(dots, dots_settings(), {}, {"beta": torch.stack([betas(pairs, 5.184)] * 2)}).found
    assert sources(found)[3] == [3, 1] and found.margins[3].dropped == 4


FREE_AND_CONV = {
    "02": {"none": 2.0, "skip": 1.9, "dil5": 0.5, "sep3": 0.4},
    "12": {"avg": 0.3, "sep5": 0.2},
    "03": {"max": 0.1, "sep3": 3.0, "dil3": 3.1},
}


def test_dots_leaves_the_best_of_each_group_on_every_edge() -> None:
    alpha = operations(DARTS, FREE_AND_CONV, {}, rest=0.0)
    left = searched(dots, dots_settings(), {"alpha": alpha}).stages[1].candidates_ZEO
    short = {name: long for name, long in NAMES.items() if long in DARTS.operations}

    def names(edge_name: str) -> set[str]:
        row = left[0, edge(DARTS, edge_name)]
        return {name for name, long in short.items() if row[DARTS.operations.index(long)]}

    assert [names(name) for name in ("02", "12", "03")] == [{"none", "dil5"}, {"avg", "sep5"}, {"max", "dil3"}]
    assert (left.sum(2) == 2).all() and left[1, :, 0].all() and left[1, :, 4].all()  # equal ones: the first of each group


def test_dots_in_one_group_leaves_the_best_that_is_not_none() -> None:
    alpha = operations(DARTS, FREE_AND_CONV, {}, rest=0.0)
    left = searched(dots, dots_settings(grouped=False), {"alpha": alpha}).stages[1].candidates_ZEO
    chosen = [DARTS.operations[int(left[0, edge(DARTS, name)].nonzero())] for name in ("02", "12", "03")]
    assert chosen == ["skip_connect", "avg_pool_3x3", "dil_conv_3x3"]
    assert (left.sum(2) == 1).all() and not left[:, :, 0].any()


def test_what_dots_shows_of_its_operation_search_is_the_cell_by_darts_rule() -> None:
    """Of e^alpha, divided by their sums: .31 .85, - .47 .26, .18 .20 .19 .16, .78 .78 .78 .59 .79."""
    alpha = operations(DARTS, NORMAL, REDUCTION).log()
    shown = searched(dots, dots_settings(grouped=False, operation_start=1.0, operation_decay=1.0), {"alpha": alpha}).presented[0]
    assert nodes(shown) == DARTS_NODES and nodes(shown, "reduction") == REDUCTION_NODES


def test_a_cold_softmax_takes_no_candidate_away_and_none_never_holds_an_edge() -> None:
    """none and dil5 are left on edge 0 -> 2; at 1e-3 times the last temperature the softmax of none is 1, that of dil5 underflows."""
    first, second = operations(DARTS, FREE_AND_CONV, {}, rest=0.0), operations(DARTS, {"02": {"none": 50.0}}, {}, rest=0.0)
    found = searched(dots, dots_settings(), {"alpha": first}, {"alpha": second}).found
    assert nodes(found)[0] == [("dil5", 0), ("avg", 1)]
    row = found.weights.operations_ZEO[0, edge(DARTS, "02")]
    assert row.tolist() == pytest.approx([1.0, 0, 0, 0, 0, 0, 0, 1e-7], rel=1e-12, abs=0)


def test_operations_of_dots_are_the_better_ones_of_their_edges() -> None:
    first = operations(DARTS, FREE_AND_CONV, {}, rest=0.0)
    second = operations(DARTS, {"02": {"dil5": -1.0}, "12": {"sep5": 0.01}, "03": {"dil3": -0.01}}, {}, rest=0.0)
    found = searched(dots, dots_settings(), {"alpha": first}, {"alpha": second}).found
    assert nodes(found)[:2] == [[("dil5", 0), ("sep5", 1)], [("max", 0), ("sep3", 1)]]  # 1 -> 3 has none and sep3 left


def test_winners_are_candidates_of_their_group_and_the_first_of_equal_ones() -> None:
    weights = torch.tensor([[[0.9, 0.1, 0.5, 0.5], [0.2, 0.3, 0.0, 0.0]]])
    candidates = torch.tensor([[[False, True, True, True], [True, True, False, False]]])
    groups = torch.tensor([[True, True, False, False], [False, False, True, True]])
    expected = torch.tensor([[[False, True, True, False], [False, True, False, False]]])
    assert torch.equal(winners(weights, candidates, groups), expected)


def test_every_node_keeps_a_candidate_on_one_of_its_own_edges() -> None:
    mask = torch.ones(2, 14, 8, dtype=torch.bool)
    mask[1, [edge(DARTS, name) for name in ("03", "13", "23")]] = False
    with pytest.raises(ValueError, match="node 3 of the reduction cell has no candidate left"):
        check_candidates(DARTS, mask)
    mask[1, edge(DARTS, "23"), 5] = True
    check_candidates(DARTS, mask)
    alone = torch.zeros(2, 14, 8, dtype=torch.bool)
    alone[:, [edge(DARTS, f"0{j}") for j in (2, 3, 4, 5)], 3] = True
    check_candidates(DARTS, alone)
    for wrong in (mask.float(), mask[:1], mask[:, :13], mask[:, :, :7]):
        with pytest.raises(ValueError, match=r"space 'darts' needs a Boolean mask \[2, 14, 8\]"):
            check_candidates(DARTS, wrong)


def run_of(alpha: list[float], beta: list[float]) -> ArchitectureWeights:
    """Weights of node 3's edges, in both cells; those of the other nodes are equal."""
    rows = {f"{i}3": {"sep3": weight} for i, weight in enumerate(alpha)}
    shares = [EVEN[0], beta, *EVEN[2:]]
    return ArchitectureWeights(operations(DARTS, rows, rows).float(), edges(DARTS, shares, shares).float())


def test_a_consensus_of_pc_darts_is_the_product_of_mean_weights() -> None:
    """Products of means: .175 .18 .15; means of products: .21 .18 .15; most often first in a run: 0; mean ranks: 0 before 1 before 2."""
    runs = [run_of([0.6, 0.4, 0.5], [0.6, 0.4, 0.3]), run_of([0.1, 0.5, 0.5], [0.4, 0.4, 0.3])]
    found = consensus(METHODS["pc-darts"], pc_darts.PcDarts(), DARTS, runs, "both")
    assert found.margins[1].weights == pytest.approx((0.35 * 0.5, 0.45 * 0.4, 0.5 * 0.3))
    assert sources(found)[1] == [1, 0] and found.genotype.name == "both"
    assert sources(pc_darts.derive(DARTS, pc_darts.PcDarts(), runs[0], "one"))[1] == [0, 1]


def test_a_consensus_takes_means_of_weights_not_of_ranks_nor_the_majority() -> None:
    """Ranks: edge 0 is 1st, 1st, 3rd; 1 is 2nd, 2nd, 2nd; 2 is 3rd, 3rd, 1st. Mean weights: .27 .31 .42."""
    rows = [[0.39, 0.36, 0.25], [0.39, 0.36, 0.25], [0.03, 0.21, 0.76]]
    runs = [run_of([0.4] * 3, row) for row in rows]
    for method in (METHODS["pc-darts"], METHODS["dots"], METHODS["ftso"]):
        found = consensus(method, method.settings(), DARTS, runs, "three")
        assert sources(found)[1] == [2, 1] and found.margins[1].dropped == 0


def test_the_mean_is_rounded_run_by_run_and_has_no_pairs() -> None:
    """Of 0.4e-7 and 0.4e-7 nothing is left, of 0.6e-7 twice 1e-7; the sum of the runs would round otherwise."""
    runs = [
        ArchitectureWeights(torch.full((2, 14, 8), value), torch.full((2, 14), value), torch.ones(2, 4, 10)) for value in (0.4e-7, 0.6e-7)
    ]
    both = mean(runs)
    assert both.operations_ZEO.unique().tolist() == pytest.approx([0.5e-7]) and both.edges_ZE.dtype == torch.float32
    assert mean(runs[:1]).edges_ZE.unique().tolist() == [0.0] and len(both.pairs_ZNS) == 0


@pytest.mark.parametrize(("pixels", "smaller"), [(63, 1), (64, 8)])
def test_maps_from_64_pixels_on_begin_with_the_stem_of_imagenet(pixels: int, smaller: int) -> None:
    """PC-DARTS sec. 4.3: three convolutions of stride 2, 224 -> 28; the smaller side counts."""
    images = Images(torch.zeros(2, 3, pixels, 70, dtype=torch.uint8), torch.arange(2))
    data = Dataset(name="two", train=images, test=None, class_names=("a", "b"), augmentation=Augmentation(), source="synthetic")
    net = SearchContext(data=data).supernet(DARTS, torch.ones(2, 14, 8, dtype=torch.bool), channels=4, layers=3)
    strides = [module.stride[0] for module in net.stem.modules() if isinstance(module, torch.nn.Conv2d)]
    assert math.prod(strides) == smaller
