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
from dataclasses import dataclass

from nasarch.cells.space import Space
from nasarch.runtime.schedules import cosine, warmed_up
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.discretize import found, strongest_edges, strongest_operations, strongest_scores
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.updates import first_order
from nasarch.search.supernet.candidates import all_candidates

from . import settings

PAPER = {
    "title": "PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search",
    "venue": "ICLR",
    "year": 2020,
    "arxiv": "1907.05737",
}


@dataclass(frozen=True, kw_only=True)
class PcDarts:
    """Settings of PC-DARTS on CIFAR-10; sections and tables are of the ICLR text.

    Args:
        partial: K, one K-th of the channels takes part (sec. 4.2; Fig. 3 tries 1, 2, 4, 8).
        edge_normalisation: weigh edges by beta (eq. 2; Table 3 goes without).
        epochs: of the search (sec. 4.2; Table 4 tries 50 to 125).
        warmup: so many epochs train the weights alone (sec. 4.2).
        nodes: inner nodes of a cell (sec. 4.1: N = 6 with the inputs; Table 4 tries 5, 6, 7).
        layers: cells of the supernet (sec. 4.1).
        channels: of the first cell (sec. 4.1).
        batch_size: images a step, on either side of the data (sec. 4.2).
        lr: of the weights at first, SGD (sec. 4.2).
        lr_end: where its cosine ends (sec. 4.2).
        momentum: of SGD (sec. 4.2).
        weight_decay: of the weights (sec. 4.2).
        clip: largest norm of the weights' gradient (code).
        arch_lr: of alpha and beta, Adam (sec. 4.2).
        arch_weight_decay: of alpha and beta (sec. 4.2).
        init_std: alpha and beta start at this times randn (code).
        rate_warmup: so many epochs raise the learning rate of the weights linearly to `lr` (code, ImageNet: 5).
        random_channels: sample the channels anew in every pass (eq. 1) instead of taking the first ones and shuffling.
        fractions: of the training images, for the weights and for the architecture (sec. 4.2; ImageNet: 0.1 and 0.025).
    """

    partial: int = 4
    edge_normalisation: bool = True
    epochs: int = 50
    warmup: int = 15
    nodes: int = 4
    layers: int = 8
    channels: int = 16
    batch_size: int = 256
    lr: float = 0.1
    lr_end: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    arch_lr: float = 6e-4
    arch_weight_decay: float = 1e-3
    init_std: float = 1e-3
    rate_warmup: int = 0
    random_channels: bool = False
    fractions: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        settings.check(self)


def search(bench: SearchContext, recipe: PcDarts) -> Generator[Progress, None, SearchResult]:
    """Yields progress, returns what was found."""
    space = bench.cells(recipe.nodes)
    candidates = all_candidates(space)
    shape = {"channels": recipe.channels, "layers": recipe.layers, "partial": recipe.partial, "random_channels": recipe.random_channels}
    arch = bench.relaxation(space, candidates, subset=int(recipe.edge_normalisation), init_std=recipe.init_std)

    yield from bench.train(
        bench.supernet(space, candidates, **shape),
        arch,
        bench.sides(recipe.batch_size, recipe.fractions),
        first_order,
        recipe,
        epochs=recipe.epochs,
        warmup=recipe.warmup,
        learning_rate=warmed_up(cosine(recipe.lr, recipe.lr_end, recipe.epochs), recipe.rate_warmup),
        derive=lambda: derive(space, recipe, arch.weights(), bench.name),
        stage="operations and topology",
    )
    return derive(space, recipe, arch.weights(), bench.name)


def derive(space: Space, recipe: PcDarts, weights: ArchitectureWeights, name: str) -> SearchResult:
    """The cell that these weights give: edges by the product of both softmaxes, operations by their own."""
    score_ZE = strongest_scores(space, weights.operations_ZEO * weights.edges_ZE[:, :, None])
    kept = strongest_edges(space, score_ZE)
    return found(space, kept, strongest_operations(space, weights.operations_ZEO), weights, score_ZE=score_ZE, name=name)
