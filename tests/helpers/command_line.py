"""A command line as a test runs it, in this process or in one of its own, and what came of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nasarch.cli import main


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, **options)


def all_commands(commands: Mapping[str, main.Command | main.Group] = main.COMMANDS) -> dict[str, main.Command]:
    """Every command by its words."""
    found = dict[str, main.Command]()
    for name, command in commands.items():
        below = {name: command} if isinstance(command, main.Command) else all_commands(command.commands)
        found |= {inner if inner == name else f"{name} {inner}": one for inner, one in below.items()}
    return found
