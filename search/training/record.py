"""Record a training's result in the file of its genotype, beside those that the paper reports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nasarch.cells.genotype import Genotype

from .plan import TrainPlan

DATA_SETS = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16-120": "ImageNet16-120"}  # as provenance names them


def check_recordable(plan: TrainPlan) -> None:
    """Raise ValueError if there is no file for the result, before a training rather than after it."""
    source = plan.network.source
    if not os.path.isfile(source):
        raise ValueError(f"--record writes into a genotype's file, and {source!r} is none: give the path of its .json")
    Genotype.load(source)


def record(plan: TrainPlan, summary: Mapping[str, Any]) -> Path:
    """Add the result to the genotype's file, once, and return its path.

    Raises:
        ValueError: the file holds other cells by now, or can't be written.
    """
    path = Path(plan.network.source)
    genotype = Genotype.load(path)
    if genotype != plan.network.genotype:
        raise ValueError(f"{path} holds other cells than those that were trained: nothing is recorded there; see result.json of the run")
    about = genotype.to_dict()["provenance"]
    entry = recorded(plan, summary)
    about["results"] = [*(known for known in about.get("results", []) if known != entry), entry]
    replace(genotype, provenance=about).save(path)
    return path


def recorded(plan: TrainPlan, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of `provenance.results`. Of a smaller network than the papers' the metric says so."""
    data, settings, seeds = plan.data, plan.settings, summary["seeds"]
    spread = summary["top1"]["std"]
    arithmetic = f"amp {plan.job.amp}{', TF32' if plan.job.machine.tf32 else ''}"
    note = (
        f"{plan.network.model}, {plan.network.size}; recipe {plan.job.recipe}, seeds {', '.join(map(str, seeds))}; {arithmetic}; "
        f"{summary['device']}; data SHA-256 {data.digest}"
    )
    begun = summary.get("begun_from")
    note += f"; begun from the weights {begun['file']}, SHA-256 {begun['sha256']}" if begun else ""
    changed = [f"{key} {value}" for key, value in vars(settings).items() if value != getattr(plan.recipe.settings, key) and key != "epochs"]
    return {
        "dataset": DATA_SETS.get(data.name, data.name),
        "metric": "test error" if plan.network.is_whole else f"test error, {plan.network.size}",
        "value": round(100 - summary["top1"]["mean"], 4),
        **({} if spread is None else {"spread": round(spread, 4)}),
        "unit": "%",
        "budget": f"{_count(settings.epochs, 'epoch')}, batch {settings.batch_size}, {_count(len(seeds), 'run')}",
        "note": note + (f"; {', '.join(changed)}" if changed else ""),
        "reported_by": "nasarch",
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
