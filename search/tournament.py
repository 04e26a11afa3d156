"""Many small networks trained under one budget and judged: heats into lines of JSON. Knows no ranking.

A heat is some networks that train together with one seed, on the same images. What a folder holds of it:

| file | holds |
|---|---|
| config.json | command, budget, contestants or what they follow from, data with digest, device, versions |
| heats/NAME.jsonl | of a heat that is over: a line a network, with accuracy and loss on the judging images |
| heats/NAME.pt | of a heat that is not: its state after the last epoch, or where it was stopped |
| networks.jsonl | the lines of all heats, in their order |

Of several processes that torchrun started each takes its share of the heats; none waits for another before the end of a stage, when
all read what the others wrote: they need a folder in common and nothing else.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nasarch.device import device_name
from nasarch.files import write_text
from nasarch.genotype import Genotype
from nasarch.network import CellNetwork

from . import ranks
from .batches import Batches
from .checkpoint import Checkpoint
from .evaluate import evaluate
from .run import PACKAGES, stopping_at_signals
from .run_folder import as_json, check_unused, make_folder, plain
from .supernet import seeded
from .tournament_budget import Told
from .tournament_ground import Ground
from .tournament_learner import FleetLearner, judge
from .tournament_network import Fleet, form
from .train import Learner, Progress, fit

PATIENCE, PAUSE = 60.0, 0.5  # seconds to wait for the first process, and between two looks
Line = dict[str, Any]  # a network that was trained and judged


class Contestant(NamedTuple):
    """Cells by a name."""

    name: str
    genotype: Genotype


class Heat(NamedTuple):
    """Networks that train together; `name` is that of its files."""

    name: str
    stage: str
    seed: int
    contestants: tuple[Contestant, ...]


Report = Callable[[Heat, Progress], None]


def heats(stage: str, contestants: Sequence[Contestant], seeds: Iterable[int], together: int) -> list[Heat]:
    """All contestants with each seed: those whose cells are of one form `together` at a time, in their order, the others alone."""
    forms = [form(contestant.genotype) for contestant in contestants]
    groups: list[tuple[Contestant, ...]] = []
    for one in dict.fromkeys(forms):
        members = [contestant for contestant, of in zip(contestants, forms, strict=True) if of == one]
        size = 1 if one is None else together
        groups += [tuple(members[i : i + size]) for i in range(0, len(members), size)]
    return [Heat(f"{stage}-seed{seed}-{i:03}", stage, seed, group) for seed in seeds for i, group in enumerate(groups)]


def established(task: Told, ground: Ground) -> Ground:
    """Make the folder and write config.json, or check that it is the same tournament; of several processes the first one writes.

    Returns the ground with as many networks together as config.json says.

    Raises:
        ValueError: there is something else in the folder, or the data are others.
    """
    config, path = _config(task, ground), task.folder / "config.json"
    number, _ = ranks.place()
    if task.budget.resume is None and number == 0:
        check_unused(task.folder)
        make_folder(task.folder)
        write_text(path, as_json(config))
        return ground
    end = time.monotonic() + PATIENCE
    while not path.exists() and time.monotonic() < end:
        time.sleep(PAUSE)
    known = json.loads(path.read_text(encoding="utf-8"))
    for key in ("tournament", "facts", "data"):
        if known.get(key) != json.loads(json.dumps(config[key])):
            other = f"{task.folder} is of other {key}, {known.get(key)}"
            raise ValueError(f"{other}, instead of {config[key]}: go on with the same, or choose another folder with --out")
    return replace(ground, together=known["budget"]["together"])


def _config(task: Told, ground: Ground) -> dict[str, Any]:
    data = ground.data
    return {
        "tournament": task.command,
        "budget": plain(task.budget) | {"together": ground.together},
        "facts": task.facts,
        "data": {
            "name": data.name,
            "images": len(ground.train),
            "judged_on": len(ground.judges),
            "size": list(data.size),
            "source": data.source,
            "sha256": data.digest,
        },
        "device": device_name(ground.device),
        "threads": torch.get_num_threads(),
        "processes": ranks.place()[1],
        "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
    }


def play(task: Told, ground: Ground, wanted: Sequence[Heat], report: Report) -> list[Line]:
    """Run this process's share of the heats, those that are over excepted; returns the lines of all, in order.

    Raises:
        KeyboardInterrupt: it was stopped, with everything kept.
        ValueError: a checkpoint or a file of lines is damaged, or the loss is no number.
    """
    make_folder(task.folder / "heats")
    number, count = ranks.place()
    for heat in wanted[number::count]:
        if not is_over(task.folder, heat):
            _run(task, ground, heat, report)
            _collect(task.folder)
    while not all(is_over(task.folder, heat) for heat in wanted):  # the others are at work
        time.sleep(PAUSE)
    _collect(task.folder)
    return [line for heat in wanted for line in read_lines(_file(task.folder, heat))]


def is_over(folder: Path, heat: Heat) -> bool:
    """Whether a tournament's folder has the lines of the heat."""
    return _file(folder, heat).exists()


