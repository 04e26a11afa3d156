"""Ranges on the fields of dataclasses: what is refused, and how the message names the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest

from nasarch.ranges import Count, Fraction, NonNegative, Positive, at_least, check_ranges


@dataclass(frozen=True, kw_only=True)
class Values:
    """A field of each type."""

    count: Count | None = None
    pair_size: Annotated[int, at_least(2)] = 2
    positive: Positive = 1e-9
    amount: NonNegative = 0.0
    share: Fraction = 0.0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("count", 0, "1 or more"),
        ("pair_size", 1, "2 or more"),
        ("positive", 0.0, "a number above 0"),
        ("positive", float("inf"), "a number above 0"),
        ("amount", -1e-9, "a number from 0 on"),
        ("amount", float("nan"), "a number from 0 on"),
        ("share", 1.0, "a number from 0 to below 1"),
    ],
)
def test_a_value_outside_its_range_is_refused(name: str, value: float, words: str) -> None:
    check_ranges(Values())
    wrong = Values(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^{name}={value}: choose {words}$"):
        check_ranges(wrong)
    with pytest.raises(ValueError, match=f"^--{name.replace('_', '-')} {value}: choose {words}$"):
        check_ranges(wrong, flags=True)
