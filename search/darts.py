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
    The code takes a new shuffled validation batch for each step, with replacement; here all images of the half are seen equally often.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

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
from .updates import Update, exact_second_order, first_order, second_order

PAPER = {"title": "DARTS: Differentiable Architecture Search", "venue": "ICLR", "year": 2019, "arxiv": "1806.09055"}
ORDERS: dict[str, Update] = {"first": first_order, "second": second_order, "exact": exact_second_order}


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
        spread: alpha starts at this times randn (code; A.1.1 starts at zero).
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
    spread: float = 1e-3


def search(
    data: Dataset,
    recipe: Darts,
    *,
    space: Space = DARTS,
    seed: int = 0,
    device: torch.device | str = "cpu",
    name: str = "darts",
    checkpoint: Checkpoint | None = None,
) -> Generator[Progress, None, Found]:
    """Search on `data` (its training part alone); yields progress, returns what was found."""
    space = space if space.kept_edges is None else space.with_nodes(recipe.nodes)
    train, valid = both_sides(halves(data.train, seed), data, batch_size=recipe.batch_size, seed=seed, device=device)
    candidates = all_candidates(space)
    with seeded(seed):
        net = Supernet(space, candidates, channels=recipe.channels, layers=recipe.layers, num_classes=data.num_classes).to(device)
        arch = Relaxation(space, candidates, spread=recipe.spread).to(device)

    def found() -> Found:
        score_ZE = strongest_scores(space, arch.operations())
        kept = strongest_edges(space, score_ZE)
        cell = genotype(space, kept, strongest_operations(space, arch.operations()), name=name, provenance={})
        return Found(cell, margins(space, kept, score_ZE))

    yield from fit(
        start(net, arch, recipe),
        train,
        valid,
        ORDERS[recipe.order],
        epochs=recipe.epochs,
        learning_rate=cosine(recipe.lr, recipe.lr_end, recipe.epochs),
        derive=lambda: found().genotype,
        stage="operations and topology",
        checkpoint=checkpoint,
    )
    return found()
