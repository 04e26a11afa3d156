"""Types of the fields of settings: their ranges, and how they scale with the number of epochs. `epochs: Epochs = 50` declares both.

| type | range | `scaled` |
|---|---|---|
| `Count` | 1 or more | stays |
| `Epochs` | 1 or more | in proportion |
| `Warmup` | 0 or more, fewer than the field `epochs` beside it | in proportion |
| `Positive`, `NonNegative` | above 0; 0 and above | stays |
| `Decay`, a factor per epoch after the field `warmup` | above 0, at most 1 | from the same start to the same end |
| `Fraction` | 0 to below 1 | stays |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass, replace
from enum import Enum
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_type_hints

T = TypeVar("T")


class Range(NamedTuple):
    """The legal values of a field, in words and as a test."""

    words: str
    holds: Callable[[Any], bool]


class Scaling(Enum):
    """How a field changes with the number of epochs."""

    EPOCHS = 1
    WARMUP = 2
    DECAY = 3


Count = Annotated[int, Range("1 or more", lambda value: value >= 1)]
Epochs = Annotated[Count, Scaling.EPOCHS]
Warmup = Annotated[int, Range("0 or more", lambda value: value >= 0), Scaling.WARMUP]
Positive = Annotated[float, Range("a number above 0", lambda value: 0 < value < math.inf)]
NonNegative = Annotated[float, Range("a number from 0 on", lambda value: 0 <= value < math.inf)]
Decay = Annotated[float, Range("a number above 0, 1 at most", lambda value: 0 < value <= 1), Scaling.DECAY]
Fraction = Annotated[float, Range("a number from 0 to below 1", lambda value: 0 <= value < 1)]


def check(settings: Any) -> None:
    """Validate the fields of the dataclass `settings`.

    Raises:
        ValueError: a field is outside its range, or a warm-up takes all epochs.
    """
    for name, found in _annotations(type(settings)).items():
        value = getattr(settings, name)
        for legal in found:
            if isinstance(legal, Range) and value is not None and not legal.holds(value):
                raise ValueError(f"{name}={value}: choose {legal.words}")
    for name in _of(settings, Scaling.WARMUP):
        warmup, epochs = getattr(settings, name), settings.epochs
        if warmup >= epochs:
            raise ValueError(f"{name}={warmup}, epochs={epochs}: choose fewer epochs of warm-up than there are in all")


def scaled(settings: T, factor: float) -> T:
    """Settings with every number of epochs times `factor`, at least 1 each, nested ones included.

    A warm-up stays shorter than its stage. A temperature that decays by epoch still goes from the same start to the same end, for which
    a stage keeps two epochs after its warm-up.

    Raises:
        ValueError: `factor` is not a positive number.
    """
    if not 0 < factor < math.inf:
        raise ValueError(f"--scale {factor:g}: choose a number above 0, such as 0.1 for a tenth of the epochs")
    own: Any = settings
    changed: dict[str, Any] = {name: scaled(value, factor) for name, value in vars(own).items() if is_dataclass(value)}
    warmups, decays = _of(own, Scaling.WARMUP), _of(own, Scaling.DECAY)
    for name in [*_of(own, Scaling.EPOCHS), *warmups]:
        if count := getattr(own, name):
            changed[name] = max(1, round(count * factor))
    if warmups:
        changed["epochs"] = max(changed["epochs"], max(changed.get(name, 0) for name in warmups) + 1 + len(decays))
    for name in decays:
        falls, falls_now = own.epochs - own.warmup - 1, changed["epochs"] - changed.get("warmup", 0) - 1
        changed[name] = getattr(own, name) ** (falls / falls_now)
    return replace(own, **changed)


def from_dict(kind: type[T], values: Mapping[str, Any]) -> T:
    """Settings of class `kind` from the JSON of their `asdict`.

    Raises:
        ValueError: a value is outside its range.
        TypeError: a field is unknown.
    """
    hints = get_type_hints(kind)

    def value(name: str, given: Any) -> Any:
        if isinstance(given, dict) and is_dataclass(hints.get(name)):
            return from_dict(hints[name], given)
        return tuple(given) if isinstance(given, list) else given

    return kind(**{name: value(name, given) for name, given in values.items()})


def _annotations(kind: type) -> dict[str, tuple[Any, ...]]:
    return {name: _metadata(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}


def _metadata(hint: Any) -> tuple[Any, ...]:
    """What is annotated, also within `Count | None`."""
    return (*getattr(hint, "__metadata__", ()), *(found for part in get_args(hint) for found in _metadata(part)))


def _of(settings: Any, scaling: Scaling) -> list[str]:
    return [name for name, found in _annotations(type(settings)).items() if scaling in found]
