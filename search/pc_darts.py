"""PC-DARTS: partial channel connections (Xu, Xie, Zhang, Chen, Qi, Tian and Xiong, ICLR 2020; arXiv 1907.05737).

| paper | here |
|---|---|
| eq. 1: one K-th of the channels through the operations, the others past them | `Supernet(partial=K)` |
| eq. 2: x_j = sum_i softmax(beta_j)_i * f_ij | `Relaxation(subset=1)`; without edge normalisation `subset=0` |
| sec. 4.2: in the first 15 epochs only the weights are trained | `warmup` |
| sec. 3.3: edges by the product of both softmaxes | `strongest_edges(max_o alpha * beta)` |

Note:
    Channels. The text samples them at random in every step; the published code always takes the first C / K, and shuffles the
    result so that the next edge gets others: so it is here. (The code's random variant shuffles and samples nothing.)
Note:
    Weight decay of the ImageNet search: 3e-5 in the text, 3e-4 in the code. The text's is the preset's.
Note:
    Its code ends the cosine at 0 for CIFAR and has no warm-up of the learning rate there; on ImageNet the first five epochs go up linearly.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch

from nasarch.space import DARTS, Space

from .batches import both_sides
from .candidates import all_candidates
from .checkpoint import Checkpoint
from .data import Dataset, halves
from .discretize import Found, genotype, margins, strongest_edges, strongest_operations, strongest_scores
from .loop import Progress, fit
from .optimisers import start
from .relaxation import Relaxation
from .schedules import cosine
from .supernet import Supernet, seeded
from .updates import first_order

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
        spread: alpha and beta start at this times randn (code).
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
    spread: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 <= self.warmup < self.epochs:
            raise ValueError(f"warmup={self.warmup}, epochs={self.epochs}: a search needs fewer epochs of warm-up than epochs in all")


def search(
    data: Dataset,
    recipe: PcDarts,
    *,
    space: Space = DARTS,
    seed: int = 0,
    device: torch.device | str = "cpu",
    name: str = "pc_darts",
    checkpoint: Checkpoint | None = None,
) -> Generator[Progress, None, Found]:
    """Search on `data` (its training part alone); yields progress, returns what was found."""
    space = space if space.kept_edges is None else space.with_nodes(recipe.nodes)
    train, valid = both_sides(halves(data.train, seed), data, batch_size=recipe.batch_size, seed=seed, device=device)
    candidates = all_candidates(space)
    with seeded(seed):
        net = Supernet(
            space, candidates, channels=recipe.channels, layers=recipe.layers, partial=recipe.partial, num_classes=data.num_classes
        ).to(device)
        arch = Relaxation(space, candidates, subset=int(recipe.edge_normalisation), spread=recipe.spread).to(device)

    def found() -> Found:
        score_ZE = strongest_scores(space, arch())
        kept = strongest_edges(space, score_ZE)
        cell = genotype(space, kept, strongest_operations(space, arch.operations()), name=name, provenance={})
        return Found(cell, margins(space, kept, score_ZE))

    yield from fit(
        start(net, arch, recipe),
        train,
        valid,
        first_order,
        epochs=recipe.epochs,
        warmup=recipe.warmup,
        learning_rate=cosine(recipe.lr, recipe.lr_end, recipe.epochs),
        derive=lambda: found().genotype,
        stage="operations and topology",
        checkpoint=checkpoint,
    )
    return found()
