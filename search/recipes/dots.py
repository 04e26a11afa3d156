"""DOTS: decoupling operation and topology (Gu, Wang, Liu, Yang, Wu, Lu and Cheng; the ICLR 2021 submission is the text meant here).

| paper | here |
|---|---|
| eq. 4: two groups of operations, a softmax in each | `Relaxation(groups=(FREE, PARAMETRIC))` |
| eq. 5: T(t) = T_0 * theta^t, from the end of the warm-up | `annealed` |
| eq. 6, 7: the best operation of each group stays on its edge | `winners` |
| eq. 8: bi-level on halves | `first_order` |
| eq. 9-11: a softmax over pairs of a node's edges; an edge weighs the sum over its pairs | `Relaxation(subset=2)` |
| eq. 12: one level, on the whole training set | `one_level` |
| the best pair of edges of each node, the better of the two operations on each | `strongest_subset`, `strongest_operations` |

Note:
    Text. The CVPR 2021 paper of the same title has another topology search (weights divided by N(c), a number of edges that is found),
    which is not here: its text is not at hand. `PAPER` names it, as the publication; sections and tables are the submission's.
Note:
    Temperature of the operation search: the text anneals 10 -> 0.2 (theta 0.65), the later code keeps T = 1. The text is the default;
    an `operation` with `start=1, decay=1` is the code's way.
Note:
    Temperature of the operations in the topology search: "a low initial temperature", says the text without a number. The code's 1e-3
    times that of the edges is taken (`operation_scale`).
Note:
    Edge weights: eq. 11 sums the pairs that hold an edge, as the code does; they add up to 2 for each node.
Note:
    Depth of the topology search: 17 cells in the text; the code declares 20 and uses 8. The text is the default.
Note:
    The learning rate goes through one cosine over both stages (A.2: "in 60 epochs"), the weights start anew in the second.
Note:
    ImageNet. A.2 gives 0.5 -> 0 for the weights and 6e-3 for the architecture without a batch size; the code has 0.25 with 512, so
    1,024 is taken.
Note:
    Table 5 searches the topology of DARTS' operations. Those of a cell or of a search (`operations_from`, operations_from.py) take the
    place of the operation search; the topology search is that of a search of both, with the same learning rates. Or DARTS' operations are
    searched for: `grouped` off is an operation search in one group, without annealing, of which each edge keeps the one best operation
    that is not `none`.
Note:
    A consensus over runs keeps the two edges of greatest mean weight, since pairs are not kept in the run's files.
Note:
    The code's supernet has BN and ReLU before its pooling (512 parameters), the evaluation network has not; here none has. Its first
    epochs of the topology search, of the weights alone, see half of the images, and all later ones all; here all epochs see all.
Note:
    Architecture parameters start at zero, as in the code. Adam's learning rate is the text's 1e-4 (A.2); the code has 3e-4. Its betas are
    0.5 and 0.999 in both stages; the code has 0.9 and 0.999 in its topology search, as preset `code` does (`topology.arch_betas`).
"""

from __future__ import annotations

from collections.abc import Generator

from torch import Tensor

from nasarch.cells.space import Space
from nasarch.runtime.schedules import annealed, cosine
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.discretize import (
    KeptEdges,
    search_result,
    strongest_edges,
    strongest_operations,
    strongest_scores,
    strongest_subsets,
)
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.scores import Scores, of_edges, of_pairs, operation_scores
from nasarch.search.engine.updates import OptimizerSettings, first_order, one_level
from nasarch.search.settings.dots import Dots
from nasarch.search.supernet.candidates import all_candidates, winners

from .operations_from import given_candidates

PAPER = {
    "title": "DOTS: Decoupling Operation and Topology in Differentiable Architecture Search",
    "venue": "CVPR",
    "year": 2021,
    "arxiv": "2010.00969",
}
TRACE = 1e-7  # what files have digits for
FREE = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")
PARAMETRIC = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")


def search(context: SearchContext, settings: Dots) -> Generator[Progress, None, SearchResult]:
    """Yields progress, returns what was found."""
    space = context.cells(settings.nodes)
    if space.kept_edges is None:
        raise ValueError(f"space {space.name!r} keeps all edges, DOTS chooses pairs of them: search it with darts, pc-darts or ftso")
    if settings.operations_from is None:
        candidates = yield from _search_operations(context, space, settings)
    else:
        candidates = given_candidates(space, settings.operations_from)
    return (yield from _search_topology(context, space, settings, candidates))


