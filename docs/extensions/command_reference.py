"""Command reference: a page for each command, generated from the table of commands and the help text of each."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from nasarch.cli.main import COMMANDS, Command, Group, main

FOLDER = "reference/commands"  # ignored by git


def help_text(words: list[str]) -> str:
    """What `nasarch WORDS --help` prints on a wide terminal."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if main([*words, "--help"]) != 0:
            raise RuntimeError(f"nasarch {' '.join(words)} --help failed")
    return printed.getvalue()


def markdown(text: str, level: int) -> Iterator[str]:
    """A help text in Markdown: usage, description, and a definition list for each group of arguments."""
    for part in re.split(r"\n\n+", text.strip()):
        title, _, rest = part.partition("\n")
        if part.startswith("usage: "):
            yield f"```text\n{' '.join(part.removeprefix('usage: ').split())}\n```"
        elif title.endswith(":") and rest.startswith("  "):
            yield f"{'#' * level} {title.removesuffix(':').capitalize()}"
            yield from definitions(rest)
        elif not part.startswith("-h, --help"):
            yield escaped(" ".join(part.split()))


def definitions(rows: str) -> Iterator[str]:
    """Rows of a help text, `  LABEL  text`, of which the text may go on below."""
    for row in re.split(r"\n(?=  \S)", rows):
        label, *text = re.split(r"\s{2,}|\n", row.strip(), maxsplit=1)
        yield f"`{label}`\n: {escaped(' '.join(text[0].split())) if text else '(no description)'}"


def escaped(text: str) -> str:
    """Text whose characters mean themselves in Markdown, except code in backticks."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_<>\[\]{}|$#~])", r"\\\1", part) for part in parts)


def page(name: str, command: Command | Group) -> str:
    """The page of a command, with a section for each of its sub-commands."""
    parts = [f"# nasarch {name}", *markdown(help_text([name]), 2)] if isinstance(command, Command) else _sections(name, command)
    return "\n\n".join(parts) + "\n"


def _sections(name: str, group: Group) -> list[str]:
    parts = [f"# nasarch {name}", group.summary]
    for second in group.commands:
        parts += [f"## nasarch {name} {second}", *markdown(help_text([name, second]), 3)]
    return parts


def write(folder: Path, commands: Mapping[str, Command | Group] = COMMANDS) -> None:
    """Write the pages that changed, and remove those of commands that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.stem not in commands:
            path.unlink()
    for name, command in commands.items():
        path, text = folder / f"{name}.md", page(name, command)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _write_pages(app: Sphinx) -> None:
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "100"
    try:
        write(Path(app.srcdir) / FOLDER)
    finally:
        os.environ.pop("COLUMNS") if columns is None else os.environ.update(COLUMNS=columns)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", _write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
