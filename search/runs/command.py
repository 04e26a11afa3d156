"""`nasarch search METHOD`: from settings and options to a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasarch.cells.space import SPACES
from nasarch.compute import keep_freed_memory
from nasarch.console import command_line
from nasarch.data.dataset import Dataset
from nasarch.data.options import DataOptions
from nasarch.data.split_files import read_split
from nasarch.runtime.claim import claimed, identifier
from nasarch.runtime.recorded_data import moved_data, with_recorded_data
from nasarch.search.engine.context import SearchContext
from nasarch.search.recipes.methods import METHODS
from nasarch.search.settings.fields import scaled
from nasarch.search.settings.presets import find

from .options import SearchOptions, resumed
from .run import Plan
from .seeds import search


def search_with(name: str, settings: Any, job: SearchOptions, preset: Any = None, given: Collection[str] = ()) -> None:
    """Search with a method's settings and run options; the arguments are those of `planned`."""
    with planned(name, settings, job, preset, given, command_line()) as (plan, folder):
        search(plan, folder)


@contextmanager
def planned(name: str, settings: Any, job: SearchOptions, preset: Any, given: Collection[str], words: str) -> Iterator[tuple[Plan, Path]]:
    """In the block, the plan of a search with a method's settings and run options, and its folder, which is claimed.

    Args:
        preset: default settings; where they don't fit the data, all but the fields `given` by the user are reduced.
        words: the command, for the provenance.
    """
    method = METHODS[name]
    if job.output.resume is not None:
        asked, default = job, DataOptions() if job.preset is None else DataOptions(data=find(name, job.preset).data)
        settings, job = resumed(method.title, method.settings, job.output.resume)
        job = moved_data(job, asked, replace(SearchOptions(), dataset=default))
    else:
        settings = settings if job.scale == 1 else scaled(settings, job.scale)
    stem = name.replace("-", "_")
    with job.machine.started() as device, claimed(job.output.resume, job.output.out, stem, job.dataset.data) as folder:
        if device.type == "cpu":
            keep_freed_memory()
        yield _plan(name, settings, job, device, stem, preset, given, words), folder


def _plan(
    name: str, settings: Any, job: SearchOptions, device: torch.device, stem: str, preset: Any, given: Collection[str], words: str
) -> Plan:
    """Plan of the search, with data loaded and split read."""
    method = METHODS[name]
    data = job.dataset.load()
    if job.output.resume is not None:
        data = with_recorded_data(data, job.output.resume)
    context = SearchContext(
        data=data,
        space=SPACES[job.space] if job.candidates is None else SPACES[job.space].with_operations(job.candidates),
        device=device,
        name=job.name or identifier(f"{stem}_{data.name}"),
        amp=job.amp,
        parts=None if job.split is None else two_parts(job.split, data),
        workers=job.dataset.workers,
        hessian=job.hessian or job.hessian_every is not None or job.hessian_images is not None,
        hessian_every=job.hessian_every,
        hessian_images=job.hessian_images,
        capture=job.machine.capture,
    )
    known = find(name, job.preset) if job.preset is not None else None
    remarks: list[str] = []
    if preset is not None and job.output.resume is None:
        settings, remarks = fitted(settings, context, given)
        remarks += remarks_on(settings, preset, job)
    return Plan(
        command=name,
        method=method,
        settings=settings,
        context=context,
        words=words,
        job=job,
        preset=None if known is None else {"name": str(job.preset), "row": known.row, "reported": known.reported},
        remarks=tuple(remarks),
    )


def fitted(settings: Any, context: SearchContext, given: Collection[str]) -> tuple[Any, list[str]]:
    """Settings with the numbers of images and the batch size reduced to those of the data, except in `given`; a line for each."""
    remarks, count, name = list[str](), len(context.data.train), context.data.name
    images = getattr(settings, "images", None)
    if images is not None and context.parts is None and "images" not in given and 2 * images > count:
        settings = replace(settings, images=count // 2)
        remarks.append(f"--images {count // 2} instead of {images}: data {name!r} have {count:,} training images, half for each split")
    if "batch_size" not in given:
        size = smallest_split(settings, context)
        if settings.batch_size > size:
            remarks.append(f"--batch-size {size} instead of {settings.batch_size}: the smaller split of data {name!r}")
            settings = replace(settings, batch_size=size)
    return settings, remarks


def smallest_split(settings: Any, context: SearchContext) -> int:
    """Number of images of the smaller split; of both where every stage is trained on one level."""
    images = getattr(settings, "images", None)
    share = 0.5 if images is None else min(0.5, images / len(context.data.train))
    sizes = [len(part) for part in context.indices(getattr(settings, "fractions", (share, share)))]
    levels = [stage.levels for stage in vars(settings).values() if hasattr(stage, "levels")]
    return sum(sizes) if levels and max(levels) == 1 else min(sizes)


def remarks_on(settings: Any, preset: Any, job: SearchOptions) -> list[str]:
    """Warnings: flags that have no effect beside a split; another batch size with the learning rate of the preset's."""
    shares = [name for name in ("fractions", "images") if getattr(settings, name, None) != getattr(preset, name, None)]
    idle = [f"--{name} says nothing beside --split, whose lists are the two sides" for name in shares if job.split is not None]
    return [*idle, *_batch_size(settings, preset)]


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
