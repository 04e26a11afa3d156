"""Untrusted JSON: read with limits, held immutable, written so that a person can read it. Knows no genotype.

Refused: more than 64 kB, repeated keys, NaN and Infinity, nesting deeper than 32, integers beyond 64 bits, text that is not UTF-8.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32
_WIDTH = 140  # columns that an object of plain values may take in one line

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlevel = 3


def shown(value: object) -> str:
    """`value` as messages show it: its repr in one short line."""
    try:
        return " ".join(_short.repr(value).split())
    except (ValueError, RecursionError):  # an integer of more digits than Python prints
        return f"a huge {type(value).__name__}"


def parse(data: bytes, *, limit: int | None = MAX_BYTES) -> Any:
    """The value of a JSON text in UTF-8 of at most `limit` bytes, by default 64 kB.

    Raises:
        ValueError: the text is too long, not UTF-8, not JSON, too deep, or ambiguous; says where and what to do.
    """
    if limit is not None and len(data) > limit:
        raise ValueError(f"more than {limit} bytes; a genotype file has at most that many: give another file or shorten its provenance")
    try:
        text = data.decode("utf-8-sig")
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_integer, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text (byte {error.start}); give a JSON file") from None
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"not JSON: {error.msg} at {position}; give a JSON file or mend that line") from None
    except RecursionError:
        raise ValueError(f"nested too deep; at most {MAX_DEPTH} levels are legal: flatten it") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON; write a finite number or null")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"an integer of {len(digits)} digits; 20 are legal: write it as a string")
    return int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(key)} occurs twice in one object; each key may occur once: remove one")
    return value


def frozen(value: Any, order: Mapping[str, int] = MappingProxyType({}), depth: int = 0) -> Any:
    """`value` as an immutable JSON value: objects become read-only mappings, lists tuples.

    Keys are ordered by `order` (their rank) and then by name, so that equal values are written as equal bytes.

    Raises:
        ValueError: something in it is no JSON value; says what and what is legal.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"nested too deep; at most {MAX_DEPTH} levels are legal: flatten it")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"the key {shown(key)} is not a string; keys of JSON objects are strings: write {shown(str(key))}")
        keys = sorted(value, key=lambda k: (order.get(k, len(order)), k))
        return MappingProxyType({_scalar(k): frozen(value[k], order, depth + 1) for k in keys})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(v, order, depth + 1) for v in value)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{shown(value)} is not Unicode text; remove the lone surrogate") from None
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number in JSON; write a finite number or None")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ValueError(f"{shown(value)} has more than 64 bits; write it as a string")
    elif value is not None:
        legal = "objects, lists, strings, numbers, true, false and null"
        raise ValueError(f"{shown(value)} is a {type(value).__name__}; legal are {legal}: convert it")
    return value


def plain(value: Any) -> Any:
    """The inverse of `frozen`: dicts and lists of one's own."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def pretty(value: Any) -> str:
    """JSON text for people: lists of lists of plain values and short objects of plain values take one line each."""
    return _lines(value, "") + "\n"


def _lines(value: Any, indent: str) -> str:
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if _fits(value, len(indent + line)):
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(k, ensure_ascii=False)}: {_lines(v, inner)}" for k, v in value.items()]
    else:
        items = [_lines(v, inner) for v in value]
    return f"{line[0]}\n{inner}" + f",\n{inner}".join(items) + f"\n{indent}{line[-1]}"


def _fits(value: Any, width: int) -> bool:
    """Whether a value takes one line."""
    if isinstance(value, dict):
        return width <= _WIDTH and all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(_is_plain(v) or isinstance(v, list) and all(map(_is_plain, v)) for v in value)
    return True


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (dict, list))
