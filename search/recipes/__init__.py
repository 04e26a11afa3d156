"""Search methods, a module each, and their settings: `recipes.PcDarts(epochs=5)`, `recipes.preset("dots", "imagenet")`."""

from __future__ import annotations

from typing import Any

from nasarch.search.settings.darts import Darts
from nasarch.search.settings.dots import Dots, DotsStage
from nasarch.search.settings.edarts import Edarts
from nasarch.search.settings.ftso import Ftso
from nasarch.search.settings.pc_darts import PcDarts
from nasarch.search.settings.presets import find

__all__ = ["Darts", "Dots", "DotsStage", "Edarts", "Ftso", "PcDarts", "preset"]


def preset(method: str, name: str) -> Any:
    """Settings of a row of the papers' tables, by the names that `nasarch presets` lists.

    Raises:
        ValueError: there is no such method or preset.
    """
    return find(method, name).settings()
