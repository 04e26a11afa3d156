"""PC-DARTS: partial channel connections (Xu, Xie, Zhang, Chen, Qi, Tian and Xiong, ICLR 2020; arXiv 1907.05737).

| paper | here |
|---|---|
| eq. 1: one K-th of the channels through the operations, the others past them | `Supernet(partial=K)` |
| eq. 2: x_j = sum_i softmax(beta_j)_i * f_ij | `Relaxation(subset=1)`; without edge normalisation `subset=0` |
| sec. 4.2: in the first 15 epochs only the weights are trained | `warmup` |
| sec. 3.3: edges by the product of both softmaxes | `strongest_edges(max_o alpha * beta)` |

Note:
    Channels. The text samples them at random (eq. 1); its section 4.1 and the published code take the first C / K, and shuffle the
    result so that the next edge gets others: so it is here. `random_channels` samples anew in every pass, once for all edges that
    leave a node. (The code's own random variant samples nothing and shuffles nothing.)
Note:
    Weight decay of the ImageNet search: 3e-5 in the text, 3e-4 in the code. The text's is the preset's.
Note:
    Its code ends the cosine at 0 for CIFAR and has no warm-up of the learning rate there; on ImageNet the first five epochs go up linearly
    (`rate_warmup`), and the gradients of alpha and beta are clipped, which the text does not say and is left out.
"""

from __future__ import annotations

from collections.abc import Generator

from torch import Tensor

from nasarch.cells.space import Space
from nasarch.runtime.schedules import cosine, warmed_up
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.discretize import search_result, strongest_edges, strongest_operations, strongest_scores
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.scores import Scores, of_edges, operation_scores
from nasarch.search.engine.updates import OptimizerSettings, first_order
from nasarch.search.settings.pc_darts import PcDarts
from nasarch.search.supernet.candidates import all_candidates

PAPER = {
    "title": "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search",
    "venue": "ICLR",
    "year": 2020,
    "arxiv": "1907.05737",
}


def search(context: SearchContext, settings: PcDarts) -> Generator[Progress, None, SearchResult]:
    """Yields progress, returns what was found."""
    space = context.cells(settings.nodes)
    candidates = all_candidates(space)
    arch = context.relaxation(space, candidates, subset=int(settings.edge_normalisation), init_std=settings.init_std)

    yield from context.train(
        context.supernet(
            space,
            candidates,
            channels=settings.channels,
            layers=settings.layers,
            partial=settings.partial,
            random_channels=settings.random_channels,
        ),
        arch,
        context.train_val_loaders(settings.batch_size, settings.fractions),
        first_order,
        OptimizerSettings.of(settings),
        epochs=settings.epochs,
        warmup=settings.warmup,
        learning_rate=warmed_up(cosine(settings.lr, settings.lr_end, settings.epochs), settings.rate_warmup),
        derive=lambda: derive(space, settings, arch.weights(), context.name),
        stage="operations and topology",
    )
    return derive(space, settings, arch.weights(), context.name)


def derive(space: Space, settings: PcDarts, weights: ArchitectureWeights, name: str) -> SearchResult:
    """The cell that these weights give: edges by the product of both softmaxes, operations by their own."""
    score_ZE = _edge_scores(space, weights)
    kept = strongest_edges(space, score_ZE)
    return search_result(space, kept, strongest_operations(space, weights.operations_ZEO), weights, score_ZE=score_ZE, name=name)


def scores(space: Space, settings: PcDarts, weights: ArchitectureWeights) -> Scores:
    """Scores of all cells: edges by the product of both softmaxes."""
    return of_edges(space, _edge_scores(space, weights).double().log(), operation_scores(space, weights.operations_ZEO))


def _edge_scores(space: Space, weights: ArchitectureWeights) -> Tensor:
    return strongest_scores(space, weights.operations_ZEO * weights.edges_ZE[:, :, None])
