"""Command-line flags of dataclasses, whose defaults one of the flags may set (`--preset`, `--recipe`)."""

from __future__ import annotations

import argparse
import functools
import inspect
import io
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

import tyro

from nasarch.help import Argument, help_text
from nasarch.help import arguments as help_arguments
from nasarch.ranges import check_arguments

T = TypeVar("T")
R = TypeVar("R")


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
        SystemExit: after a help text.
        ValueError: by the parser, about a wrong flag or value; or by the dataclass.
    """
    with _refusing(arguments, None, default, program, description):
        return tyro.cli(type(default), args=arguments, default=default, prog=program)


def call(command: Callable[..., R], arguments: Sequence[str], *, program: str) -> R:
    """Call a function with its arguments parsed from a command line; its docstring is the help.

    Raises:
        SystemExit: after a help text.
        ValueError: by the parser, about a wrong flag or value; about one outside the range that its parameter is annotated with; or by
            the function.
    """

    @functools.wraps(command)
    def bound(*values: Any, **named: Any) -> Callable[[], R]:
        check_arguments(command, inspect.signature(command).bind(*values, **named).arguments)
        return lambda: command(*values, **named)

    with _refusing(arguments, command, None, program, (inspect.getdoc(command) or "").partition("\n\nArgs:")[0]):
        parsed = tyro.cli(bound, args=arguments, prog=program)
    return parsed()


@contextmanager
def _refusing(arguments: Sequence[str], command: Any, default: Any, program: str, description: str) -> Iterator[None]:
    """Print the help and exit if it is asked for; turn what the parser refuses in the block, in boxes of text, into one line."""
    if {"-h", "--help"} & {*arguments}:
        print(help_text(command, default, program, description))
        raise SystemExit(0)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield
    except SystemExit as stop:
        if not stop.code:
            print(printed.getvalue(), end="")  # a script for completion
            raise
        known = list(help_arguments(command, default))
        raise ValueError(f"{_reason(arguments, known, printed.getvalue())} `{program} --help` says more") from None


def _reason(words: Sequence[str], known: Sequence[Argument], box: str) -> str:
    """What is wrong with the words of a command line: an unknown flag, a missing value, or else what the parser says."""
    flags = {flag: one for one in known for flags in one.flags for flag in flags.split(" / ")}
    typed = [word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")]
    if unknown := next((word for word in typed if word not in flags and word.replace("--no-", "--") not in flags), None):
        inner = [flag for flag in flags if flag.endswith(unknown.replace("--", "."))]
        close = inner or [f"--{name}" for name in get_close_matches(unknown[2:], [flag[2:] for flag in flags], n=1)]
        return f"unknown flag {unknown}" + (f"; did you mean {' or '.join(close)}?" if close else ";")
    title, *sections = re.split(r"^\W*-{9,}\W*$", box, flags=re.MULTILINE)
    text = " ".join((sections or [title])[0].split())
    if text.startswith("Missing from"):
        absent = [one for one in known if one.is_required and one.text[:20] in text]
        return f"missing {', '.join(one.label for one in absent)};"
    if (named := re.search(r"(?:parsing |argument ')(--?[\w.-]+)", text)) and (one := flags.get(named[1])) is not None:
        count = len(one.metavar.split())
        after = [*itertools.dropwhile(lambda word: word.partition("=")[0].replace("_", "-") not in one.flags, words)]
        return f"{' '.join(after[: count + 1])}: choose {one.metavar or 'no value'};"
    return text.replace("Unrecognized options:", "unexpected").rstrip(".") + ";"