def _file(folder: Path, heat: Heat) -> Path:
    return folder / "heats" / f"{heat.name}.jsonl"


def read_lines(path: Path) -> list[Line]:
    """The lines of a heat, or of all of them.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return [dict(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): remove it, and resume; its networks are then trained again") from error


def _collect(folder: Path) -> None:
    parts = sorted((folder / "heats").glob("*.jsonl"))
    write_text(folder / "networks.jsonl", "".join(part.read_text(encoding="utf-8") for part in parts))


def _run(task: Told, ground: Ground, heat: Heat, report: Report) -> None:
    """Train a heat, or finish that, and write its lines."""
    state, start = _file(task.folder, heat).with_suffix(".pt"), time.perf_counter()
    identity = {"heat": heat.name, "settings": repr(ground.settings), "data": ground.data.digest, "facts": repr(task.facts)}
    checkpoint = Checkpoint(state, identity)
    nets = [network(ground, contestant.genotype, heat.seed) for contestant in heat.contestants]
    learner = _learner(ground, nets, heat.seed)
    with stopping_at_signals(checkpoint):
        for progress in fit(learner, _batches(ground, heat.seed), checkpoint):
            report(heat, progress)
    found = _judged(ground, learner)
    seconds = round((time.perf_counter() - start) / len(nets), 3)
    lines = [
        {
            "stage": heat.stage,
            "name": contestant.name,
            "seed": heat.seed,
            "accuracy": round(accuracy, 6),
            "loss": round(loss, 6),
            "parameters": sum(p.numel() for p in net.parameters()),
            "together": len(nets),
            "seconds": seconds,
        }
        for contestant, net, (accuracy, loss) in zip(heat.contestants, nets, found, strict=True)
    ]
    write_text(_file(task.folder, heat), "".join(json.dumps(line) + "\n" for line in lines))
    state.unlink(missing_ok=True)


def network(ground: Ground, genotype: Genotype, seed: int) -> CellNetwork:
    """The network of the cells, its first weights drawn by the seed."""
    cells, channels = ground.settings.cells, ground.settings.channels
    assert cells is not None and channels is not None
    with seeded(seed):
        return CellNetwork(genotype, ground.data.num_classes, cells=cells, channels=channels, stem=ground.stem)


def _learner(ground: Ground, nets: Sequence[CellNetwork], seed: int) -> Learner | FleetLearner:
    settings = ground.settings
    if len(nets) == 1:
        return Learner(nets[0].to(ground.device), settings, seed=seed, colours=(ground.data.mean, ground.data.std))
    assert settings.cells is not None and settings.channels is not None
    fleet = Fleet(nets, cells=settings.cells, channels=settings.channels)
    return FleetLearner(fleet.to(ground.device), settings, seed=seed)


def _batches(ground: Ground, seed: int) -> Batches:
    return Batches(
        ground.train,
        ground.data,
        batch_size=ground.settings.batch_size,
        seed=seed,
        augmentation=replace(ground.data.augmentation, cutout=ground.settings.cutout),
        device=ground.device,
        workers=ground.workers,
    )


def _judged(ground: Ground, learner: Learner | FleetLearner) -> list[tuple[float, float]]:
    """Accuracy in percent and loss of each network."""
    size, device = ground.settings.batch_size, ground.device
    if isinstance(learner, FleetLearner):
        return judge(learner.net, ground.judges, ground.data, batch_size=size, device=device, job=ground)
    score = evaluate(learner.net, ground.judges, ground.data, batch_size=size, device=device, job=ground)
    return [(score.top1, score.loss)]
