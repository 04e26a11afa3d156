"""The flags of `nasarch search METHOD`: the settings of the method, whose defaults a preset or a file may set, and the run options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from nasarch.data.options import DataOptions
from nasarch.flags import Flags, given, parse, value_of
from nasarch.search.settings.presets import PRESETS, SETTINGS, find

from .options import SearchOptions
from .settings_file import read_values, with_values


@dataclass(frozen=True, kw_only=True)
class SearchFlags(Flags):
    """Flags of a search.

    Args:
        config: Settings file (TOML or JSON) with the names of the flags, such as settings.toml of a run folder, which repeats that run;
            other flags change it.
    """

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None


def command(arguments: Sequence[str], program: str, summary: str) -> None:
    """Run `nasarch search METHOD`; METHOD is the last word of `program`. PyTorch is imported once the flags are parsed."""
    name, file = program.split()[-1], value_of("--config", arguments)
    of, values = (name, {}) if file is None else read_values(Path(file))
    if of not in (name, None):
        raise ValueError(f"{file} has the settings of {of}, not of {name}: leave {name} out, or give another file")
    typed = {flag: value for flag in ("preset", "space") if (value := value_of(f"--{flag}", arguments)) is not None}
    default = defaults(name, values | typed)
    begun = with_values(default, values, str(file))
    begun = SearchFlags(settings=begun.settings, options=begun.options, config=None if file is None else Path(file))
    flags = parse(arguments, begun, program=program, description=summary)

    from .command import search_with

    search_with(name, flags.settings, flags.options, default.settings, given(arguments) | values.keys())


def defaults(method: str, values: Mapping[str, Any]) -> Flags:
    """Default settings and options of a method, or those of the preset among the values; NATS-Bench's space has one of its own."""
    preset_name = values.get("preset")
    if preset_name is None and values.get("space") == "nats" and "nats" in PRESETS[method]:
        preset_name = "nats"
    if preset_name is None:
        return Flags(settings=SETTINGS[method](), options=SearchOptions())
    preset = find(method, str(preset_name))
    options = SearchOptions(preset=str(preset_name), space=preset.space, dataset=DataOptions(data=preset.data))  # type: ignore[arg-type]
    return Flags(settings=preset.settings(), options=options)


def method_in_file(arguments: Sequence[str]) -> str:
    """The method that the file of --config names, where the command line names none.

    Raises:
        ValueError: there is no --config, or the file names no method.
    """
    file = value_of("--config", arguments)
    if file is None:
        raise ValueError(f"no method before the flags: choose {', '.join(SETTINGS)}, or a file that names one, --config FILE")
    return method_of(Path(file))[0]


def method_of(file: Path) -> tuple[str, dict[str, Any]]:
    """The method and the other values of a settings file.

    Raises:
        ValueError: it names no method; otherwise as `read_values`.
    """
    method, values = read_values(file)
    if method is None:
        raise ValueError(f'{file} names no method: add a line such as method = "darts"; legal are {", ".join(SETTINGS)}')
    return method, values
