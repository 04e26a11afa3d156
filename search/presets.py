"""Presets: a named row of a paper's table, with what the paper reports for it. Knows all recipes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Preset(NamedTuple):
    """`settings()` gives the recipe's frozen settings; `row` says where the paper has them, `reported` what came out there."""

    settings: Callable[[], Any]
    row: str
    reported: str
    space: str = "darts"


PRESETS: Mapping[str, Mapping[str, Preset]] = {"darts": {}, "pc-darts": {}, "ftso": {}, "dots": {}, "edarts": {}}


def find(method: str, name: str) -> Preset:
    """The preset of a method's command.

    Raises:
        ValueError: there is none of that name.
    """
    known = PRESETS[method]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"legal are {', '.join(known)};"
        raise ValueError(f"unknown preset {name!r} of {method}; {hint} `nasarch presets {method}` says more")
    return known[name]
