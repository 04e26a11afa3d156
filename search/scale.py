"""A search of the same shape with more or fewer epochs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

T = TypeVar("T")


def scaled(settings: T, factor: float) -> T:
    """The settings with every epoch count times `factor`, at least 1 each; a warm-up stays shorter than its stage.

    Settings whose temperatures fall by epoch (`operation_decay`, `topology_decay`) still go from the same start to the same end.

    Raises:
        ValueError: `factor` is not positive.
    """
    if factor <= 0:
        raise ValueError(f"--scale {factor:g}: choose a number above 0, such as 0.1 for a tenth of the epochs")
    counts = {field.name: getattr(settings, field.name) for field in fields(settings) if _is_count(field.name)}  # type: ignore[arg-type]
    changed: dict[str, Any] = {name: max(1, round(count * factor)) for name, count in counts.items() if count}
    warmup = changed.get("warmup", 0)
    changed |= {name: max(count, warmup + 1) for name, count in changed.items() if name.endswith("epochs")}
    annealed = [stage for stage in ("operation", "topology") if hasattr(settings, f"{stage}_decay")]
    changed |= {f"{stage}_decay": _decay(settings, changed, stage) for stage in annealed}
    return replace(settings, **changed)  # type: ignore[type-var]


def _is_count(name: str) -> bool:
    return name.endswith("epochs") or name.endswith("warmup")


def _decay(settings: Any, changed: dict[str, Any], stage: str) -> float:
    """The decay that falls as far in the epochs after the new warm-up as the old one does after the old warm-up."""
    decay = getattr(settings, f"{stage}_decay")
    falls = getattr(settings, f"{stage}_epochs") - settings.warmup - 1
    falls_now = changed[f"{stage}_epochs"] - changed.get("warmup", settings.warmup) - 1
    return decay ** (falls / falls_now) if falls_now > 0 else decay
