"""Code on the pages of the documentation: fenced blocks, the commands in them, and code within a line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")) if "commands" not in path.parent.name
)
FENCE = re.compile(r"^ *```(\S*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in FENCE.findall(text_of(page)) if language in languages]


def shell_commands(block: str) -> Iterator[list[str]]:
    """The words of each command of a block, without comments; a backslash continues a line."""
    for line in re.sub(r"\\\n\s*", " ", block).splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def commands(page: Path) -> list[list[str]]:
    """The commands in the shell blocks of a page; scripts that define functions are none."""
    return [words for block in blocks(page, "bash", "console") if "() {" not in block for words in shell_commands(block)]


def inline_code(page: Path) -> list[str]:
    """Code within lines, outside of blocks; one that is broken over two lines is joined."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCE.sub("", text_of(page)))]


def of_nasarch(words: list[str]) -> list[str] | None:
    """The words behind `nasarch` or `... -m nasarch`, without `--plugin FILE`; None for another program."""
    if words[:1] == ["nasarch"]:
        rest = words[1:]
    elif "-m" in words and words[words.index("-m") + 1 :][:1] == ["nasarch"]:
        rest = words[words.index("-m") + 2 :]
    else:
        return None
    if "--plugin" in rest:
        i = rest.index("--plugin")
        rest = rest[:i] + rest[i + 2 :]
    return rest
