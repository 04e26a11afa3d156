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
    Temperature of the operation search: the text anneals 10 -> 0.2 (theta 0.65), the later code keeps T = 1. The text is the default;
    `operation_start=1, operation_decay=1` is the code's way.
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
    Architecture parameters start at zero, as in the code. Adam's learning rate is the text's 1e-4 (A.2); the code has 3e-4.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from nasarch.space import DARTS

from .batches import Batches, both_sides
from .candidates import all_candidates, winners
from .checkpoint import Checkpoint
from .data import Dataset, halves
from .discretize import Found, genotype, margins, strongest_edges, strongest_operations, strongest_scores, strongest_subsets
from .loop import Progress, fit
from .optimisers import start
from .relaxation import Relaxation
from .schedules import annealed, cosine
from .supernet import Supernet, seeded
from .updates import first_order, one_level

PAPER = {
    "title": "DOTS: Decoupling Operation and Topology in Differentiable Architecture Search",
    "venue": "CVPR",
    "year": 2021,
    "arxiv": "2010.00969",
}
FREE = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")
PARAMETRIC = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")


@dataclass(frozen=True, kw_only=True)
class Dots:
    """Settings of DOTS on CIFAR; sections and tables are of the submission.

    Args:
        operation_epochs: of the operation search (sec. 4.1).
        topology_epochs: of the topology search (sec. 4.1).
        warmup: so many epochs of each stage train the weights alone (sec. 4.1).
        operation_layers: cells of the supernet of the operation search (sec. 4.1).
        topology_layers: cells of the supernet of the topology search (sec. 4.1; Table 6 tries others).
        operation_start: T_0 of the operation search (sec. 4.1).
        operation_decay: theta of the operation search (A.2); 1 keeps the temperature.
        topology_start: T_0 of the topology search (sec. 4.1).
        topology_decay: theta of the topology search (A.2).
        operation_scale: temperature of the operations in the topology search, in units of that of the edges (code).
        one_level: train both on all images in the topology search (eq. 12; Table 4 tries halves).
        channels: of the first cell (DARTS).
        batch_size: images a step (code).
        lr: of the weights at first, SGD (A.2).
        lr_end: where its cosine over both stages ends (A.2).
        momentum: of SGD (A.2).
        weight_decay: of the weights (A.2).
        clip: largest norm of the weights' gradient (code).
        arch_lr: of alpha and beta, Adam (A.2).
        arch_weight_decay: of alpha and beta (A.2).
    """

    operation_epochs: int = 25
    topology_epochs: int = 35
    warmup: int = 15
    operation_layers: int = 8
    topology_layers: int = 17
    operation_start: float = 10.0
    operation_decay: float = 0.65
    topology_start: float = 10.0
    topology_decay: float = 0.72
    operation_scale: float = 1e-3
    one_level: bool = True
    channels: int = 16
    batch_size: int = 64
    lr: float = 0.025
    lr_end: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    arch_lr: float = 1e-4
    arch_weight_decay: float = 1e-3

    def __post_init__(self) -> None:
        shortest = min(self.operation_epochs, self.topology_epochs)
        if not 0 <= self.warmup < shortest:
            raise ValueError(
                f"warmup={self.warmup}, shortest stage {shortest} epochs: both stages need fewer epochs of warm-up than in all"
            )


def search(
    data: Dataset,
    recipe: Dots,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    name: str = "dots",
    checkpoint: Checkpoint | None = None,
) -> Generator[Progress, None, Found]:
    """Search on `data` (its training part alone); yields progress, returns what was found."""
    candidates = yield from _search_operations(data, recipe, seed, device, name, checkpoint)
    return (yield from _search_topology(data, recipe, candidates, seed, device, name, checkpoint))


def _search_operations(
    data: Dataset, recipe: Dots, seed: int, device: torch.device | str, name: str, checkpoint: Checkpoint | None
) -> Generator[Progress, None, Tensor]:
    """Section 3.1: returns the two candidates of each edge, a mask [Z, E, O]."""
    train, valid = both_sides(halves(data.train, seed), data, batch_size=recipe.batch_size, seed=seed, device=device)
    candidates = all_candidates(DARTS)
    with seeded(seed):
        net = Supernet(DARTS, candidates, channels=recipe.channels, layers=recipe.operation_layers, num_classes=data.num_classes)
    arch = Relaxation(DARTS, candidates, groups=(FREE, PARAMETRIC)).to(device)
    whole = recipe.operation_epochs + recipe.topology_epochs

    def present_cell() -> Found:
        """What DARTS' rule would make of it; the stage itself keeps all edges."""
        score_ZE = strongest_scores(DARTS, arch.operations())
        kept = strongest_edges(DARTS, score_ZE)
        cell = genotype(DARTS, kept, strongest_operations(DARTS, arch.operations()), name=name, provenance={})
        return Found(cell, margins(DARTS, kept, score_ZE))

    yield from fit(
        start(net.to(device), arch, recipe),
        train,
        valid,
        first_order,
        epochs=recipe.operation_epochs,
        warmup=recipe.warmup,
        learning_rate=cosine(recipe.lr, recipe.lr_end, whole),
        temperature=annealed(recipe.operation_start, recipe.operation_decay, recipe.warmup),
        derive=lambda: present_cell().genotype,
        stage="operations",
        checkpoint=checkpoint,
    )
    return winners(arch.operations().detach().cpu(), candidates, arch.groups_GO.cpu())


def _search_topology(
    data: Dataset, recipe: Dots, candidates: Tensor, seed: int, device: torch.device | str, name: str, checkpoint: Checkpoint | None
) -> Generator[Progress, None, Found]:
    """Section 3.2, on a fresh supernet that holds the two candidates of each edge and nothing else."""
    train, valid = _sides_of_topology(data, recipe, seed, device)
    with seeded(seed + 1):
        net = Supernet(DARTS, candidates, channels=recipe.channels, layers=recipe.topology_layers, num_classes=data.num_classes)
    arch = Relaxation(DARTS, candidates, subset=2, operation_scale=recipe.operation_scale).to(device)
    rate = cosine(recipe.lr, recipe.lr_end, recipe.operation_epochs + recipe.topology_epochs)

    def found() -> Found:
        weight_ZE = arch.edges().detach()
        kept = strongest_subsets(DARTS, arch.subsets().detach(), arch.members_ZNSE, weight_ZE)
        cell = genotype(DARTS, kept, strongest_operations(DARTS, arch.operations()), name=name, provenance={})
        return Found(cell, margins(DARTS, kept, weight_ZE))

    yield from fit(
        start(net.to(device), arch, recipe),
        train,
        valid,
        one_level if recipe.one_level else first_order,
        epochs=recipe.topology_epochs,
        warmup=recipe.warmup,
        learning_rate=lambda epoch: rate(recipe.operation_epochs + epoch),
        temperature=annealed(recipe.topology_start, recipe.topology_decay, recipe.warmup),
        derive=lambda: found().genotype,
        stage="topology",
        checkpoint=checkpoint,
    )
    return found()


def _sides_of_topology(data: Dataset, recipe: Dots, seed: int, device: torch.device | str) -> tuple[Batches, Batches | None]:
    """All images for one level (eq. 12), halves for two."""
    if not recipe.one_level:
        return both_sides(halves(data.train, seed), data, batch_size=recipe.batch_size, seed=seed, device=device)
    return Batches(data.train, data, batch_size=recipe.batch_size, seed=2 * seed, device=device), None
