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
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nasarch.cells.space import DARTS, Space
from nasarch.runtime.schedules import cosine
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.discretize import by_kind, found, given_edges, strongest_edges, strongest_operations, strongest_scores
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.updates import Batch, State, Step, Update, of_order
from nasarch.search.supernet.candidates import on, only

from . import settings

PAPER = {
    "title": "Operation and Topology Aware Fast Differentiable Architecture Search",
    "authors": "Siddiqui, Kyrkou, Theocharides",
    "venue": "ICPR 2020",
    "year": 2021,
    "url": "https://zenodo.org/record/6678111",
}
CONSTANTS = {"sep_conv_3x3": 6e-4, "sep_conv_5x5": 4e-4, "dil_conv_5x5": -6e-4, "dil_conv_3x3": -4e-4}


@dataclass(frozen=True, kw_only=True)
class Edarts:
    """Settings of eDARTS; sections are of its text.

    Args:
        order: second is the base (sec. IV-B); first is DARTS' cheaper one.
        epochs: of the search (sec. III-C).
        images: so many for the weights and as many for alpha (sec. IV-B); none means halves of the training images.
        sparse: alpha moves once an epoch (sec. III-C); off is in every step.
        attention: when the constants are added (sec. IV-C); off is never.
        path: the sources of each inner node's edges, node by node, in both cells (sec. IV-D); none searches them, too.
        operations: candidates (sec. IV-C; Table I).
        nodes: inner nodes of a cell (DARTS).
        layers: cells of the supernet (sec. IV-E; Fig. 2: 5 and 16).
        channels: of the first cell (sec. IV-E).
        batch_size: images a step, on either side of the data (DARTS).
        lr: of the weights at first, SGD (DARTS).
        lr_end: where its cosine ends (DARTS' code).
        momentum: of SGD (DARTS).
        weight_decay: of the weights (DARTS).
        clip: largest norm of the weights' gradient (DARTS' code).
        arch_lr: of alpha, Adam (DARTS).
        arch_weight_decay: of alpha (DARTS).
        init_std: alpha starts at this times randn (DARTS' code).
    """

    order: Literal["first", "second"] = "second"
    epochs: int = 50
    images: int | None = 2500
    sparse: bool = True
    attention: Literal["off", "start", "forward", "update"] = "forward"
    path: str | None = "01-01-01-01"
    operations: tuple[str, ...] = DARTS.operations
    nodes: int = 4
    layers: int = 5
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

    def __post_init__(self) -> None:
        settings.check(self)
        only(DARTS, *self.operations)
        if not set(self.operations) - {"none"}:
            raise ValueError("operations: give one at least that is not none, such as sep_conv_3x3")
        if self.path is not None:
            read_path(self.path, DARTS.with_nodes(self.nodes))


def read_path(path: str, space: Space) -> list[tuple[int, ...]]:
    """The sources of each inner node: "01-02-13-04" gives [(0, 1), (0, 2), (1, 3), (0, 4)].

    Raises:
        ValueError: another number of nodes or edges than the cell has, or a node that reads a later one or one twice.
    """
    groups = path.split("-")
    wanted = (
        f"for {space.nodes} nodes write {space.nodes} groups of {space.kept_edges} earlier nodes, such as {'-'.join(['01'] * space.nodes)}"
    )
    if len(groups) != space.nodes:
        raise ValueError(f"path {path!r} has {len(groups)} nodes; {wanted}")
    for node, group in zip(space.inner_nodes, groups, strict=True):
        if len(set(group)) != space.kept_edges or len(group) != space.kept_edges or not set(group) <= set("0123456789"[:node]):
            raise ValueError(f"path {path!r}: node {node} can't read {group!r}; {wanted}")
    return [tuple(map(int, group)) for group in groups]


def search(bench: SearchContext, recipe: Edarts) -> Generator[Progress, None, SearchResult]:
    """Yields progress, returns what was found."""
    space = bench.cells(recipe.nodes)
    if space.name != DARTS.name:
        raise ValueError(
            f"eDARTS' paths and constants belong to space {DARTS.name!r}, not {space.name!r}: search it with darts, pc-darts or ftso"
        )
    candidates = _candidates(space, recipe)
    constants_O = torch.tensor([CONSTANTS.get(name, 0.0) for name in space.operations], device=bench.device)
    bias = constants_O if recipe.attention == "forward" else 0.0
    arch = bench.relaxation(space, candidates, init_std=recipe.init_std, bias=bias)
    if recipe.attention == "start":
        arch.alpha.data += constants_O
    update = of_order(recipe.order, bench.amp)

    yield from bench.train(
        bench.supernet(space, candidates, channels=recipe.channels, layers=recipe.layers),
        arch,
        bench.sides(recipe.batch_size, _fractions(recipe, bench)),
        attended(update, constants_O) if recipe.attention == "update" else update,
        recipe,
        epochs=recipe.epochs,
        sparse=recipe.sparse,
        learning_rate=cosine(recipe.lr, recipe.lr_end, recipe.epochs),
        derive=lambda: derive(space, recipe, arch.weights(), bench.name),
        stage="operations" if recipe.path else "operations and topology",
    )
    return derive(space, recipe, arch.weights(), bench.name)


def derive(space: Space, recipe: Edarts, weights: ArchitectureWeights, name: str) -> SearchResult:
    """The cell that these weights give: the edges of the path, or DARTS' two of the strongest operation; its operation on each."""
    score_ZE = strongest_scores(space, weights.operations_ZEO)
    kept = given_edges(space, read_path(recipe.path, space)) if recipe.path else strongest_edges(space, score_ZE)
    return found(space, kept, strongest_operations(space, weights.operations_ZEO), weights, score_ZE=score_ZE, name=name)


def attended(update: Update, constants_O: Tensor) -> Update:
    """The update, after which the constants are added to alpha."""

    def step(state: State, train: Batch, valid: Batch) -> Step:
        result = update(state, train, valid)
        state.arch.alpha.data += constants_O  # type: ignore[operator]
        return result

    return step


def _candidates(space: Space, recipe: Edarts) -> Tensor:
    candidates = only(space, *recipe.operations)
    if recipe.path is None:
        return candidates
    return candidates & on(space, by_kind(given_edges(space, read_path(recipe.path, space))))


def _fractions(recipe: Edarts, bench: SearchContext) -> tuple[float, float]:
    """Of the training images, for each side; a split that was given says it by itself."""
    count = len(bench.data.train)
    if recipe.images is None or bench.parts is not None:
        return 0.5, 0.5
    if 2 * recipe.images > count:
        raise ValueError(
            f"images={recipe.images} for each side: the data have {count} training images; choose {count // 2} or fewer, or none"
        )
    return recipe.images / count, recipe.images / count
