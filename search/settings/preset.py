"""Preset: a named row of a paper's table. Knows no method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Preset(NamedTuple):
    """`settings()` gives the recipe's frozen settings; `row` says where the paper has them, `reported` what came out there.

    `data` names the data set of that row, `--data` of a search; none is loaded by it.
    """

    settings: Callable[[], Any]
    row: str
    reported: str
    space: str = "darts"
    data: str = "cifar10"


Presets = Mapping[str, Preset]