def _search_operations(context: SearchContext, space: Space, settings: Dots) -> Generator[Progress, None, Tensor]:
    """Section 3.1: returns the candidates that are left on each edge, a mask [Z, E, O]."""
    candidates = all_candidates(space)
    arch = context.relaxation(space, candidates, groups=_groups(space) if settings.grouped else ())
    loaders = context.train_val_loaders if settings.operation.levels == 2 else context.one_level_loader

    yield from context.train(
        context.supernet(space, candidates, channels=settings.channels, layers=settings.operation.layers),
        arch,
        loaders(settings.batch_size, settings.fractions),
        first_order if settings.operation.levels == 2 else one_level,
        OptimizerSettings.of(settings, arch_betas=settings.operation.arch_betas),
        epochs=settings.operation.epochs,
        warmup=settings.operation.warmup,
        learning_rate=cosine(settings.lr, settings.lr_end, settings.operation.epochs + settings.topology.epochs),
        temperature=annealed(settings.operation.start, settings.operation.decay, settings.operation.warmup),
        derive=lambda: _by_operations(space, arch.weights(), context.name),
        stage="operations",
    )
    return _left(space, settings, arch)


def _groups(space: Space) -> list[list[str]]:
    """Eq. 4: the operations without weights and the others, own ones among these; one group where one is empty."""
    free = [name for name in space.operations if name in FREE]
    return [group for group in (free, [name for name in space.operations if name not in FREE]) if group]


def _by_operations(space: Space, weights: ArchitectureWeights, name: str) -> SearchResult:
    """What DARTS' rule would make of the operation search, to look at; the stage itself keeps all edges."""
    score_ZE = strongest_scores(space, weights.operations_ZEO)
    kept = strongest_edges(space, score_ZE)
    return search_result(space, kept, strongest_operations(space, weights.operations_ZEO), weights, score_ZE=score_ZE, name=name)


def _left(space: Space, settings: Dots, arch: Relaxation) -> Tensor:
    """Eq. 6, 7: the best operation of each group; without groups the best one that is not `none`."""
    weight_ZEO, candidates, groups_GO = arch.weights().operations_ZEO, arch.candidates_ZEO.cpu(), arch.groups_GO.cpu()
    if not settings.grouped:
        groups_GO = groups_GO.clone()
        groups_GO[:, [name == "none" for name in space.operations]] = False
    return winners(weight_ZEO, candidates, groups_GO)


def _search_topology(context: SearchContext, space: Space, settings: Dots, candidates: Tensor) -> Generator[Progress, None, SearchResult]:
    """Section 3.2, on a fresh supernet that holds the candidates that are left and nothing else."""
    arch = context.relaxation(space, candidates, subset=2, operation_scale=settings.operation_scale)
    rate = cosine(settings.lr, settings.lr_end, settings.operation.epochs + settings.topology.epochs)
    loaders = context.train_val_loaders if settings.topology.levels == 2 else context.one_level_loader

    def present() -> SearchResult:
        weights = traced(arch)
        kept = strongest_subsets(space, arch.subsets().detach(), arch.members_ZNSE, weights.edges_ZE)
        return derive(space, settings, weights, context.name, kept=kept)

    yield from context.train(
        context.supernet(space, candidates, channels=settings.channels, layers=settings.topology.layers, stage=1),
        arch,
        loaders(settings.batch_size, settings.fractions),
        first_order if settings.topology.levels == 2 else one_level,
        OptimizerSettings.of(settings, arch_betas=settings.topology.arch_betas),
        epochs=settings.topology.epochs,
        warmup=settings.topology.warmup,
        learning_rate=lambda epoch: rate(settings.operation.epochs + epoch),
        temperature=annealed(settings.topology.start, settings.topology.decay, settings.topology.warmup),
        derive=present,
        stage="topology",
    )
    return present()


def traced(arch: Relaxation) -> ArchitectureWeights:
    """The weights, of which those of candidates are never zero: a cold softmax underflows, and none may hold all of an edge."""
    weights = arch.weights()
    return weights._replace(operations_ZEO=weights.operations_ZEO.clamp(min=TRACE) * arch.candidates_ZEO.cpu())


def derive(space: Space, settings: Dots, weights: ArchitectureWeights, name: str, *, kept: list[KeptEdges] | None = None) -> SearchResult:
    """The cell that these weights give: the edges `kept`, or the two of greatest weight of each node, the better operation on each."""
    chosen = strongest_edges(space, weights.edges_ZE) if kept is None else kept
    operations = strongest_operations(space, weights.operations_ZEO)
    return search_result(space, chosen, operations, weights, score_ZE=weights.edges_ZE, name=name)


def scores(space: Space, settings: Dots, weights: ArchitectureWeights) -> Scores:
    """Scores of all cells: pairs of edges by their weight; edges one by one where the weights of pairs are not known (a mean of runs)."""
    operations_ZEO = operation_scores(space, weights.operations_ZEO)
    if len(weights.pairs_ZNS):
        return of_pairs(space, weights.pairs_ZNS, weights.edges_ZE, weights.operations_ZEO.any(2), operations_ZEO)
    return of_edges(space, weights.edges_ZE.double().log(), operations_ZEO)
