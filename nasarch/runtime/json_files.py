"""JSON files of a run, read with validation: whatever is wrong with one becomes a single ValueError that names it and the remedy.

Refused: text that is not UTF-8 or not JSON, NaN and Infinity, integers of more than 20 digits, deep nesting, missing keys, wrong types.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from nasarch.atomic import write_text
from nasarch.strict_json import parse, shown

T = TypeVar("T")
RERUN = "mend it, or run again in another folder"  # the remedy where there is no better one
CONFIG = "config.json"  # of a run folder: settings, options and data
SETTINGS = "settings.toml"  # of a search: settings and options, for --config


@contextmanager
def reading(path: str | Path, remedy: str = RERUN) -> Iterator[None]:
    """Turn every error that damaged data can cause in the block into one ValueError: the file, the reason, `remedy`.

    Args:
        path: the file, or a line in it.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"can't read {path} ({error.strerror or error}): {remedy}") from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RuntimeError) as error:  # RuntimeError: torch's
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: damaged ({reason}): {remedy}") from error


def read_json(path: Path, remedy: str = RERUN) -> Any:
    """The value in a JSON file; errors as in `reading`."""
    with reading(path, remedy):
        return parse(path.read_bytes(), limit=None)


def read_object(path: Path, remedy: str = RERUN, **kinds: type) -> dict[str, Any]:
    """The object in a JSON file, in which the named keys have values of these types; errors as in `reading`."""
    value = read_json(path, remedy)
    with reading(path, remedy):
        return typed_keys(value, **kinds)


def typed_keys(value: Any, **kinds: type) -> dict[str, Any]:
    """`value` if it is a JSON object in which the named keys have values of these types; otherwise TypeError or KeyError."""
    if not isinstance(value, dict):
        raise TypeError(f"an object is expected, not {shown(value)}")
    for key, kind in kinds.items():
        if not has_type(value[key], kind):
            raise TypeError(f"{key!r} is {shown(value[key])}, not of type {kind.__name__}")
    return value


def read_lines(path: Path, checked: Callable[[Any], T], remedy: str = RERUN, *, complete: bool = True) -> list[T]:
    """Values of a file of JSON lines, each passed through `checked`; none without the file.

    Args:
        complete: whether the last line has to be whole; that of a run that goes on may be half-written, and is then left out.

    Raises:
        ValueError: the file or a line is damaged: names the line; otherwise as in `reading`.
    """
    with reading(path, remedy):
        lines = path.read_bytes().splitlines() if path.exists() else []
    rows = list[T]()
    for number, line in enumerate(lines, 1):
        try:
            with reading(f"{path}, line {number}", remedy):
                rows.append(checked(parse(line, limit=None)))
        except ValueError:
            if complete or number < len(lines):
                raise
    return rows


def check_types(value: T) -> T:
    """`value`, a dataclass whose fields came from JSON, if each has the type that is declared; otherwise TypeError."""
    hints = get_type_hints(type(value), include_extras=False)
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        actual = getattr(value, field.name)
        if dataclasses.is_dataclass(actual):
            check_types(actual)
        elif not has_type(actual, hints[field.name]):
            expected = getattr(hints[field.name], "__name__", hints[field.name])
            raise TypeError(f"{field.name!r} is {shown(actual)}, not of type {expected}")
    return value


def has_type(value: Any, kind: Any) -> bool:
    """Whether `value` is of a declared type, such as int, float | None, tuple[int, ...] or Literal["a"]; an int counts as a float."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(has_type(value, one) for one in arguments)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    if origin is tuple:
        kinds = arguments[:1] * len(value) if isinstance(value, tuple) and arguments[-1:] == (...,) else arguments
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(has_type, value, kinds))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf
    if kind is int:
        return type(value) is int
    return True if kind is Any or not isinstance(origin or kind, type) else isinstance(value, origin or kind)


class JsonLines:
    """A file of JSON lines, of which the first `keep`, or all, are taken over; every line replaces the file as a whole.

    Raises:
        ValueError: one of these lines is damaged.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        self.path = path
        lines = path.read_bytes().splitlines() if path.exists() else []
        self.values = list[dict[str, Any]]()
        for number, line in enumerate(lines[:keep], 1):
            with reading(f"{path}, line {number}"):
                self.values.append(typed_keys(parse(line, limit=None)))

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def last(self) -> dict[str, Any]:
        """Empty if there is none."""
        return self.values[-1] if self.values else {}

    def drop(self, unwanted: Callable[[dict[str, Any]], bool]) -> None:
        """Leave out the lines, from the next one that is added on."""
        self.values = [value for value in self.values if not unwanted(value)]

    def add(self, value: Mapping[str, Any]) -> None:
        """Append a line; a NaN or an infinity in it becomes null."""
        self.values.append({key: None if isinstance(one, float) and not math.isfinite(one) else one for key, one in value.items()})
        write_text(self.path, "".join(json.dumps(value) + "\n" for value in self.values))
