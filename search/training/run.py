"""Run of a training in a folder: settings, metrics, the trained network and its result. Knows files; trains and tests by others.

| file | holds |
|---|---|
| config.json | model, cells, settings, seed, data with digest, device, versions, command |
| metrics.jsonl | a line an epoch: loss, accuracy on the training images, learning rate, drop path, images/s, memory, seconds |
| checkpoint.pt | the state after the last epoch, or where it was stopped, to resume from; removed at the end |
| model/ | config.json and model.safetensors: `timm.create_model("local-dir:.../model", pretrained=True)` |
| result.json | loss and accuracy on the test images, read once, by the weights after the last epoch; and all that led there |

With several seeds every run has a folder of its own, and result.json above them has mean and standard deviation. Of several processes
the first one writes.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nasarch.atomic import write_text
from nasarch.compute import AUTOCAST_DTYPES, environment
from nasarch.data.dataset import Dataset
from nasarch.data.loader import BatchLoader
from nasarch.models.weight_files import weights_file
from nasarch.runtime import distributed
from nasarch.runtime.json_files import read_object, reading, typed_keys
from nasarch.runtime.meter import peak_memory
from nasarch.runtime.options import to_dict
from nasarch.runtime.recorded_data import with_absolute_paths
from nasarch.runtime.run_folder import CHECKPOINT, RESULT, RunFolder, as_json, finished

from .evaluate import Score, evaluate
from .learner import Learner, Progress, fit
from .plan import TrainPlan
from .weights import load_weights, save_model

Report = Callable[[Progress], None]
Result = dict[str, Any]
SAME = ("source", "model", "settings", "seed", "data", "amp", "processes")  # of config.json, to go on from a checkpoint


def run(plan: TrainPlan, seed: int, path: Path, report: Report) -> Result:
    """Train once in the folder `path`, or finish what it holds of that. Returns what is in result.json.

    SIGINT and SIGTERM stop it after the present step with its state saved; a second signal stops it at once.

    Raises:
        ValueError: the checkpoint in the folder is damaged or of another training, or another process is running there; or a loss, of
            the training images or the test images, or a weight is no finite number: says where, and leaves the checkpoint.
        KeyboardInterrupt: it was stopped.
    """
    result = finished(path / RESULT, lambda: read_result(path))
    if result is not None:
        return result
    with RunFolder.begin(path, config_of(plan, seed), SAME) as folder:
        batches, fresh = _batches(plan, seed), not folder.has_state
        learner = _learner(plan, seed, fresh=fresh, steps=len(batches))
        if fresh:
            folder.config["begun_from"] = distributed.run_on_main(lambda: _begun_from(plan))
        try:
            folder.follow(fit(learner, batches, folder.checkpoint), report, lambda one: asdict(one) | {"memory": peak_memory()})
        except ValueError as error:
            good = f"; {path / CHECKPOINT} is of epoch {folder.checkpoint.epochs}, to begin with by --weights"
            raise ValueError(f"{error}{good if 'the loss is' in str(error) and folder.has_state else ''}") from error
        trained = learner.result()
        wrong = [key for key, value in trained.state_dict().items() if not value.isfinite().all()]  # the last step's, in no training loss
        if wrong:
            raise ValueError(f"after the last step {len(wrong)} weights such as {wrong[0]} are no finite numbers: {_remedy(path)}")
        part = plan.data.test if plan.job.test else None
        score = None
        if part is not None:
            batch_size, workers = max(1, plan.settings.batch_size // distributed.world_size()), plan.job.dataset.workers
            score = evaluate(trained, part, plan.data, batch_size=batch_size, device=plan.device, workers=workers)
        if score is not None and not math.isfinite(score.loss):
            raise ValueError(f"the loss on the test images is {score.loss}: {_remedy(path)}")
        bare = plan.network.build(seed, aux_head=False)
        result = _result(plan, folder, score, sum(parameter.numel() for parameter in bare.parameters()))

        def write() -> None:
            save_model(bare, trained.state_dict(), path / "model", plan.data.class_names)
            write_text(path / RESULT, as_json(result))

        folder.finish(write)
    return result


def read_result(folder: Path) -> Result:
    """The result.json of a finished training in `folder`.

    Raises:
        ValueError: the file is damaged.
    """
    path, remedy = folder / RESULT, "remove it, and train again in another folder"
    result = read_object(path, remedy, seed=int, seconds=float, train=dict)
    with reading(path, remedy):
        typed_keys(result["train"], loss=float, accuracy=float)
        if result["test"] is not None:
            typed_keys(result["test"], images=int, loss=float, top1=float)
            if result["test"]["top5"] is not None:
                typed_keys(result["test"], top5=float)
    return result


def _remedy(folder: Path) -> str:
    return f"choose a smaller learning rate (--lr), in another folder; {folder / 'checkpoint.pt'} holds these weights, and nothing is saved"


def _begun_from(plan: TrainPlan) -> dict[str, str] | None:
    """Name and digest of the file that the first weights were read from."""
    if plan.job.weights is None:
        return None
    file = weights_file(plan.job.weights)
    return {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def _learner(plan: TrainPlan, seed: int, *, fresh: bool, steps: int | None = None) -> Learner:
    net = plan.network.build(seed, aux_head=plan.settings.aux_weight > 0)
    if fresh and plan.job.weights is not None:
        load_weights(net, plan.job.weights, plan.data.class_names)
    mean_std = (plan.data.mean, plan.data.std)
    return Learner(
        net.to(plan.device),
        plan.settings,
        seed=seed,
        mean_std=mean_std,
        precision=AUTOCAST_DTYPES[plan.job.amp],
        steps=steps,
        capture=plan.job.machine.capture,
        recompute=plan.job.recompute,
    )


def _batches(plan: TrainPlan, seed: int) -> BatchLoader:
    return BatchLoader(
        plan.data.train,
        plan.data,
        batch_size=plan.settings.batch_size,
        seed=seed,
        augmentation=replace(plan.data.augmentation, cutout=plan.settings.cutout),
        device=plan.device,
        workers=plan.job.dataset.workers,
        rank=distributed.rank(),
        ranks=distributed.world_size(),
    )


def config_of_seeds(plan: TrainPlan) -> dict[str, Any]:
    """config.json of the folder above several seeds."""
    return {
        "source": plan.network.source,
        "genotype": plan.network.genotype.to_dict(),
        "settings": asdict(plan.settings),
        "train": with_absolute_paths(to_dict(plan.job)),
        "data": _about(plan.data),
    }


def _about(data: Dataset) -> dict[str, Any]:
    return {"name": data.name, "images": len(data.train), "size": list(data.size), "source": data.source, "sha256": data.digest}


def config_of(plan: TrainPlan, seed: int) -> dict[str, Any]:
    network = plan.network
    return {
        "source": network.source,
        "model": network.model,
        "genotype": network.genotype.to_dict(),
        "cells_sha256": network.digest,
        "recipe": {"name": plan.job.recipe, "source": plan.recipe.source},
        "settings": asdict(plan.settings),
        "seed": seed,
        "amp": plan.job.amp,
        "tf32": plan.job.machine.tf32,
        "deterministic": plan.job.machine.deterministic,
        "processes": distributed.world_size(),
        "train": with_absolute_paths(to_dict(plan.job)) | {"seed": seed, "runs": 1},
        "data": _about(plan.data),
        "class_names": list(plan.data.class_names),
        **environment(plan.device),
        "command": plan.words,
    }


def _result(plan: TrainPlan, folder: RunFolder, score: Score | None, parameters: int) -> Result:
    last = folder.last
    keys = ("source", "model", "recipe", "seed", "amp", "tf32", "deterministic", "processes", "data", "begun_from", "device", "versions")
    copied = {key: folder.config[key] for key in keys}
    test = None if score is None else {"images": score.images, "loss": score.loss, "top1": score.top1, "top5": score.top5}
    return copied | {
        "cells_sha256": plan.network.digest,
        "parameters": parameters,
        "epochs": plan.settings.epochs,
        "batch_size": plan.settings.batch_size,
        "weights": "moving average" if plan.settings.ema else "last epoch",
        "train": {"loss": last["loss"], "accuracy": last["accuracy"]},
        "test": test,
        "seconds": last["seconds"],
    }


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Mean and standard deviation (of a sample: n - 1) over runs that differ in the seed alone; None for what was not measured."""
    totals: dict[str, Any] = {"runs": len(results), "seeds": [result["seed"] for result in results]}
    for key in ("top1", "top5", "loss"):
        values = [result["test"][key] for result in results if result["test"] and result["test"][key] is not None]
        is_complete = len(values) == len(results)
        totals[key] = {
            "mean": statistics.fmean(values) if is_complete else None,
            "std": statistics.stdev(values) if is_complete and len(values) > 1 and all(map(math.isfinite, values)) else None,
        }
    return totals
