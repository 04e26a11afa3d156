"""DARTS: differentiable architecture search (Liu, Simonyan and Yang, ICLR 2019; arXiv 1806.09055), the baseline of the others.

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
from dataclasses import dataclass
from typing import Literal

from nasarch.cells.space import Space
from nasarch.runtime.schedules import cosine
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.discretize import found, strongest_edges, strongest_operations, strongest_scores
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.updates import of_order
from nasarch.search.supernet.candidates import all_candidates

from . import settings

PAPER = {"title": "DARTS: Differentiable Architecture Search", "venue": "ICLR", "year": 2019, "arxiv": "1806.09055"}


@dataclass(frozen=True, kw_only=True)
class Darts:
    """Settings of DARTS; sections are of the ICLR text.

    Args:
        order: first (xi = 0), second (finite differences, eq. 8) or exact (the product of eq. 7 itself).
        epochs: of the search (A.1.1).
        nodes: inner nodes of a cell (A.1.1: 7 nodes with the two inputs and the output).
        layers: cells of the supernet (A.1.1).
        channels: of the first cell (A.1.1).
        batch_size: images a step, on either side of the data (A.1.1).
        lr: of the weights at first, SGD (A.1.1).
        lr_end: where its cosine ends: 0 in A.1.1, 0.001 in the code, which is taken.
        momentum: of SGD (A.1.1).
        weight_decay: of the weights (A.1.1).
        clip: largest norm of the weights' gradient (code).
        arch_lr: of alpha, Adam (A.1.1).
        arch_weight_decay: of alpha (A.1.1).
        init_std: alpha starts at this times randn (code; A.1.1 starts at zero).
        fractions: of the training images, for the weights and for the architecture (sec. 3.1).
    """

    order: Literal["first", "second", "exact"] = "second"
    epochs: int = 50
    nodes: int = 4
    layers: int = 8
    channels: int = 16
    batch_size: int = 64
    lr: float = 0.025
    lr_end: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    arch_lr: float = 3e-4
    arch_weight_decay: float = 1e-3
    init_std: float = 1e-3
    fractions: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        settings.check(self)


def search(bench: SearchContext, recipe: Darts) -> Generator[Progress, None, SearchResult]:
    """Yields progress, returns what was found."""
    space = bench.cells(recipe.nodes)
    candidates = all_candidates(space)
    arch = bench.relaxation(space, candidates, init_std=recipe.init_std)

    yield from bench.train(
        bench.supernet(space, candidates, channels=recipe.channels, layers=recipe.layers),
        arch,
        bench.sides(recipe.batch_size, recipe.fractions),
        of_order(recipe.order, bench.amp),
        recipe,
        epochs=recipe.epochs,
        learning_rate=cosine(recipe.lr, recipe.lr_end, recipe.epochs),
        derive=lambda: derive(space, recipe, arch.weights(), bench.name),
        stage="operations and topology",
    )
    return derive(space, recipe, arch.weights(), bench.name)


def derive(space: Space, recipe: Darts, weights: ArchitectureWeights, name: str) -> SearchResult:
    """The cell that these weights give."""
    score_ZE = strongest_scores(space, weights.operations_ZEO)
    kept = strongest_edges(space, score_ZE)
    return found(space, kept, strongest_operations(space, weights.operations_ZEO), weights, score_ZE=score_ZE, name=name)
