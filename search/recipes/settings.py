"""What the settings of a search may be, said once for all recipes. Knows the names of settings, no method.

| settings | legal |
|---|---|
| epochs, batch size, nodes, layers, channels, K, iterations | 1 and more |
| warm-up | 0 and more, and fewer epochs than its stage has |
| temperatures, the largest norm of a gradient | above 0 |
| learning rates, weight decay, init_std | 0 and more |
| factors by epoch | above 0, at most 1 |
| momentum | 0 to below 1 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple


class Range(NamedTuple):
    words: str
    holds: Callable[[Any], bool]


COUNT = Range("1 or more", lambda value: value >= 1)
NONE_OR_MORE = Range("0 or more", lambda value: value >= 0)
POSITIVE = Range("a number above 0", lambda value: 0 < value < float("inf"))
SIZE = Range("a number from 0 on", lambda value: 0 <= value < float("inf"))
FACTOR = Range("a number above 0, 1 at most", lambda value: 0 < value <= 1)
FRACTION = Range("a number from 0 to below 1", lambda value: 0 <= value < 1)
RANGES = {
    COUNT: "epochs operation_epochs topology_epochs operator_epochs iterations images batch_size nodes layers operation_layers "
    "topology_layers channels partial",
    NONE_OR_MORE: "warmup operation_warmup topology_warmup rate_warmup",
    POSITIVE: "clip operation_start topology_start operation_scale",
    SIZE: "lr lr_end arch_lr weight_decay arch_weight_decay init_std",
    FACTOR: "operation_decay topology_decay",
    FRACTION: "momentum",
}
LEGAL = {name: legal for legal, names in RANGES.items() for name in names.split()}


def check(settings: Any) -> None:
    """Raise ValueError if a field of the dataclass `settings` is outside its range, or a stage has no more epochs than its warm-up."""
    for field in fields(settings):
        value, legal = getattr(settings, field.name), LEGAL.get(field.name)
        if legal is not None and value is not None and not legal.holds(value):
            raise ValueError(f"{field.name}={value}: choose {legal.words}")
    for name in (field.name for field in fields(settings) if field.name.endswith("warmup")):
        stage = name.removesuffix("warmup").removeprefix("rate_")
        warmup, epochs = getattr(settings, name), getattr(settings, f"{stage}epochs")
        if warmup >= epochs:
            raise ValueError(f"{name}={warmup}, {stage}epochs={epochs}: choose fewer epochs of warm-up than there are in all")
