"""Damaged JSON of a run is one line that names the file and the remedy, whatever is wrong with it."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from nasarch.runtime.json_files import JsonLines, check_types, has_type, read_json, read_lines, read_object, typed_keys

DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "half": b'{"a": [1, 2',
    "not UTF-8": b'{"a": "\xff"}',
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "NaN": b'{"a": NaN}',
    "infinite": b'{"a": -Infinity}',
    "400 digits": b'{"a": ' + b"9" * 400 + b"}",
    "5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "twice": b'{"a": 1, "a": 2}',
    "a list": b"[1]",
    "a number": b"1",
    "null": b"null",
    "missing": b'{"b": 1}',
    "another type": b'{"a": "1"}',
    "a boolean": b'{"a": true}',
    "a fraction": b'{"a": 1.0}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damage_is_one_line_with_file_and_remedy(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"config.json: damaged \(.*\): mend it$") as error:
        read_object(path, "mend it", a=int)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 400
    path.write_bytes(b'{"a": 7}\n' + content + b"\n")
    if content:
        with pytest.raises(ValueError, match=r"config.json, line 2: damaged \(.*\): mend it$"):
            read_lines(path, lambda line: typed_keys(line, a=int), "mend it")
        assert read_lines(path, lambda line: typed_keys(line, a=int), "mend it", complete=False) == [{"a": 7}]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"can't read .*none.json \(No such file or directory\): mend it"):
        read_json(tmp_path / "none.json", "mend it")
    with pytest.raises(ValueError, match="can't read .*Is a directory"):
        read_json(tmp_path)
    assert read_lines(tmp_path / "none.jsonl", dict) == []


def test_whole_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    value = {"a": 1, "b": [1.5, None, True, "ü"], "c": {"d": 2**63}}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(value).encode())
    assert read_object(path, a=int, b=list, c=dict) == value == read_json(path)
    path.write_text(json.dumps({"a": "x" * 100_000}))
    assert len(read_object(path)["a"]) == 100_000


def test_random_bytes_in_a_file_raise_nothing_else(tmp_path: Path) -> None:
    path, chance = tmp_path / "x.jsonl", random.Random(0)
    whole = json.dumps({"a": 1, "stage": "topology", "loss": 0.5, "weights": [[0.25, 1e-7]], "seconds": 1.0}).encode()
    refused = 0
    for _ in range(2000):
        content = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            content[chance.randrange(len(content))] = chance.choice([chance.randrange(256), *b'{}[],:"-9e'])
        path.write_bytes(content)
        for read in (lambda: read_object(path, a=int, loss=float), lambda: read_lines(path, typed_keys), lambda: JsonLines(path)):
            try:
                read()
            except ValueError as error:
                refused += 1
                assert "x.jsonl" in str(error) and len(str(error).splitlines()) == 1
    assert refused > 1000


@pytest.mark.parametrize(
    ("value", "kind", "right"),
    [
        (1, int, True),
        (True, int, False),
        (1.0, int, False),
        (1, float, True),
        (True, float, False),
        (float("nan"), float, False),
        (10**400, float, True),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        (True, Literal[1], False),
        (None, int | None, True),
        ("", int | None, False),
        ((1, 2), tuple[int, ...], True),
        ((1, "2"), tuple[int, ...], False),
        ((1.0, 2), tuple[float, float], True),
        ((1.0,), tuple[float, float], False),
        ([1], tuple[int, ...], False),
        ({}, dict, True),
        ([1], list, True),
        (object(), Any, True),
    ],
)
def test_types_that_are_declared(value: object, kind: Any, right: bool) -> None:
    assert has_type(value, kind) == right


def test_fields_of_another_type_are_refused_in_nested_dataclasses_too() -> None:
    @dataclass
    class Inner:
        count: int

    @dataclass
    class Outer:
        inner: Any
        name: str | None = None

    assert check_types(Outer(Inner(1))) == Outer(Inner(1))
    for wrong in (Outer(Inner("1")), Outer(Inner(1), 2)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="'(count|name)' is .*not of type"):
            check_types(wrong)
