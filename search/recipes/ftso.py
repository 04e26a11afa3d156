"""FTSO: first the topology, then the operators (Wang, Wei, Zou, Wang and Xu; arXiv 2303.12948 (2024 text); 2021 submission).

| text | here |
|---|---|
| Algorithm 1: assign each edge a skip connection | candidates `only(skip_connect)`; Table 1's "m.p.", "sep3", ... by `topology_operation` |
| Algorithm 1: n_j = sum_i o(n_i) beta_ij | `Relaxation(subset=1)`, PC-DARTS eq. 2; K = 4 (2021, Table 4: 25 % of the channels) |
| update beta on L_val, then w on L_train, in the first epoch | `first_order`, `epochs` = 1; `iterations` = 1 for "1it." |
| prune what is below the second largest beta of a node | `strongest_edges(beta)` |
| Algorithm 2: replace with convolutions | `operator` = replace: `operation` on every edge that is left (sec. 4.1) |
| Algorithm 2, else: a softmax over all operators of the edges left | `operator` = gradient, `operator_epochs` |

Note:
    Softmax. Algorithm 1 weighs by beta itself, section 3 inherits PC-DARTS, whose eq. 2 (quoted in section 2) has a softmax. With the
    softmax a node's input keeps its scale whatever the number of edges; it is the default. `edge_softmax` off is Algorithm 1 to the letter;
    beta then starts at the same equal weights, 1 / the number of edges of a node: at zero all nodes, and all gradients, would be zero. The
    order of edges is that of beta either way.
Note:
    Start and ties. The text does not say how beta starts; PC-DARTS starts at 1e-3 * randn. The first step of Adam moves every beta by about
    the learning rate, 6e-4, whatever the gradient: from a random start one iteration would return the noise it started from. Beta starts at
    zero here. After one step only signs of gradients are left in it, so scores that are equal to `TIE` are ranked by the last gradient, the
    steepest descent first. `margins` says how much the kept edges lead: read it before you believe a topology.
Note:
    Learning rates. 2021, Table 4: weights cosine from 0.025 to 0 on CIFAR, architecture 6e-4 (Adam). Batch size, momentum, weight decays
    and clipping are not given: PC-DARTS' values (256, 0.9, 3e-4 and 1e-3, 5).
Note:
    Operator search. Algorithm 2 has alpha alone, section 3 says that alpha and beta are optimised. Beta has chosen the edges by then; the
    algorithm box is the default. With `operator_beta` a new beta weighs the edges that are left, and is optimised with alpha; it chooses
    nothing, and the files keep the edge weights of the topology search. Alpha starts at zero, the weights start anew, their learning rate
    goes through a cosine of its own.
Note:
    NATS-Bench (sec. 4.3) keeps all edges of a cell, so no topology is to be found there and that stage is left out; "based on DARTS"
    is taken as K = 1 and no edge weights. Replacing then gives the same cell whatever the data, as Table 4 has for all three. But it is
    not that cell: all nor_conv_3x3 has 93.76 / 71.11 / 41.44 in the benchmark, and the numbers of Table 4 belong to one cell alone,
    `ftso_nats_cifar`, whose edge 0 -> 3 is a nor_conv_1x1.
Note:
    The genotype lists a node's edges by beta, the strongest first, as published genotypes do.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from nasarch.cells.space import Space
from nasarch.runtime.schedules import cosine
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.discretize import (
    by_kind,
    edges_of,
    genotype,
    one_operation,
    search_result,
    strongest_edges,
    strongest_operations,
)
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.scores import Scores, given_operation, of_edges, operation_scores
from nasarch.search.engine.updates import OptimizerSettings, first_order
from nasarch.search.settings.ftso import Ftso
from nasarch.search.supernet.candidates import on, only

PAPER = {"title": "FTSO: Effective NAS via First Topology Second Operator", "year": 2023, "arxiv": "2303.12948"}
TIE = 1e-5  # betas that differ by less than a sixtieth of one Adam step say nothing


def search(context: SearchContext, settings: Ftso) -> Generator[Progress, None, SearchResult]:
    """Yields progress, returns what was found."""
    space = context.cells(settings.nodes)
    if settings.operator == "replace":
        one_operation(space, settings.operation)  # refused before anything is searched
    if space.kept_edges is None:
        every_edge = only(space, *settings.topology_operation).float()
        result = derive(space, settings, ArchitectureWeights(every_edge, every_edge.amax(2)), context.name)
    else:
        result = yield from _search_topology(context, space, settings)
    if settings.operator == "gradient":
        result = yield from _search_operators(context, space, settings, result)
    return result


def _search_topology(context: SearchContext, space: Space, settings: Ftso) -> Generator[Progress, None, SearchResult]:
    """Algorithm 1."""
    candidates = only(space, *settings.topology_operation)
    arch = context.relaxation(space, candidates, subset=1, edge_softmax=settings.edge_softmax)

    def present() -> SearchResult:
        if not arch.beta.grad.isfinite().all():  # type: ignore[union-attr]
            raise ValueError(
                "the last step's gradient overflowed in float16, so edges of equal weight can't be told apart: search with --amp bf16 or "
                "off, or for more steps, after which the scale of the loss fits"
            )
        descent_ZE = torch.einsum("zns,znse->ze", -arch.beta.grad, arch.members_ZNSE)  # type: ignore[operator]
        return derive(space, settings, arch.weights(), context.name, descent_ZE=descent_ZE)

    yield from context.train(
        context.supernet(space, candidates, channels=settings.channels, layers=settings.layers, partial=settings.partial),
        arch,
        context.train_val_loaders(settings.batch_size, settings.fractions),
        first_order,
        OptimizerSettings.of(settings),
        epochs=settings.epochs,
        iterations=settings.iterations,
        learning_rate=cosine(settings.lr, settings.lr_end, settings.epochs),
        derive=present,
        stage="topology",
    )
    return present()


def _search_operators(
    context: SearchContext, space: Space, settings: Ftso, topology: SearchResult
) -> Generator[Progress, None, SearchResult]:
    """Algorithm 2 by gradient, on the edges that are left."""
    kept = edges_of(space, topology.genotype)
    candidates = on(space, by_kind(kept))
    arch = context.relaxation(space, candidates, subset=int(settings.operator_beta), edge_softmax=settings.edge_softmax)

    def present() -> SearchResult:
        weights = ArchitectureWeights(arch.weights().operations_ZEO, topology.weights.edges_ZE)
        operations = strongest_operations(space, weights.operations_ZEO)
        return SearchResult(genotype(space, kept, operations, name=context.name, provenance={}), topology.margins, weights)

    yield from context.train(
        context.supernet(space, candidates, channels=settings.channels, layers=settings.layers, partial=settings.partial, stage=1),
        arch,
        context.train_val_loaders(settings.batch_size, settings.fractions),
        first_order,
        OptimizerSettings.of(settings),
        epochs=settings.operator_epochs,
        learning_rate=cosine(settings.lr, settings.lr_end, settings.operator_epochs),
        derive=present,
        stage="operators",
    )
    return present()


def derive(space: Space, settings: Ftso, weights: ArchitectureWeights, name: str, *, descent_ZE: Tensor | None = None) -> SearchResult:
    """The cell that these weights give: edges by beta, near ties by the steepness of the last descent (if it is known).

    An edge without operation weights is none: of several runs the operator search of one at least had it.
    """
    kept = strongest_edges(space, _logits(settings, weights), tie_breaker_ZE=descent_ZE, tie=TIE if descent_ZE is not None else 0.0)
    replaced = settings.operator == "replace"
    operations = one_operation(space, settings.operation) if replaced else strongest_operations(space, weights.operations_ZEO)
    return search_result(space, kept, operations, weights, score_ZE=weights.edges_ZE, name=name)


def scores(space: Space, settings: Ftso, weights: ArchitectureWeights) -> Scores:
    """Scores of all cells: edges by beta; operations by their weights, or the one that replaces all."""
    replaced = settings.operator == "replace"
    operations_ZEO = given_operation(space, settings.operation) if replaced else operation_scores(space, weights.operations_ZEO)
    return of_edges(space, _logits(settings, weights).double(), operations_ZEO)


def _logits(settings: Ftso, weights: ArchitectureWeights) -> Tensor:
    """[Z, E] logits of the edges, -inf where an edge has no operation."""
    logits_ZE = weights.edges_ZE.log() if settings.edge_softmax else weights.edges_ZE
    return logits_ZE.masked_fill(~weights.operations_ZEO.any(2), -torch.inf)
