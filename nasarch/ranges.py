"""Legal ranges of numbers, declared on the fields of settings and options: `epochs: Count = 50`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints


class Range(NamedTuple):
    """The legal values of a field, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


def at_least(minimum: int) -> Range:
    """Integers from `minimum` on."""
    return Range(f"{minimum} or more", lambda value: value >= minimum)


SMALL = Range("an integer of at most 62 bits", lambda value: type(value) is not int or abs(value) < 2**62)  # PyTorch's have 64
Count = Annotated[int, at_least(1)]
Seed = Annotated[int, at_least(0)]
Workers = Annotated[int, Range("0 (decode in the main process) to 1024", lambda value: 0 <= value <= 1024)]
EpochFactor = Annotated[
    float, Range("a number above 0 and at most 1000, such as 0.1 for a tenth of the epochs", lambda value: 0 < value <= 1000)
]
Positive = Annotated[float, Range("a number above 0", lambda value: 0 < value < math.inf)]
NonNegative = Annotated[float, Range("a number from 0 on", lambda value: 0 <= value < math.inf)]
Fraction = Annotated[float, Range("a number from 0 to below 1", lambda value: 0 <= value < 1)]


def check_ranges(values: Any, *, flags: bool = False) -> None:
    """Validate the fields of the dataclass `values`; None is legal where a field may be None, and integers have at most 62 bits.

    Args:
        flags: name a field as the flag of the command line, `--batch-size 0`, instead of `batch_size=0`.

    Raises:
        ValueError: a field is outside its range.
    """
    _check(type(values), vars(values), flags=flags)


def check_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Validate the arguments of a command by the annotations of its function, and name them as flags; errors as `check_ranges`."""
    _check(function, arguments, flags=True)


def _check(owner: Any, values: Mapping[str, Any], *, flags: bool) -> None:
    for name, metadata in field_metadata(owner).items():
        value = values.get(name)
        for legal in (SMALL, *metadata):
            if isinstance(legal, Range) and value is not None and not legal.holds(value):
                flag = next((one.name for one in metadata if getattr(one, "name", None)), name).replace("_", "-")
                raise ValueError(f"{f'--{flag} {value}' if flags else f'{name}={value}'}: choose {legal.words}")


def field_metadata(owner: Any) -> dict[str, tuple[Any, ...]]:
    """What the fields of a dataclass, or the parameters of a function, are annotated with, by name."""
    return {name: _metadata(hint) for name, hint in get_type_hints(owner, include_extras=True).items()}


def _metadata(hint: Any) -> tuple[Any, ...]:
    """What is annotated, also within `Count | None`."""
    return (*getattr(hint, "__metadata__", ()), *(found for part in get_args(hint) for found in _metadata(part)))
