"""The flags of `nasarch search METHOD`: the settings of the method, whose defaults a preset may set, and the run options."""

from __future__ import annotations

from collections.abc import Sequence

from nasarch.data.options import DataOptions
from nasarch.flags import Flags, given, parse, value_of
from nasarch.search.settings.presets import PRESETS, SETTINGS, find

from .options import SearchOptions


def command(arguments: Sequence[str], program: str, summary: str) -> None:
    """Run `nasarch search METHOD`; METHOD is the last word of `program`. PyTorch is imported once the flags are parsed."""
    name = program.split()[-1]
    preset_name = value_of("--preset", arguments)
    if preset_name is None and value_of("--space", arguments) == "nats" and "nats" in PRESETS[name]:
        preset_name = "nats"
    if preset_name is None:
        default = Flags(settings=SETTINGS[name](), options=SearchOptions())
    else:
        preset = find(name, preset_name)
        options = SearchOptions(preset=preset_name, space=preset.space, dataset=DataOptions(data=preset.data))  # type: ignore[arg-type]
        default = Flags(settings=preset.settings(), options=options)
    flags = parse(arguments, default, program=program, description=summary)

    from .command import search_with

    search_with(name, flags.settings, flags.options, default.settings, given(arguments))
