"""Description of a cell network as one of the zoo's three generic models and its arguments, and the network built from it."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

from nasarch.cells.space import NATS
from nasarch.models.network import CellNetwork
from nasarch.models.zoo import GENERIC
from nasarch.strict_json import shown

LARGEST = {"cells": 200, "channels": 2048, "in_chans": 256, "num_classes": 1_000_000}  # that a file from elsewhere may ask for
POOLS = ("avg", "max", "avgmax", "catavgmax")


def generic(model: CellNetwork, genotype: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and arguments (cells, channels, in_chans, and global_pool if it is not avg) of the generic model that `model` is.

    Raises:
        ValueError: there is none with its stem.
    """
    space, stem = model.genotype.space, "imagenet" if len(model.stem) > 1 else "cifar"
    name = next((m.name for m in GENERIC.values() if (m.network.space, m.network.stem) == (space, stem)), None)
    if name is None:
        raise ValueError(f"no network of the zoo has cells of space {space!r} behind stem {stem!r}; build it with another stem")
    cells = (len(model.cells) - 2) // 3 if space == NATS.name else len(model.cells)
    small = timm.create_model(name, genotype=genotype, cells=cells, channels=16, device="meta")
    channels = 16 * model.num_features // small.num_features  # all widths are proportional
    arguments = {"cells": cells, "channels": channels, "in_chans": model.in_chans}
    pool = model.global_pool.pool_type
    return name, arguments if pool == "avg" else {**arguments, "global_pool": pool}


def described(model: nn.Module, genotype: dict[str, Any] | None) -> dict[str, Any] | None:
    """What `rebuilt` makes the network of, but for the genotype; None for a model that is no network of cells of the zoo."""
    if not isinstance(model, CellNetwork) or genotype is None:
        return None
    try:
        name, arguments = generic(model, genotype)
    except ValueError:
        return None
    arguments |= {"aux_head": True} if model.aux_head is not None else {}
    return {"name": name, **arguments, "num_classes": model.num_classes}


def parameters_of(description: Any, genotype: Any) -> int:
    """Number of parameters of the network that `described` describes, counted without any memory for them; errors as `rebuilt`."""
    return sum(parameter.numel() for parameter in rebuilt(description, genotype, device="meta").parameters())


def rebuilt(description: Any, genotype: Any, device: str | None = None) -> nn.Module:
    """The network that `described` describes, with random weights, on `device` (the CPU).

    Raises:
        ValueError: the description is none, or one of a network that is too large to be true.
    """
    stated = dict(description) if isinstance(description, dict) else {}
    numbers = {key: stated.get(key) for key in LARGEST}
    bad = {key: value for key, value in numbers.items() if type(value) is not int or not 1 <= value <= LARGEST[key]}
    named = {"name": stated.get("name"), "global_pool": stated.get("global_pool", "avg"), "aux_head": stated.get("aux_head", False)}
    if bad or named["name"] not in GENERIC or named["global_pool"] not in POOLS or type(named["aux_head"]) is not bool:
        raise ValueError(f"the network {shown(description)} can't be built; give the model by --model NAME")
    return timm.create_model(named.pop("name"), genotype=genotype, device=device, **named, **numbers)
