"""The flags of `nasarch train`: the settings of the training, whose defaults the recipe sets, and the run options.

The fields themselves: `Training` in recipes.py (settings) and `TrainOptions` in options.py (data, machine, output).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from nasarch.flags import given, parse, value_of

from .options import TrainOptions
from .recipes import Training, recipe

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL|GENOTYPE")]


@dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """Flags of `nasarch train`.

    Args:
        model: Model name, genotype file (.json), or folder of a finished search; the recipe sets the stem of its network.
    """

    model: Source = ""
    settings: Annotated[Training, tyro.conf.arg(name="")]
    options: Annotated[TrainOptions, tyro.conf.arg(name="")]


def command(arguments: Sequence[str], program: str, summary: str) -> None:
    """Run `nasarch train`: the recipe gives the defaults of the other flags."""
    name = value_of("--recipe", arguments) or TrainOptions.recipe
    default = TrainFlags(settings=recipe(name).settings, options=TrainOptions(recipe=name))
    flags = parse(arguments, default, program=program, description=summary)

    from .command import train

    train(flags.model, flags.settings, flags.options, given(arguments))
