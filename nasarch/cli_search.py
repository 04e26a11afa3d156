"""The commands around `nasarch search`: what can be searched and what it costs, what to do with data and runs, and training.

What they do lies in nasarch.search, which is imported when one of them is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from nasarch.printing import print_json, print_rich

Method = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")]
Data = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
Runs = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
Folder = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="DIR")]


def presets(method: Method = "*", *, json: bool = False) -> None:
    """List the presets of searches: the rows of the papers' tables, and what the papers report for them.

    Args:
        method: only methods that match, with * and ?; quote it.
        json: print JSON with all settings.
    """
    from nasarch.search.preset_table import NOTE, entries, table

    found = entries(method)
    if json:
        print_json([entry.to_dict() for entry in found])
    else:
        print_rich(table(found))
        print("", NOTE, sep="\n")


def cost(*, kernel: int = 5, channels: int = 512, nodes: int = 7, operations: int = 8, size: int = 32, json: bool = False) -> None:
    """Count operations, parameters and FLOPs of DARTS and FTSO by the formulas of FTSO's Theorems 1 and 2.

    Args:
        kernel: of every operation, which the theorems take for a plain convolution with bias.
        channels: of every map; the papers' searches have 16 to 64.
        nodes: of a cell, the two inputs and the output among them.
        operations: candidates on each edge.
        size: height and width of every map; the ratios are the same for all.
        json: print JSON with the exact figures.
    """
    from nasarch.search.cost_theorems import costs, table

    found = costs(kernel=kernel, channels=channels, nodes=nodes, operations=operations, size=size)
    if json:
        print_json(found.to_dict())
    else:
        print_rich(table(found))
        print("", "one cell, by FTSO's Theorems 1 and 2, for which every operation of DARTS is a plain convolution; not measured", sep="\n")


def split(
    data: Data,
    *,
    out: Folder,
    fractions: tuple[float, ...] = (0.1, 0.025),
    seed: int = 0,
    root: Path | None = None,
    download: bool = False,
) -> None:
    """Split training images by class at random into parts of given fractions, and write lists of their names.

    Args:
        data: digits, cifar10, cifar100, or a folder or tar file of class folders; no image is decoded.
        out: the folder for the lists, part-1.txt, part-2.txt, ..., and split.json, by which a search knows them.
        fractions: of the images of each class, one for each part; by default those of the ImageNet searches, 10 % and 2.5 %.
        seed: of the split; the same seed gives the same split on every machine.
        root: folder of CIFAR's files.
        download: fetch CIFAR's files if they are missing.
    """
    from nasarch.search.split_command import split

    split(data, out=out, fractions=fractions, seed=seed, root=root, download=download)


def report(runs: Runs, *, out: Path | None = None) -> None:
    """Write a page on searches: settings, curves, weights over time, cells, margins, stability, cost.

    Args:
        runs: folders of searches, finished or not, or of several seeds; several are compared.
        out: folder of the page and its pictures; by default report/ in the first run's folder.
    """
    from nasarch.search.report import report

    report(runs, out=out)


def gather(runs: Runs, *, out: Folder, consensus: bool = True) -> None:
    """Bring together runs of the same search with other seeds, from this machine or others: stability, and the cell of the mean weights.

    Args:
        runs: folders of finished runs, or folders whose seed-N are such.
        out: a new folder for the results.
        consensus: derive the cell of the mean weights, and how far halves of the runs agree.
    """
    from nasarch.search.gather import gather

    gather(runs, out=out, consensus=consensus)


def train(arguments: Sequence[str] = ()) -> Callable[..., None]:
    """Train a model or the network of a genotype by a paper's recipe, and test it."""
    from nasarch.search.train_command import command

    return command(arguments)
