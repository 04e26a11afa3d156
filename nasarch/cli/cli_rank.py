"""The commands that train many small networks, to rank or to choose: named here with a summary, told in nasarch.search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Command = Callable[..., None]


def rank_paths(arguments: Sequence[str] = ()) -> Command:
    """Rank all topologies of a cell by the accuracy of small networks, for eDARTS' --path."""
    from nasarch.search.ranking.paths import rank_paths

    return rank_paths


def correlate(arguments: Sequence[str] = ()) -> Command:
    """Compare the importance that a search gave to pairs of edges with the accuracy that they bring."""
    from nasarch.search.ranking.correlate import correlate

    return correlate


def select(arguments: Sequence[str] = ()) -> Command:
    """Choose the best of several searched cells by short trainings, and say how sure that is."""
    from nasarch.search.ranking.select import select

    return select


def compare(arguments: Sequence[str] = ()) -> Command:
    """Test several cells, and random ones, under one shallow recipe."""
    from nasarch.search.ranking.compare import compare

    return compare
