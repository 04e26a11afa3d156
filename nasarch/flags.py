"""Command-line flags of dataclasses, whose defaults one of the flags may set (`--preset`, `--recipe`)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, TypeVar

import tyro

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Flags of two dataclasses beside each other: settings of a method, which a preset may set, and options of the run."""

    settings: Annotated[Any, tyro.conf.arg(name="")]
    options: Annotated[Any, tyro.conf.arg(name="")]


def value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """The value of `flag` (the last one counts), before the parser is built; None without the flag or without a value."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(flag, nargs="?", dest="value")
    return parser.parse_known_args(arguments)[0].value


def given(arguments: Sequence[str]) -> frozenset[str]:
    """Names of the fields whose flags are on the command line."""
    return frozenset(word[2:].partition("=")[0].replace("-", "_") for word in arguments if word.startswith("--"))


def flags_of(defaults: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The flags that change default values to others: words of a command line."""
    words = list[str]()
    for name, value in values.items():
        default, flag = defaults[name], f"{prefix}{name.replace('_', '-')}"
        if is_dataclass(value):
            words += flags_of(vars(default), vars(value), f"{flag}.")
        elif value != default:
            switch = [f"--{flag}" if value else f"--no-{flag}"]
            words += switch if isinstance(default, bool) else [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words


def parse(arguments: Sequence[str], default: T, *, program: str, description: str) -> T:
    """Parse flags into the dataclass of `default`, whose fields are the flags and whose values are their defaults.

    Raises:
        SystemExit: after a help text, or a message about a wrong flag.
        ValueError: by the dataclass, about a value.
    """
    config = (tyro.conf.FlagCreatePairsOff,)
    return tyro.cli(type(default), args=arguments, default=default, prog=program, description=description, config=config)
