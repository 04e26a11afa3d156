"""All presets, by the method's command. Knows all recipes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from . import presets_darts, presets_dots, presets_edarts, presets_ftso, presets_pc_darts
from .preset import Preset as Preset
from .preset import Presets

PRESETS: Mapping[str, Presets] = {
    "darts": presets_darts.PRESETS,
    "pc-darts": presets_pc_darts.PRESETS,
    "ftso": presets_ftso.PRESETS,
    "dots": presets_dots.PRESETS,
    "edarts": presets_edarts.PRESETS,
}


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
