"""Types of the fields of settings: ranges (nasarch.ranges), and how they scale with the number of epochs: `epochs: Epochs = 50`.

| type | range | `scaled` |
|---|---|---|
| `Count` | 1 or more | stays |
| `Epochs` | 1 or more | in proportion |
| `Warmup` | 0 or more, fewer than the field `epochs` beside it | in proportion |
| `Positive`, `NonNegative` | above 0; 0 and above | stays |
| `Decay`, a factor per epoch after the field `warmup` | above 0, at most 1 | from the same start to the same end |
| `Fraction`; `Betas`, a pair of them | 0 to below 1 | stays |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from enum import Enum
from typing import Annotated, Any, TypeVar, get_type_hints

from nasarch.cells.space import MAX_NODES
from nasarch.ranges import Count, Range, at_least, check_ranges, field_metadata

T = TypeVar("T")


class Scaling(Enum):
    """How a field changes with the number of epochs."""

    EPOCHS = 1
    WARMUP = 2
    DECAY = 3


Betas = Annotated[tuple[float, float], Range("two numbers from 0 to below 1", lambda pair: all(0 <= beta < 1 for beta in pair))]
Epochs = Annotated[Count, Scaling.EPOCHS]
Nodes = Annotated[int, Range(f"1 to {MAX_NODES}", lambda value: 1 <= value <= MAX_NODES)]  # of a cell
Warmup = Annotated[int, at_least(0), Scaling.WARMUP]
Decay = Annotated[float, Range("a number above 0, 1 at most", lambda value: 0 < value <= 1), Scaling.DECAY]


def check(settings: Any) -> None:
    """Validate the fields of the dataclass `settings`.

    Raises:
        ValueError: a field is outside its range, or a warm-up takes all epochs.
    """
    check_ranges(settings)
    for name in _of(settings, Scaling.WARMUP):
        warmup, epochs = getattr(settings, name), settings.epochs
        if warmup >= epochs:
            raise ValueError(f"{name}={warmup}, epochs={epochs}: choose fewer epochs of warm-up than there are in all")


def scaled(settings: T, factor: float) -> T:
    """Settings with every number of epochs times `factor`, at least 1 each, nested ones included.

    A warm-up stays shorter than its stage. A temperature that decays by epoch still goes from the same start to the same end, for which
    a stage keeps two epochs after its warm-up.
    """
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


def _of(settings: Any, scaling: Scaling) -> list[str]:
    return [name for name, metadata in field_metadata(type(settings)).items() if scaling in metadata]
