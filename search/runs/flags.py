"""The flags of `nasarch search METHOD`: the settings of the method, whose defaults a preset may set, and the run options."""

from __future__ import annotations

from collections.abc import Sequence

from nasarch.data.options import DataOptions
from nasarch.flags import Flags, parse, value_of
from nasarch.search.recipes.methods import PRESETS, find

from .command import METHODS, search_with
from .options import SearchOptions


def command(arguments: Sequence[str], program: str) -> None:
    """Run `nasarch search METHOD`; METHOD is the last word of `program`."""
    name = program.split()[-1]
    preset_name = value_of("--preset", arguments)
    if preset_name is None and value_of("--space", arguments) == "nats" and "nats" in PRESETS[name]:
        preset_name = "nats"
    if preset_name is None:
        default = Flags(settings=METHODS[name].settings(), options=SearchOptions())
    else:
        preset = find(name, preset_name)
        options = SearchOptions(preset=preset_name, space=preset.space, dataset=DataOptions(data=preset.data))  # type: ignore[arg-type]
        default = Flags(settings=preset.settings(), options=options)
    flags = parse(arguments, default, program=program, description=METHODS[name].summary)
    search_with(name, flags.settings, flags.options, default.settings)
