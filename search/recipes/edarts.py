"""eDARTS: operation and topology aware fast differentiable architecture search (Siddiqui, Kyrkou and Theocharides, ICPR 2020).

| paper | here |
|---|---|
| sec. III-C, IV-B: DARTS, second order, is the base | `order`, `Relaxation()` |
| sec. III-C: 2,500 images for the weights, 2,500 for alpha, 50 epochs | `images` |
| sec. III-C: "sparse update", alpha moves once an epoch | `sparse` |
| sec. III-A, IV-C: weight constants: sep 3x3 +0.0006, sep 5x5 +0.0004, "subtracting the same" from dil 5x5 and dil 3x3 | `attention` |
| sec. III-B, IV-D: the search runs along one topology, 8 edges instead of 14 | `path` |
| sec. IV-E: 5 cells, 16 channels | `layers`, `channels` |
| Table I: sub search spaces SS1 to SS8, each with skip, none and one pooling | `operations` |

Each of the four can be left out by itself (Table II): `images=None`, `sparse` off, `attention="off"`, `path=None` (then edges are chosen
as in DARTS).

Note:
    When alpha is updated within an epoch is not said, only that the weights have improved by then: in the last step but one, since
    the last batch of an epoch may be small (2,500 images are 39 batches of 64 and one of 4).
Note:
    Attention. Which dilated convolution loses how much is not said; in the order of the sentence dil 5x5 loses 0.0006 and dil 3x3
    0.0004, which agrees with the ranking in sec. III-A. When the constants are added is not said either. `attention` has the
    readings: "start", once to alpha at its start; "forward", to alpha in every pass (the same but for weight decay, which then
    leaves them alone); "update", to alpha after each of its updates. Adam moves alpha by about 3e-4 an update, so 50 of them add up
    to 0.015 at most: the first two shift alpha by two updates' worth, the third by 0.03 in all, which leaves separable convolutions
    alone. The paper's own model speaks against that: with 32 channels, 20 cells and separable convolutions everywhere it has 3.75 M
    parameters at least (3.39 M with poolings in the reduction cell), with two skip connections in the normal cell 3.1 to 3.2 M;
    the text has 3.1 M, and two skip connections on average. "forward" is the default, the nearest to the sentence.
Note:
    Path. The text speaks of "one of the best paths" and shows it in Fig. 1 alone, of which the text at hand has no picture. Default is the
    widest topology, every node reading both inputs of the cell: FTSO (sec. 4.2) found the shallowest and widest cell to be the best, and
    it lets all nodes be computed at once. Ranked by short trainings (docs/results.md), the more edges of a path read the inputs the better
    it is, and the winner among all 180, 01-01-01-04, does not lead clearly; so the default is what it was.
Note:
    The pooling of the sub search spaces is "either max or average": max is taken. All else is DARTS' (arXiv 1806.09055).
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from nasarch.cells.space import DARTS, Space
from nasarch.cells.topology import read_path
from nasarch.runtime.schedules import cosine
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.discretize import by_kind, given_edges, search_result, strongest_edges, strongest_operations, strongest_scores
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.scores import Scores, of_edges, of_topology, operation_scores
from nasarch.search.engine.updates import Batch, OptimizerSettings, State, Step, Update, of_order
from nasarch.search.settings.edarts import Edarts
from nasarch.search.supernet.candidates import on, only

PAPER = {
    "title": "Operation and Topology Aware Fast Differentiable Architecture Search",
    "authors": "Siddiqui, Kyrkou, Theocharides",
    "venue": "ICPR 2020",
    "year": 2021,
    "url": "https://zenodo.org/record/6678111",
}
CONSTANTS = {"sep_conv_3x3": 6e-4, "sep_conv_5x5": 4e-4, "dil_conv_5x5": -6e-4, "dil_conv_3x3": -4e-4}


def search(context: SearchContext, settings: Edarts) -> Generator[Progress, None, SearchResult]:
    """Yields progress, returns what was found."""
    space = context.cells(settings.nodes)
    if space.name != DARTS.name:
        raise ValueError(
            f"eDARTS' paths and constants belong to space {DARTS.name!r}, not {space.name!r}: search it with darts, pc-darts or ftso"
        )
    candidates = path_candidates(space, settings)
    constants_O = torch.tensor([CONSTANTS.get(name, 0.0) for name in space.operations], device=context.device)
    bias = constants_O if settings.attention == "forward" else 0.0
    arch = context.relaxation(space, candidates, init_std=settings.init_std, bias=bias)
    if settings.attention == "start":
        arch.alpha.data += constants_O
    update = of_order(settings.order, context.amp)

    yield from context.train(
        context.supernet(space, candidates, channels=settings.channels, layers=settings.layers),
        arch,
        context.train_val_loaders(settings.batch_size, _fractions(settings, context)),
        attended(update, constants_O) if settings.attention == "update" else update,
        OptimizerSettings.of(settings),
        epochs=settings.epochs,
        sparse=settings.sparse,
        learning_rate=cosine(settings.lr, settings.lr_end, settings.epochs),
        derive=lambda: derive(space, settings, arch.weights(), context.name),
        stage="operations" if settings.path else "operations and topology",
    )
    return derive(space, settings, arch.weights(), context.name)


def path_candidates(space: Space, settings: Edarts) -> Tensor:
    """The settings' operations on the edges of the path; without a path on all edges."""
    is_default = settings.operations == DARTS.operations
    candidates = only(space, *(space.operations if is_default else settings.operations))
    return candidates if settings.path is None else candidates & on(space, by_kind(given_edges(space, read_path(settings.path, space))))


def derive(space: Space, settings: Edarts, weights: ArchitectureWeights, name: str) -> SearchResult:
    """The cell that these weights give: the edges of the path, or DARTS' two of the strongest operation; its operation on each."""
    score_ZE = strongest_scores(space, weights.operations_ZEO)
    kept = given_edges(space, read_path(settings.path, space)) if settings.path else strongest_edges(space, score_ZE)
    return search_result(space, kept, strongest_operations(space, weights.operations_ZEO), weights, score_ZE=score_ZE, name=name)


def scores(space: Space, settings: Edarts, weights: ArchitectureWeights) -> Scores:
    """Scores of all cells on the edges of the path, without a path as DARTS'."""
    operations_ZEO = operation_scores(space, weights.operations_ZEO)
    if settings.path is not None:
        return of_topology(space, given_edges(space, read_path(settings.path, space)), operations_ZEO)
    return of_edges(space, strongest_scores(space, weights.operations_ZEO).double().log(), operations_ZEO)


def attended(update: Update, constants_O: Tensor) -> Update:
    """The update, after which the constants are added to alpha."""

    def step(state: State, train: Batch, valid: Batch) -> Step:
        result = update(state, train, valid)
        state.arch.alpha.data += constants_O  # type: ignore[operator]
        return result

    return step


def _fractions(settings: Edarts, context: SearchContext) -> tuple[float, float]:
    """Of the training images, for each side; a split that was given says it by itself."""
    count = len(context.data.train)
    if settings.images is None or context.parts is not None:
        return 0.5, 0.5
    if 2 * settings.images > count:
        raise ValueError(
            f"images={settings.images} for each side: the data have {count} training images; choose {count // 2} or fewer, or none"
        )
    return settings.images / count, settings.images / count
