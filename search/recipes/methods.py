"""The search methods, by the name of their command."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

from nasarch.cells.space import Space
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.engine.scores import Scores

from . import darts, dots, edarts, ftso, pc_darts


class Method(NamedTuple):
    """A search method: its title in print, its paper, and its recipe.

    `settings` is a frozen dataclass; search(context, settings) yields progress and returns the result;
    derive(space, settings, weights, name) gives the cell of architecture weights, scores(space, settings, weights) the scores of all cells,
    of which it is the best.
    """

    title: str
    paper: Mapping[str, Any]
    settings: type
    search: Callable[[SearchContext, Any], Generator[Progress, None, SearchResult]]
    derive: Callable[..., SearchResult]
    scores: Callable[[Space, Any, ArchitectureWeights], Scores]


METHODS = {
    "darts": Method("DARTS", darts.PAPER, darts.Darts, darts.search, darts.derive, darts.scores),
    "pc-darts": Method("PC-DARTS", pc_darts.PAPER, pc_darts.PcDarts, pc_darts.search, pc_darts.derive, pc_darts.scores),
    "dots": Method("DOTS", dots.PAPER, dots.Dots, dots.search, dots.derive, dots.scores),
    "ftso": Method("FTSO", ftso.PAPER, ftso.Ftso, ftso.search, ftso.derive, ftso.scores),
    "edarts": Method("eDARTS", edarts.PAPER, edarts.Edarts, edarts.search, edarts.derive, edarts.scores),
}


def titled(title: str) -> Method:
    """The method of this title, as config.json has it.

    Raises:
        ValueError: there is none.
    """
    for method in METHODS.values():
        if method.title == title:
            return method
    raise ValueError(f"unknown method {title!r}; legal are {', '.join(method.title for method in METHODS.values())}")
