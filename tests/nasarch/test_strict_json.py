"""JSON from strangers: each limit from both sides, values that come back, and text that a person can read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nasarch.strict_json import frozen, parse, plain, pretty, shown


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_text_of_64_kb_is_read_and_a_byte_more_is_not() -> None:
    legal = json.dumps({"a": "x" * (65536 - 9)}).encode()
    assert len(legal) == 65536 and parse(legal)["a"][0] == "x"
    with pytest.raises(ValueError, match="more than 65536 bytes"):
        parse(legal + b" ")
    assert parse(b"\xef\xbb\xbf[1]") == [1]  # a mark of UTF-8 is passed over


def test_an_integer_has_twenty_digits_at_most() -> None:
    assert parse(b"9" * 20) == 10**20 - 1
    with pytest.raises(ValueError, match="an integer of 21 digits"):
        parse(b"9" * 21)


@pytest.mark.parametrize(("legal", "refused"), [(2**64 - 1, 2**64), (-(2**63), -(2**63) - 1)])
def test_an_integer_fits_into_64_bits(legal: int, refused: int) -> None:
    assert frozen(legal) == legal
    with pytest.raises(ValueError, match="more than 64 bits"):
        frozen(refused)


def test_values_are_nested_32_deep_at_most() -> None:
    assert plain(frozen(nested(32))) == nested(32)
    with pytest.raises(ValueError, match="nested too deep; at most 32"):
        frozen(nested(33))
    assert plain(frozen({"a": nested(31)})) == {"a": nested(31)}
    with pytest.raises(ValueError, match="nested too deep"):
        frozen({"a": nested(32)})


def test_keys_are_in_the_order_that_is_given_and_then_by_name() -> None:
    value = {"b": 1, "z": {"y": 2, "x": 3}, "a": 4, "x": 5}
    assert list(frozen(value, {"x": 0, "y": 1})) == ["x", "a", "b", "z"] and list(frozen(value, {"x": 0, "y": 1})["z"]) == ["x", "y"]
    assert list(frozen(value)) == ["a", "b", "x", "z"]


def test_what_is_frozen_is_a_copy_that_can_not_be_changed() -> None:
    value = {"a": [1, {"b": [2.5, None, True, "ü"]}]}
    held = frozen(value)
    value["a"].append(3)
    assert held == {"a": (1, {"b": (2.5, None, True, "ü")})} and plain(held) == {"a": [1, {"b": [2.5, None, True, "ü"]}]}
    with pytest.raises(TypeError):
        held["a"] = 1
    with pytest.raises(TypeError):
        held["a"][1]["b"] = 1


@pytest.mark.parametrize("value", [float("inf"), float("nan"), {1, 2}, b"bytes", object(), {2: 3}, "\ud800", {"\ud800": 1}])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        frozen([value])


def test_text_for_people_has_short_objects_and_lists_of_edges_in_a_line() -> None:
    value = {
        "short": {"a": 1, "b": "ü"},
        "edges": [["sep", 0], ["max", 1]],
        "deep": [[["a", 0]], [["b", 1], ["c", 2]]],
        "none": [],
        "o": {},
    }
    assert pretty(value) == (
        "{\n"
        '  "short": {"a": 1, "b": "ü"},\n'
        '  "edges": [["sep", 0], ["max", 1]],\n'
        '  "deep": [\n'
        '    [["a", 0]],\n'
        '    [["b", 1], ["c", 2]]\n'
        "  ],\n"
        '  "none": [],\n'
        '  "o": {}\n'
        "}\n"
    )
    for width, lines in ((140, 1), (141, 3)):  # of the object with its indent
        inside = "x" * (width - 2 - len('{"a": ""}'))
        assert pretty({"o": {"a": inside}, "p": [{}]}).count("\n") == pretty({"o": 1, "p": [{}]}).count("\n") + (lines - 1)
    assert json.loads(pretty(value)) == value


def test_values_are_shown_in_one_short_line() -> None:
    assert shown("a\nb") == "'a\\nb'" and shown([1, [2, [3, [4, [5]]]]]) == "[1, [2, [3, [...]]]]"
    assert len(shown("x" * 1000)) <= 60 and shown(10**5000) == "a huge int"
