"""What a command prints: text as it is, commands that can be pasted, JSON, and tables that a terminal does not cut.

Names of folders, data sets, classes and cells come from anyone: none of them is markup of rich, an emoji code or a control code.
"""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def printable(text: str) -> str:
    r"""`text` with control codes, lone surrogates and other unprintable characters escaped (`\x1b`); lines stay."""
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)


def printable_line(text: str) -> str:
    """`printable` text in one line: new lines are escaped, too."""
    return printable(text).replace("\n", "\\n")


def print_text(*lines: object) -> None:
    """Print lines of `printable` text."""
    print(*(printable(str(line)) for line in lines), sep="\n")


def command_line(*words: object) -> str:
    """A command as a shell reads it, by default the one that is running."""
    return shlex.join(["nasarch", *(map(str, words) if words else sys.argv[1:])])


def console(*, quiet: bool = False) -> Console:
    """A console of rich that prints text as it is: `printable`, no markup, no emoji codes, no highlighting."""
    from rich.console import Console, ConsoleRenderable, RenderHook
    from rich.text import Text

    class Printable(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            for text in renderables:
                if isinstance(text, Text):
                    text.plain = printable(text.plain)
            return renderables

    made = Console(quiet=quiet, markup=False, emoji=False, highlight=False)
    made.push_render_hook(Printable())
    return made


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_rich(table: Any) -> None:
    """To a terminal at its width unless that would cut something; to a file or pipe at full width."""
    from rich.console import Console

    wide, narrow = Console(width=1000, markup=False, emoji=False), console()
    least = wide.measure(table).minimum if narrow.is_terminal else wide.measure(table).maximum
    narrow.width = max(narrow.width, least)
    narrow.print(table)
