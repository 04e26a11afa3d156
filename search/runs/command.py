"""`nasarch search METHOD`: from settings and options to a plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from nasarch.cells.space import SPACES
from nasarch.data.dataset import Dataset
from nasarch.data.split import read_split
from nasarch.runtime import distributed
from nasarch.runtime.run_folder import check_unused, identifier, usual_folder
from nasarch.search.engine.context import SearchContext
from nasarch.search.recipes.methods import METHODS
from nasarch.search.settings.fields import scaled
from nasarch.search.settings.presets import find

from .options import SearchOptions, resumed
from .run import Plan
from .seeds import search


def search_with(name: str, settings: Any, job: SearchOptions, preset: Any = None) -> None:
    """Search with a method's settings as the job says; `preset` is where they come from, for a word on what differs."""
    method = METHODS[name]
    if job.output.resume is not None:
        settings, job = resumed(method.title, method.settings, job.output.resume)
    else:
        settings = settings if job.scale == 1 else scaled(settings, job.scale)
    device = job.machine.start()
    stem = name.replace("-", "_")
    folder = distributed.broadcast_from_main(job.output.resume or job.output.out or usual_folder(stem, job.dataset.data))
    if job.output.resume is None:
        distributed.run_on_main(lambda: check_unused(folder))
    data = job.dataset.load()
    parts = None if job.split is None else two_parts(job.split, data)
    genotype_name = job.name or identifier(f"{stem}_{data.name}")
    bench = SearchContext(
        data=data,
        space=SPACES[job.space],
        device=device,
        name=genotype_name,
        amp=job.amp,
        parts=parts,
        workers=job.dataset.workers,
        hessian=job.hessian or job.hessian_every is not None,
        hessian_every=job.hessian_every,
    )
    known = find(name, job.preset) if job.preset is not None else None
    plan = Plan(
        command=name,
        method=method,
        settings=settings,
        bench=bench,
        words=" ".join(["nasarch", *sys.argv[1:]]),
        job=job,
        preset=None if known is None else {"name": str(job.preset), "row": known.row, "reported": known.reported},
        remarks=() if preset is None or job.output.resume is not None else tuple(remarks_on(settings, preset, job)),
    )
    try:
        search(plan, folder)
    finally:
        distributed.destroy()


def remarks_on(settings: Any, preset: Any, job: SearchOptions) -> list[str]:
    """What a user may not have meant: flags that a split makes idle; another batch size with the learning rate of the preset's."""
    return [*_idle(settings, preset, job), *_batch_size(settings, preset)]


def _idle(settings: Any, preset: Any, job: SearchOptions) -> list[str]:
    shares = [name for name in ("fractions", "images") if getattr(settings, name, None) != getattr(preset, name, None)]
    return [f"--{name} says nothing beside --split, whose lists are the two sides" for name in shares if job.split is not None]


def _batch_size(settings: Any, preset: Any) -> list[str]:
    """Goyal et al. 2017: learning rates in proportion to the batch size."""
    if settings.batch_size == preset.batch_size or settings.lr != preset.lr:
        return []
    lr = preset.lr * settings.batch_size / preset.batch_size
    sizes = f"batch size {settings.batch_size} instead of {preset.batch_size} with the same learning rate {settings.lr:g}"
    return [f"{sizes}: in proportion it would be --lr {lr:.4g}; large rates for small batches end in skip connections"]


def two_parts(folder: Path, data: Dataset) -> tuple[Tensor, Tensor]:
    """The parts of a split for the weights and for the architecture.

    Raises:
        ValueError: it is no split of these data, or has another number of parts.
    """
    parts = read_split(folder, data)
    if len(parts) != 2:
        raise ValueError(f"--split {folder} has {len(parts)} parts: a search takes two, for the weights and for the architecture")
    return parts[0], parts[1]
