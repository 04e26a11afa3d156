"""Small deliberate faults, as TOML lists beside this file. Applies none of them.

    [[fault]]
    file = "search/recipes/pc_darts.py"
    old = 'weights.operations_ZEO * weights.edges_ZE[:, :, None]'
    new = 'weights.operations_ZEO'
    tests = ["tests/search/recipes/test_literal_search.py"]

`old` occurs once in the file. `tests` are what should notice the fault: files or single tests, quick ones first. `equivalent` gives the
reason if the changed program can't be told from the right one; such a fault is listed and not run.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One replacement of a piece of text, and the tests that should fail with it.

    Raises:
        ValueError: nothing is replaced, or nothing could notice it.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()
    equivalent: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tests", tuple(self.tests))
        if not self.old or self.old == self.new:
            raise ValueError(f"a fault in {self.file} replaces nothing: {self.old!r} by {self.new!r}")
        if bool(self.tests) == bool(self.equivalent):
            raise ValueError(f"a fault in {self.file} ({self.old!r}) needs either tests or the reason why it is equivalent")

    def applied(self, source: str) -> str:
        """The source text of the file with the fault in it.

        Raises:
            ValueError: the text to replace isn't there exactly once.
        """
        if (count := source.count(self.old)) != 1:
            raise ValueError(f"{self.file}: {self.old!r} occurs {count} times; a fault needs a text that occurs once")
        return source.replace(self.old, self.new)

    def __str__(self) -> str:
        return f"{self.file}: {_line(self.old)} -> {_line(self.new) or '(nothing)'}"


def _line(text: str) -> str:
    return " ".join(text.split())


def read(paths: Sequence[Path] = ()) -> list[Fault]:
    """The faults of these lists; of all lists beside this file if none is given. One that several lists have is one, with the tests of all.

    Raises:
        ValueError: a list is no TOML, has other fields, or a fault that makes no sense.
    """
    found: dict[tuple[str, str, str], Fault] = {}
    for path in paths or sorted(HERE.glob("*.toml")):
        try:
            for fault in [Fault(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["fault"]]:
                key = fault.file, fault.old, fault.new
                found[key] = replace(found[key], tests=found[key].tests + fault.tests) if key in found else fault
        except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name}: {error}") from error
    return list(found.values())
