"""Settings and run options of a search as plain values: of a TOML or JSON file, or of keywords in Python."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
import types
from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from nasarch.ranges import field_metadata
from nasarch.runtime.json_files import has_type, reading, typed_keys
from nasarch.search.settings.presets import known_method
from nasarch.strict_json import parse, shown

T = TypeVar("T")
GIVE = "give a TOML or JSON file with the names of the flags, such as settings.toml of a run folder"
NOT_REPEATED = ("out", "resume", "scale")  # of a run: where it lies, and what the settings have come to already


def read_values(path: Path) -> tuple[str | None, dict[str, Any]]:
    """The method and the other values of a settings file, TOML or JSON.

    Raises:
        ValueError: the file can't be read, or its method is unknown.
    """
    with reading(path, GIVE):
        if path.suffix.lower() not in (".toml", ".json"):
            raise ValueError("its name ends neither in .toml nor in .json")
        content = path.read_bytes()
        values = typed_keys(parse(content, limit=None) if path.suffix.lower() == ".json" else tomllib.loads(content.decode()))
    method = values.pop("method", None)
    try:
        return None if method is None else known_method(str(method)), values
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def as_toml(method: str, settings: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The text of a settings file of a run; TOML has no None, which is the text "None", and for options the default."""
    options = {name: value for name, value in options.items() if name not in NOT_REPEATED and value is not None}
    tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
    parts = [
        f"# Repeat this search: nasarch search --config settings.toml\nmethod = {_toml(method)}\n",
        "# Settings of the method\n" + _lines(settings),
        "# Run options\n" + _lines(options),
        *(f"[{name}]\n{_lines(table)}" for name, table in tables.items()),
    ]
    return "\n".join(parts)


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_toml(value)}\n" for name, value in values.items() if not isinstance(value, dict))


def _toml(value: Any) -> str:
    if isinstance(value, str | None):
        value = str(value)
        return json.dumps(value.encode(errors="backslashreplace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, (list, tuple)) else str(value).lower()


def with_values(options: T, values: Mapping[str, Any], source: str) -> T:
    """The dataclass `options` with values in place of its own, by the names of the flags; those of a stage are a mapping.

    Args:
        source: what messages begin with, such as the name of a file.

    Raises:
        ValueError: an unknown name, or a value of another type or out of its range: names the value, what is legal and the remedy.
    """
    remaining = dict(values)
    changed = _changed(options, remaining, source)
    if remaining:
        name = next(iter(remaining))
        known = _names(options)
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {close[0]}?" if close else "remove it;"
        raise ValueError(f"{source}: unknown name {shown(name)}; {hint} legal are {', '.join(known)}")
    return changed


def _changed(options: T, remaining: dict[str, Any], source: str) -> T:
    """With those of the values `left` that it has fields for, which are removed there."""
    part: Any = options
    changes, hints = dict[str, Any](), get_type_hints(type(part))
    for name in vars(part):
        value = getattr(part, name)
        if _is_flat(part, name):
            changes[name] = _changed(value, remaining, source)
        elif name in remaining:
            given = remaining.pop(name)
            if is_dataclass(value):
                if not isinstance(given, Mapping):
                    raise ValueError(f"{source}: {name} = {shown(given)}: choose a table of {', '.join(_names(value))}")
                changes[name] = with_values(value, given, f"{source}: {name}")
            else:
                changes[name] = _typed(given, hints[name], f"{source}: {name}")
    try:
        return replace(part, **changes)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _names(options: Any) -> list[str]:
    """The names of the flags."""
    own = [name for name in vars(options) if not _is_flat(options, name)]
    return own + [name for part in vars(options) if _is_flat(options, part) for name in _names(getattr(options, part))]


def _is_flat(options: Any, name: str) -> bool:
    """Whether a field is a dataclass whose fields stand beside those of `options` on the command line."""
    return any(getattr(one, "name", None) == "" for one in field_metadata(type(options))[name])


def _typed(given: Any, hint: Any, source: str) -> Any:
    """The value as a field of this type has it: tuples of lists, paths of text, and no integers for floats."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    value: Any = tuple(given) if isinstance(given, list) else os.fspath(given) if isinstance(given, os.PathLike) else given
    if types.NoneType in kinds and value == "None":
        return None
    if Path in kinds and isinstance(value, str):
        return Path(value)
    if not has_type(value, hint):
        raise ValueError(f"{source} = {shown(given)}: choose {' or '.join(_legal(kind) for kind in kinds if kind is not types.NoneType)}")
    if float in kinds and value is not None:
        return float(value)
    return tuple(map(float, value)) if isinstance(value, tuple) and float in get_args(hint) else value


def _legal(kind: Any) -> str:
    """The legal values of a type, in words."""
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        one = {float: "numbers", str: "names"}[first]
        return f"a list of {one}" if others == [...] else f"a list of {len(others) + 1} {one}"
    return {int: "an integer", float: "a number", bool: "true or false", str: "a text in quotes", Path: "a path in quotes"}[kind]
