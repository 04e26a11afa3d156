"""DARTS: differentiable architecture search (Liu, Simonyan and Yang, ICLR 2019; arXiv 1806.09055), the baseline of the others.

The updates of first and second order are in search/engine/updates.py.

| paper | here |
|---|---|
| eq. 2: a softmax over the operations of each edge | `Relaxation()` |
| eq. 3, 4: alpha on validation, w on training data, Algorithm 1 | halves of the training set |
| eq. 6: one weight step ahead; eq. 7, 8: its gradient by finite differences; sec. 2.3: xi = 0 is first order | `order` |
| sec. 2.4: the two strongest predecessors of a node, the strongest operation of each, zero left out | `strongest_edges(max_o alpha)` |

Note:
    BN. The text says that a search validates with batch statistics, the code does so with running averages (quark0/darts issue
    85). Both only look at that accuracy; every step of a search, also the architecture's, runs on batch statistics, as here.
Note:
    The unrolled step of eq. 6 has the momentum and the weight decay of the weights' optimiser, as in the code; the text writes it plainly.
Note:
    NATS-Bench. Its cell keeps all edges (FTSO Table 4 compares there). That benchmark's own search may end with `none`; here it never does.
Note:
    The code takes a new shuffled validation batch for each step, with replacement; here all images of the half are seen equally often.
"""

from __future__ import annotations

from collections.abc import Generator

from nasarch.cells.space import Space
from nasarch.runtime.schedules import cosine
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.discretize import search_result, strongest_edges, strongest_operations, strongest_scores
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.scores import Scores, of_edges, operation_scores
from nasarch.search.engine.updates import OptimizerSettings, of_order
from nasarch.search.settings.darts import Darts
from nasarch.search.supernet.candidates import all_candidates

PAPER = {"title": "DARTS: Differentiable Architecture Search", "venue": "ICLR", "year": 2019, "arxiv": "1806.09055"}


def search(context: SearchContext, settings: Darts) -> Generator[Progress, None, SearchResult]:
    """Yields progress, returns what was found."""
    space = context.cells(settings.nodes)
    candidates = all_candidates(space)
    arch = context.relaxation(space, candidates, init_std=settings.init_std)

    yield from context.train(
        context.supernet(space, candidates, channels=settings.channels, layers=settings.layers),
        arch,
        context.train_val_loaders(settings.batch_size, settings.fractions),
        of_order(settings.order, context.amp),
        OptimizerSettings.of(settings),
        epochs=settings.epochs,
        learning_rate=cosine(settings.lr, settings.lr_end, settings.epochs),
        derive=lambda: derive(space, settings, arch.weights(), context.name),
        stage="operations and topology",
    )
    return derive(space, settings, arch.weights(), context.name)


def derive(space: Space, settings: Darts, weights: ArchitectureWeights, name: str) -> SearchResult:
    """The cell that these weights give."""
    score_ZE = strongest_scores(space, weights.operations_ZEO)
    kept = strongest_edges(space, score_ZE)
    return search_result(space, kept, strongest_operations(space, weights.operations_ZEO), weights, score_ZE=score_ZE, name=name)


def scores(space: Space, settings: Darts, weights: ArchitectureWeights) -> Scores:
    """Scores of all cells: edges by their strongest operation."""
    edge_ZE = strongest_scores(space, weights.operations_ZEO)
    return of_edges(space, edge_ZE.double().log(), operation_scores(space, weights.operations_ZEO))
