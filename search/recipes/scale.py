"""A search of the same shape with more or fewer epochs."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any, TypeVar

T = TypeVar("T")
ANNEALED = ("operation_decay", "topology_decay")


def scaled(settings: T, factor: float) -> T:
    """The settings with every epoch count times `factor`, at least 1 each; a warm-up stays shorter than its stage.

    Settings whose temperatures fall by epoch (`operation_decay`, `topology_decay`) still go from the same start to the same end, for
    which a stage keeps two epochs after its warm-up.

    Raises:
        ValueError: `factor` is not a positive number.
    """
    if not 0 < factor < math.inf:
        raise ValueError(f"--scale {factor:g}: choose a number above 0, such as 0.1 for a tenth of the epochs")
    counts = {field.name: getattr(settings, field.name) for field in fields(settings) if _is_count(field.name)}  # type: ignore[arg-type]
    changed: dict[str, Any] = {name: max(1, round(count * factor)) for name, count in counts.items() if count}
    for stage in [name.removesuffix("epochs") for name in changed if name.endswith("epochs")]:
        least = changed.get(f"{stage}warmup", 0) + 1
        changed[f"{stage}epochs"] = max(changed[f"{stage}epochs"], least + hasattr(settings, f"{stage}decay"))
    for stage in [field.name.removesuffix("decay") for field in fields(settings) if field.name in ANNEALED]:  # type: ignore[arg-type]
        changed[f"{stage}decay"] = _decay(settings, changed, stage)
    return replace(settings, **changed)  # type: ignore[type-var]


def _is_count(name: str) -> bool:
    return name.endswith("epochs") or name.endswith("warmup")


def _decay(settings: Any, changed: dict[str, Any], stage: str) -> float:
    """The decay that falls as far in the epochs after the new warm-up as the old one does after the old warm-up."""
    warmup = getattr(settings, f"{stage}warmup")
    falls = getattr(settings, f"{stage}epochs") - warmup - 1
    falls_now = changed[f"{stage}epochs"] - changed.get(f"{stage}warmup", warmup) - 1
    return getattr(settings, f"{stage}decay") ** (falls / falls_now)
