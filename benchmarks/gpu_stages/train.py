"""Stage train: the shallow networks of two genotypes by their recipe, through the code of `nasarch train`.

The time left is shared among the networks. A training has as many epochs of the recipe's 100 as fit into its share, by the seconds of a
few steps measured before (or --epochs); learning rate and drop path keep their shape, stretched to them. One that is not over when its
share is leaves its state in train-NAME.tar, with which --resume goes on; of one that is over the file holds the folder that
`python -m nasarch.search.training.ship` takes, from within the folder where the data lie: they are written down by their own name alone,
since
these files are published. Files hold float32 weights of less than 2 MB, and are refused from 16 MiB on.
"""

from __future__ import annotations

import io
import signal
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nasarch.atomic import atomic_path
from nasarch.data.dataset import Dataset
from nasarch.data.loader import endless
from nasarch.models import shipped
from nasarch.runtime.options import updated
from nasarch.search.training.learner import Progress
from nasarch.search.training.plan import TrainOptions, TrainPlan, network_spec, resumed
from nasarch.search.training.recipes import Training, recipe
from nasarch.search.training.run import _batches, _learner
from nasarch.search.training.run import run as train

from .context import Context
from .images import read

NAMES = ("ftso_cifar", "pc_darts_cifar")
RECIPE = "shallow"
SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 32, "channels": 4}
SEED = 0
WARM, PROBED, SMALL_PROBED = 10, 60, 2  # steps before those that measure how many epochs fit, and those
USED = 0.9  # of the share of time
RESERVE = 4.0  # seconds to test and to write
LARGEST = 16 * 2**20  # bytes of a file


def run(context: Context) -> None:
    """One network after the other, each with an equal share of the time that is left."""
    data = read(context)
    for number, name in enumerate(NAMES):
        share = context.left / (len(NAMES) - number)
        context.attempt(name, partial(trained, context, data, name, time.time() + share))


def trained(context: Context, data: Dataset, name: str, end: float) -> dict[str, Any]:
    """Train until `end` at most, and leave the file."""
    folder, file = context.scratch / name, f"train-{name}.tar"
    folder.mkdir()
    begun = context.resume / file if context.resume is not None else None
    if begun is not None and begun.exists():
        with tarfile.open(begun) as archive:
            archive.extractall(folder, filter="data")
        plan = again(context, data, folder)
    else:
        plan = first(context, data, name, end)
    told = {"epochs": plan.settings.epochs, "of_recipe": recipe(RECIPE).settings.epochs, "share_s": end - time.time(), "file": file}
    context.note(name, told)
    try:
        result = train(plan, SEED, folder, follow(context, name, told, folder, end))
    except KeyboardInterrupt:
        pack(folder, context.out / file)
        return told | context.found[name] | {"stopped": f"to go on: --only train --resume with the folder of {file}"}
    pack(folder, context.out / file)
    test = result["test"] or {}
    return told | {
        "seconds": result["seconds"],
        "train_loss": result["train"]["loss"],
        "top1": test.get("top1"),
        "test_loss": test.get("loss"),
        "shipped_top1": shipped.accuracy(name + shipped.SHALLOW),
    }


def again(context: Context, data: Dataset, folder: Path) -> TrainPlan:
    """The plan of a training that was stopped."""
    source, settings, job, genotype = resumed(folder)
    return planned(context, data, source, settings, updated(job, {"device": context.device}), kept=genotype)


def first(context: Context, data: Dataset, name: str, end: float) -> TrainPlan:
    """A new plan, with as many epochs as fit."""
    settings = replace(recipe(RECIPE).settings, **(SMALL if context.small else {}))
    job = updated(
        TrainOptions(),
        {"recipe": RECIPE, "data": Path(context.data).name, "seed": SEED, "device": context.device, "capture": context.capture},
    )
    plan = planned(context, data, name, settings, job)
    epochs = context.epochs or fitting(plan, end, SMALL_PROBED if context.small else PROBED)
    return planned(context, data, name, replace(settings, epochs=epochs), job)


def planned(context: Context, data: Dataset, name: str, settings: Training, job: TrainOptions, **kept: Any) -> TrainPlan:
    told = f"nasarch train {name} --recipe {RECIPE} --data {job.dataset.data} --epochs {settings.epochs} --device {context.device}"
    return TrainPlan(
        network=network_spec(name, recipe(RECIPE), settings, data, **kept),
        recipe=recipe(RECIPE),
        settings=settings,
        data=data,
        device=torch.device(context.device),
        job=job,
        words=told,
    )


def fitting(plan: TrainPlan, end: float, steps: int) -> int:
    """How many epochs of the plan fit until `end`, by the seconds of so many steps; at least one, at most the plan's."""
    batches = _batches(plan, SEED)
    learner, begin, epoch = _learner(plan, SEED, fresh=True), 0.0, len(batches)
    learner.start_epoch(0)
    for number, batch in zip(range(WARM + steps), endless(batches), strict=False):
        if number == WARM:
            begin = now(plan.device)
        learner.step(batch, number)
    seconds = (now(plan.device) - begin) / steps * epoch
    return max(1, min(plan.settings.epochs, int((USED * (end - time.time()) - RESERVE) / seconds)))


def now(device: torch.device) -> float:
    """Seconds by the clock, when everything is computed."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def follow(context: Context, name: str, told: dict[str, Any], folder: Path, end: float) -> Callable[[Progress], None]:
    """Keeps how far the training is, with a file of its state after every epoch; asks it to stop shortly before `end`."""
    asked, kept = [False], [0]

    def report(progress: Progress) -> None:
        if progress.ends_epoch:
            context.note(name, told | {"epoch": progress.epoch, "train_loss": progress.loss, "images_per_s": progress.images_per_second})
        if progress.epoch > kept[0] + 1 and (folder / "checkpoint.pt").exists():
            kept[0] = progress.epoch - 1  # the state after it is written by now
            pack(folder, context.out / told["file"])
        if time.time() > end - RESERVE and not asked[0]:
            asked[0] = True
            signal.raise_signal(signal.SIGTERM)  # which `nasarch train` takes as the wish to stop after this step

    return report


def pack(folder: Path, path: Path) -> None:
    """The files of a training's folder as one file.

    Raises:
        ValueError: it would be too large to be brought back.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for part in sorted(folder.iterdir()):
            archive.add(part, part.name)
    if content.tell() >= LARGEST:
        raise ValueError(f"{path.name} would have {content.tell() / 2**20:.0f} MiB, and files from {LARGEST // 2**20} MiB on stay behind")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
