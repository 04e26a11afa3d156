"""Settings and presets of all methods, by the method's command. Knows no PyTorch, so that flags are parsed without it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from . import darts, dots, edarts, ftso, pc_darts
from .preset import Preset, Presets

SETTINGS: Mapping[str, type] = {
    "darts": darts.Darts,
    "pc-darts": pc_darts.PcDarts,
    "ftso": ftso.Ftso,
    "dots": dots.Dots,
    "edarts": edarts.Edarts,
}
PRESETS: Mapping[str, Presets] = {
    "darts": darts.PRESETS,
    "pc-darts": pc_darts.PRESETS,
    "ftso": ftso.PRESETS,
    "dots": dots.PRESETS,
    "edarts": edarts.PRESETS,
}


def find(method: str, name: str) -> Preset:
    """The preset of a method's command.

    Raises:
        ValueError: there is none of that name, or no such method.
    """
    known = PRESETS[known_method(method)]
    if name not in known:
        raise ValueError(f"unknown preset {name!r} of {method}; {_hint(name, known)} `nasarch presets {method}` says more")
    return known[name]


def known_method(name: str) -> str:
    """`name` if a method's command has it.

    Raises:
        ValueError: none has.
    """
    if name not in SETTINGS:
        raise ValueError(f"unknown method {name!r}; {_hint(name, SETTINGS)} `nasarch search` says more")
    return name


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"legal are {', '.join(known)};"
