"""The commands that rank cells: `nasarch rank-paths`, `correlate`, `select`, `compare`. PyTorch is imported once flags are parsed."""

from __future__ import annotations

from typing import Annotated, Literal

import tyro

from nasarch.cells.space import DARTS
from nasarch.ranges import Range

from .budget import Budget

DEFAULT_BUDGET = Budget()
Flags = Annotated[Budget, tyro.conf.arg(name="")]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Sources = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE|NAME ...")]


def rank_paths(
    budget: Flags = DEFAULT_BUDGET,
    *,
    best: int = 20,
    ends: int = 3,
    nodes: int = DARTS.nodes,
    reduction: str | None = None,
    by_test: bool = False,
) -> None:
    """Rank all topologies of a cell by the validation accuracy of small networks (eDARTS, Fig. 3).

    The first seed selects the best and the worst, the other seeds evaluate how far they are apart.

    Args:
        best: Number of paths that go on to stage two, the same path in both cells (sec. IV-D).
        ends: Number of the best and of the worst of stage one, and of the best of stage two, that are trained with the other seeds, too.
        nodes: Number of inner nodes of a cell, 2 or more; 4 have 180 topologies.
        reduction: Path of the reduction cell of max pooling in stage one (default: each node reads the two before it).
        by_test: Training on all training images and ranking by test accuracy, as in eDARTS; the choice has then seen the test images.
    """
    from .paths import run as rank

    rank(best, ends, nodes, reduction, by_test, budget)


def correlate(
    run: Source = "",
    *,
    budget: Flags = DEFAULT_BUDGET,
    cell: Literal["normal", "reduction"] = "normal",
) -> None:
    """Rank correlation of edge importance and accuracy: the found cell with every pair of edges into its last node, on the test images.

    Args:
        run: Folder of a finished search.
        cell: Cell whose last node is varied: normal or reduction.
    """
    from .correlate import run as rank

    rank(run, cell, budget)


def select(sources: Sources = (), *, budget: Flags = DEFAULT_BUDGET) -> None:
    """Rank searched cells by validation accuracy: trained on one half of the training images, evaluated on the other.

    The halves are the train and validation splits of the searches where all share them, otherwise halves drawn by --seed. The test
    images are never read.

    Args:
        sources: Run folders, genotype files, or names that `nasarch models` lists; a folder of several seeds stands for all of them.
    """
    from .select import run as rank

    rank(sources, budget)


def compare(
    sources: Sources = (),
    *,
    budget: Flags = DEFAULT_BUDGET,
    drawn: Annotated[int, Range("0 to 10000", lambda value: 0 <= value <= 10000), tyro.conf.arg(name="random", metavar="N")] = 0,
) -> None:
    """Compare cells by test accuracy under one recipe: mean and standard deviation over seeds, beside random cells.

    Args:
        sources: Names that `nasarch models` lists, genotype files or run folders (default: the papers' cells for CIFAR-10).
        drawn: Number of random cells to add, drawn by SEED.
    """
    from .compare import run as rank

    rank(sources, drawn, budget)
