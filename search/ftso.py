"""FTSO: first the topology, then the operators (Wang, Wei, Zou, Wang and Xu; arXiv 2303.12948 (2024 text); 2021 submission).

| text | here |
|---|---|
| Algorithm 1: assign each edge a skip connection | candidates `only(skip_connect)`; Table 1's "m.p.", "sep3", ... by `topology_operation` |
| Algorithm 1: n_j = sum_i o(n_i) beta_ij | `Relaxation(subset=1)`, PC-DARTS eq. 2; K = 4 (2021, Table 4: 25 % of the channels) |
| update beta on L_val, then w on L_train, in the first epoch | `first_order`, `epochs` = 1; `iterations` = 1 for "1it." |
| prune what is below the second largest beta of a node | `strongest_edges(beta)` |
| Algorithm 2: replace with convolutions | `operation`: sep_conv_3x3 on every edge that is left (sec. 4.1) |

Note:
    Softmax. Algorithm 1 weighs by beta itself, section 3 inherits PC-DARTS, whose eq. 2 (quoted in section 2) has a softmax. With the
    softmax a node's input keeps its scale whatever the number of edges; it is used here. The order of edges is that of beta either way.
Note:
    Start and ties. The text does not say how beta starts; PC-DARTS starts at 1e-3 * randn. The first step of Adam moves every beta by about
    the learning rate, 6e-4, whatever the gradient: from a random start one iteration would return the noise it started from. Beta starts at
    zero here. After one step only signs of gradients are left in it, so scores that are equal to `TIE` are ranked by the last gradient, the
    steepest descent first. `margins` says how much the kept edges lead: read it before you believe a topology.
Note:
    Learning rates. 2021, Table 4: weights cosine from 0.025 to 0 on CIFAR, architecture 6e-4 (Adam). Batch size, momentum, weight decays
    and clipping are not given: PC-DARTS' values (256, 0.9, 3e-4 and 1e-3, 5).
Note:
    The genotype lists a node's edges by beta, the strongest first, as published genotypes do.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import torch

from nasarch.space import DARTS

from .batches import both_sides
from .candidates import only
from .checkpoint import Checkpoint
from .data import Dataset, halves
from .discretize import Found, genotype, margins, one_operation, strongest_edges
from .loop import Progress, fit
from .optimisers import start
from .relaxation import Relaxation
from .schedules import cosine
from .supernet import Supernet, seeded
from .updates import first_order

PAPER = {"title": "FTSO: Effective NAS via First Topology Second Operator", "year": 2023, "arxiv": "2303.12948"}
TIE = 1e-5  # betas that differ by less than a sixtieth of one Adam step say nothing


@dataclass(frozen=True, kw_only=True)
class Ftso:
    """Settings of FTSO. Sections and tables are of the 2024 text, tables marked 2021 of the submission.

    Args:
        topology_operation: candidates of the topology search; skip_connect in the paper's default, Table 1 tries others.
        operation: what every edge of the found topology becomes (sec. 4.1; Fig. 4a compares them).
        epochs: of the topology search (Table 1: 1 is best, 50 overfits).
        iterations: stop after so many steps ("1it." in Table 1); none means whole epochs.
        nodes: inner nodes of a cell (2021, A.1).
        layers: cells of the supernet, 6 normal + 2 reduction (2021, Table 4).
        channels: of the first cell (2021, Table 4).
        partial: K, one K-th of the channels takes part: "channel proportion 25 %" (2021, Table 4).
        batch_size: images a step, on either side of the data (PC-DARTS sec. 4.2).
        lr: of the weights at first, SGD (2021, Table 4).
        lr_end: where its cosine ends (2021, Table 4).
        momentum: of SGD (PC-DARTS sec. 4.2).
        weight_decay: of the weights (PC-DARTS sec. 4.2).
        clip: largest norm of the weights' gradient (DARTS' code).
        arch_lr: of beta, Adam (2021, Table 4: 6e-4 on CIFAR-10).
        arch_weight_decay: of beta (PC-DARTS sec. 4.2).
    """

    topology_operation: tuple[str, ...] = ("skip_connect",)
    operation: str = "sep_conv_3x3"
    epochs: int = 1
    iterations: int | None = None
    nodes: int = 4
    layers: int = 8
    channels: int = 16
    partial: int = 4
    batch_size: int = 256
    lr: float = 0.025
    lr_end: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    arch_lr: float = 6e-4
    arch_weight_decay: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("epochs", "iterations", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: a search takes 1 at least")
        only(DARTS, *self.topology_operation)
        one_operation(DARTS, self.operation)


def search(
    data: Dataset,
    recipe: Ftso,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    name: str = "ftso",
    checkpoint: Checkpoint | None = None,
) -> Generator[Progress, None, Found]:
    """Search on `data` (its training part alone); yields progress, returns what was found."""
    space = DARTS.with_nodes(recipe.nodes)
    train, valid = both_sides(halves(data.train, seed), data, batch_size=recipe.batch_size, seed=seed, device=device)
    candidates = only(space, *recipe.topology_operation)
    with seeded(seed):
        net = Supernet(
            space, candidates, channels=recipe.channels, layers=recipe.layers, partial=recipe.partial, num_classes=data.num_classes
        ).to(device)
    arch = Relaxation(space, candidates, subset=1).to(device)
    state = start(net, arch, recipe)

    def found() -> Found:
        weight_ZE = arch.edges().detach()
        descent_ZE = torch.einsum("zns,znse->ze", -arch.beta.grad, arch.members_ZNSE)  # type: ignore[operator]
        kept = strongest_edges(space, weight_ZE.log(), tie_breaker_ZE=descent_ZE, tie=TIE)
        cell = genotype(space, kept, one_operation(space, recipe.operation), name=name, provenance={})
        return Found(cell, margins(space, kept, weight_ZE))

    yield from fit(
        state,
        train,
        valid,
        first_order,
        epochs=recipe.epochs,
        iterations=recipe.iterations,
        learning_rate=cosine(recipe.lr, recipe.lr_end, recipe.epochs),
        derive=lambda: found().genotype,
        stage="topology",
        checkpoint=checkpoint,
    )
    return found()
