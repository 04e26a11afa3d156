"""`nasarch train MODEL`: from flags to a plan, a run for each seed, and what to do with the result."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from nasarch.atomic import write_text
from nasarch.compute import device_name, keep_freed_memory
from nasarch.console import command_line
from nasarch.console import console as plain_console
from nasarch.data.dataset import Dataset
from nasarch.runtime import distributed
from nasarch.runtime.claim import claimed
from nasarch.runtime.loggers import RunLog, TensorBoardLogger
from nasarch.runtime.options import to_dict
from nasarch.runtime.progress import ProgressDisplay, duration, to_all
from nasarch.runtime.recorded_data import MOVED, moved_data, with_recorded_data
from nasarch.runtime.run_folder import as_json
from nasarch.runtime.seeds import run_seeds

from .options import TrainOptions
from .plan import TrainPlan, fitted, located, network_spec, resumed
from .recipes import Training, recipe, remarks_on, with_scaled_lr
from .record import check_recordable, record
from .run import Result, config_of, config_of_seeds, run, summary
from .train_show import log_epoch, report
from .weights import remark_on_classes


def train(source: str, settings: Training, job: TrainOptions, given: Collection[str] | None = None) -> None:
    """Train the network of a model or genotype with every seed, or finish that.

    Args:
        given: fields set by the user; where others of the recipe don't fit the data, they are reduced. None: all of them.
    """
    remarks, kept, named = list[str](), None, source
    source = located(source)
    if job.output.resume is not None:
        flags, asked = settings, job
        recorded, settings, job, kept = resumed(job.output.resume)
        if source not in ("", recorded):
            raise ValueError(
                f"{asked.output.resume} holds a training of {recorded}, not of {source}: leave the model out, or train it in another folder"
            )
        source = recorded
        remarks += _ignored_flags(flags, asked, settings, job)
        job = moved_data(job, asked, TrainOptions())
    elif not source:
        raise ValueError(
            "no model: give a name that `nasarch models` lists, a genotype's .json file, or a search's folder; or --resume DIR"
        )
    elif job.scale_lr:
        defaults = recipe(job.recipe).settings
        settings = with_scaled_lr(settings, defaults)
        remarks.append(f"learning rate {settings.lr:.4g}, scaled by the batch size, {settings.batch_size} / {defaults.batch_size}")
    else:
        remarks += remarks_on(settings, recipe(job.recipe).settings)
    with job.machine.started() as device, claimed(job.output.resume, job.output.out, "train", named, job.dataset.data) as folder:
        data = job.dataset.load()
        if job.output.resume is not None:
            data = with_recorded_data(data, folder)
        elif given is not None:
            settings, reduced = fitted(settings, data, given)
            remarks += reduced
        _check_test(data, job)
        if job.weights is not None and job.output.resume is None:
            remarks += remark_on_classes(job.weights, data.class_names)
        plan = TrainPlan(
            network=network_spec(source, recipe(job.recipe), settings, data, kept),
            recipe=recipe(job.recipe),
            settings=settings,
            data=data,
            device=device,
            job=job,
            words=command_line(),
            remarks=tuple(remarks),
        )
        if job.record:
            check_recordable(plan)
        _train(plan, folder)


def _ignored_flags(settings: Training, job: TrainOptions, own: Training, own_job: TrainOptions) -> list[str]:
    """Warning about flags beside --resume that are ignored, where they differ from the folder."""
    defaults = asdict(recipe(job.recipe).settings) | to_dict(TrainOptions())
    asked, recorded = asdict(settings) | to_dict(job), asdict(own) | to_dict(own_job)
    others = [key for key, default in defaults.items() if key not in ("resume", *MOVED) and asked[key] not in (default, recorded[key])]
    flags = ", ".join(f"--{key.replace('_', '-')} {asked[key]} (there {recorded[key]})" for key in others)
    return [f"--resume goes on with the settings of its folder, so these don't count: {flags}"] if others else []


def _check_test(data: Dataset, job: TrainOptions) -> None:
    if job.test and data.test is None:
        raise ValueError(
            f"data {data.name!r} has no test part, so there would be no accuracy: add one (folders train/ and test/), or train all the "
            "same with --no-test"
        )


def _train(plan: TrainPlan, folder: Path) -> None:
    """Every seed, and the figures of all."""
    if plan.device.type == "cpu":
        keep_freed_memory()
    console = plain_console(quiet=not distributed.is_main())
    job, settings, data = plan.job, plan.settings, plan.data
    where = device_name(plan.device) + (f", {distributed.world_size()} processes" if distributed.world_size() > 1 else "")
    console.print(
        f"{plan.network.title} ({plan.network.size}) on {data.name}: {len(data.train):,} images; {where}", highlight=False, soft_wrap=True
    )
    words = f"recipe {job.recipe} ({plan.recipe.source}): {settings.epochs} of {plan.recipe.settings.epochs} epochs"
    console.print(f"{words}, batch size {settings.batch_size}, learning rate {settings.lr:g}", highlight=False, soft_wrap=True)
    for words in plan.remarks:
        console.print(f"note: {words}", highlight=False, soft_wrap=True)
    seeds = range(job.seed, job.seed + job.runs)
    results = run_seeds(
        lambda seed, path: _one(plan, seed, path, console),
        seeds,
        folder,
        config=config_of_seeds(plan),
        command="train",
        console=console,
    )
    if distributed.is_main():
        _conclude(plan, results, folder, console)


def _one(plan: TrainPlan, seed: int, folder: Path, console: Console) -> Result:
    loggers = [TensorBoardLogger()] if plan.job.tensorboard and distributed.is_main() else []
    with ProgressDisplay(console) as display, RunLog(loggers, folder, config_of(plan, seed)) as log:
        result = log.result = run(plan, seed, folder, to_all([partial(report, display, f"seed {seed}"), partial(log_epoch, log)]))
    console.print(f"seed {seed}: {_figures(result)}; {duration(result['seconds'])}", highlight=False, soft_wrap=True)
    return result


def _figures(result: Result) -> str:
    test = result["test"]
    if test is None:
        return f"training loss {result['train']['loss']:.4f}, not tested"
    five = "" if test["top5"] is None else f", top-5 {test['top5']:.2f} %"
    return f"test accuracy {test['top1']:.2f} %{five}, loss {test['loss']:.4f} on {test['images']:,} images"


def _conclude(plan: TrainPlan, results: Sequence[Result], folder: Path, console: Console) -> None:
    totals: dict[str, Any] = summary(results)
    if len(results) > 1:
        write_text(folder / "result.json", as_json(totals | {"results": results}))
        if totals["top1"]["mean"] is not None:
            text = f"{totals['runs']} runs: test accuracy {totals['top1']['mean']:.2f} +- {totals['top1']['std']:.2f} %"
            console.print(text, highlight=False, soft_wrap=True)
    if plan.job.record:
        path = record(plan, totals | {key: results[0].get(key) for key in ("device", "begun_from")})
        console.print(f"recorded in {path}", highlight=False, soft_wrap=True)
    last = folder if len(results) == 1 else folder / f"seed-{results[0]['seed']}"
    load_it = f"import nasarch, timm; timm.create_model({f'local-dir:{last}/model'!r}, pretrained=True)"
    console.print(f"result: {folder / 'result.json'}\nload:   {load_it}", highlight=False, soft_wrap=True)
