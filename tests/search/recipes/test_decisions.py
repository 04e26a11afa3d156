"""What each method decides from its weights, against cells written by hand.

In the tables every rule of derivation and its neighbours choose differently: another measure of an edge, `none` counted or not, another
side of a tie, pairs or single edges. A weight that is not written is 0.01. Edges are named by their nodes, `"13"` is that from 1 to 3.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from nasarch.cells.space import DARTS, NATS, Space
from nasarch.data.dataset import Augmentation, Dataset, Images
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.result import ArchitectureWeights, Margin, SearchResult
from nasarch.search.recipes import darts, edarts, ftso, pc_darts
from nasarch.search.recipes.methods import METHODS
from nasarch.search.runs.consensus import consensus, mean
from tests.helpers.decisions import DARTS_NODES, NORMAL, REDUCTION, REDUCTION_NODES, edge, nodes, operations, sources
from tests.helpers.staged import DATA, Staged, searched


def edges(space: Space, *kinds: list[list[float]], rest: float = 0.0) -> Tensor:
    """[Z, E] float64, from a list for each inner node."""
    return torch.tensor([[value for node in nodes for value in node] for nodes in kinds], dtype=torch.float64)


# Largest weights but none: node 2: .30 .40, node 3: .06 .30 .20, node 4: .12 .14 .13 .11, node 5: .25 .25 .25 .10 .26.
# The later a source, the better; each has an operation of its own.
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
