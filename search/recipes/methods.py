"""The search methods, by the name of their command."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import SearchResult

from . import darts, dots, edarts, ftso, pc_darts


class Method(NamedTuple):
    """A search method: its title in print, its paper, and its recipe.

    `settings` is a frozen dataclass; search(context, settings) yields progress and returns the result;
    derive(space, settings, weights, name) gives the cell of architecture weights.
    """

    title: str
    paper: Mapping[str, Any]
    settings: type
    search: Callable[[SearchContext, Any], Generator[Progress, None, SearchResult]]
    derive: Callable[..., SearchResult]


METHODS = {
    "darts": Method("DARTS", darts.PAPER, darts.Darts, darts.search, darts.derive),
    "pc-darts": Method("PC-DARTS", pc_darts.PAPER, pc_darts.PcDarts, pc_darts.search, pc_darts.derive),
    "dots": Method("DOTS", dots.PAPER, dots.Dots, dots.search, dots.derive),
    "ftso": Method("FTSO", ftso.PAPER, ftso.Ftso, ftso.search, ftso.derive),
    "edarts": Method("eDARTS", edarts.PAPER, edarts.Edarts, edarts.search, edarts.derive),
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
