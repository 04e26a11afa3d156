"""The budget of a tournament, in words before it begins and in JSON beside its results."""

from __future__ import annotations

from typing import Any

from nasarch.compute import device_name

from .budget import RankingTask
from .protocol import EvaluationProtocol

SAID = ("epochs", "batch_size", "lr", "drop_path", "cells", "channels", "seeds", "seed")


def steps(ground: EvaluationProtocol) -> int:
    """Of each training; the last batch of an epoch may be smaller, and counts."""
    return ground.settings.epochs * -(-len(ground.train) // ground.settings.batch_size)


def as_budget(task: RankingTask, ground: EvaluationProtocol) -> dict[str, Any]:
    """What says how the networks were trained and judged, for JSON; the same wherever and in however many pieces that was."""
    data = {"data": task.budget.dataset.data, "data_sha256": ground.data.digest, "size": list(ground.data.size)}
    images = {"trained_on": len(ground.train), "judges": len(ground.val), "judged_by": ground.judged_by}
    return data | images | {name: getattr(task.budget, name) for name in SAID} | {"steps": steps(ground)}


def opening(task: RankingTask, ground: EvaluationProtocol) -> str:
    """Data, images, epochs, steps, size, channels, seeds, device, and how many train together, in a line."""
    budget, settings, (height, width) = task.budget, ground.settings, ground.data.size
    seeds = f"seed {budget.seed}" if budget.seeds == 1 else f"seeds {budget.seed} to {budget.seed + budget.seeds - 1}"
    return "; ".join(
        [
            f"{ground.data.name}, {height}x{width} pixels{_otherwise(task, ground)}",
            f"{len(ground.train):,} images to train on, judged by {len(ground.val):,} {ground.judged_by}",
            f"{settings.epochs} epoch{'' if settings.epochs == 1 else 's'}, {steps(ground):,} steps of {settings.batch_size} images",
            f"{settings.cells} cells, {settings.channels} channels",
            seeds,
            device_name(ground.device),
            "one by one" if ground.together == 1 else f"up to {ground.together} networks together",
        ]
    )


def _otherwise(task: RankingTask, ground: EvaluationProtocol) -> str:
    """That the cells were searched at another size, if they were."""
    searched = task.facts.get("searched")
    if searched is None or searched["pixels"] == list(ground.data.size):
        return ""
    height, width = searched["pixels"]
    return f" (searched at {height}x{width})"
