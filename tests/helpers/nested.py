"""Settings with nested ones by flat names: DOTS' `operation.epochs` is "operation_epochs"."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from typing import Any


def flat(settings: Any) -> dict[str, Any]:
    """Every setting by its flat name."""
    found = dict[str, Any]()
    for name, value in vars(settings).items():
        found |= {f"{name}_{key}": inner for key, inner in flat(value).items()} if is_dataclass(value) else {name: value}
    return found


def nested(settings: Any, **changes: Any) -> Any:
    """The settings with changes by flat names."""
    for name, value in vars(settings).items():
        if is_dataclass(value):
            own = {key: changes.pop(f"{name}_{key}") for key in vars(value) if f"{name}_{key}" in changes}
            changes[name] = replace(value, **own)  # type: ignore[type-var]
    return replace(settings, **changes)


def dotted(settings: Any, name: str) -> str:
    """The flag of a flat name: "operation_epochs" is --operation.epochs."""
    for stage, value in vars(settings).items():
        if is_dataclass(value) and name.removeprefix(f"{stage}_") in vars(value) and name.startswith(f"{stage}_"):
            return f"{stage}.{name.removeprefix(f'{stage}_')}"
    return name
