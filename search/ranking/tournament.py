"""Many small networks trained under one budget and evaluated: training groups into lines of JSON. Knows no ranking.

A training group is some networks that are trained as one, with one seed, on the same images. What a folder holds of it:

| file | holds |
|---|---|
| config.json | command, budget, candidates or what they follow from, data with digest, device, versions |
| groups/NAME.jsonl | of a group that is over: a line a network, with accuracy and loss on the evaluation images |
| groups/NAME.pt | of a group that is not: its state after the last epoch, or where it was stopped |
| networks.jsonl | the lines of all groups, in their order |

Of several processes that torchrun started each takes its share of the groups. They agree on the folder before anything is trained; from
then on none waits for another before the end of a stage, when all read what the others wrote into the folder that they have in common.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from nasarch.atomic import remove_leftovers, write_text
from nasarch.cells.genotype import Genotype
from nasarch.compute import environment, seeded
from nasarch.data.loader import BatchLoader
from nasarch.models.network import CellNetwork
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.claim import claimed, make_folder
from nasarch.runtime.json_files import CONFIG, read_lines, read_object, reading, typed_keys
from nasarch.runtime.options import to_dict
from nasarch.runtime.recorded_data import with_absolute_paths
from nasarch.runtime.run_folder import as_json
from nasarch.runtime.signals import stopping_at_signals
from nasarch.search.fused.learner import FusedLearner, evaluate_each
from nasarch.search.fused.network import FusedNetwork, edges_per_node
from nasarch.search.training.evaluate import evaluate
from nasarch.search.training.learner import Learner, Progress, fit

from .protocol import EvaluationProtocol
from .task import RankingTask

PATIENCE, PAUSE = 60.0, 0.5  # seconds until a disk shows what another machine wrote, and between two looks
Line = dict[str, Any]  # a network that was trained and evaluated


class Candidate(NamedTuple):
    """Cells by a name."""

    name: str
    genotype: Genotype


class TrainingGroup(NamedTuple):
    """Networks that are trained as one; `name` is that of its files."""

    name: str
    stage: str
    seed: int
    candidates: tuple[Candidate, ...]


Report = Callable[[TrainingGroup, Progress], None]


def training_groups(stage: str, candidates: Sequence[Candidate], seeds: Iterable[int], networks_per_group: int) -> list[TrainingGroup]:
    """All candidates with each seed: those whose cells are of one form in groups, in their order, the others alone."""
    forms = [edges_per_node(candidate.genotype) for candidate in candidates]
    groups: list[tuple[Candidate, ...]] = []
    for one in dict.fromkeys(forms):
        members = [candidate for candidate, of in zip(candidates, forms, strict=True) if of == one]
        size = 1 if one is None else networks_per_group
        groups += [tuple(members[i : i + size]) for i in range(0, len(members), size)]
    return [TrainingGroup(f"{stage}-seed{seed}-{i:03}", stage, seed, group) for seed in seeds for i, group in enumerate(groups)]


@contextmanager
def open_tournament(task: RankingTask, protocol: EvaluationProtocol) -> Iterator[tuple[RankingTask, EvaluationProtocol]]:
    """Claim the folder in the block and write config.json, or check that it is the same tournament.

    Of several processes the first one does so, while the others wait for what it says: none begins where it refuses. They are
    joined for that time alone.

    Yields the task with its folder, and the protocol with as many networks per group as config.json says.

    Raises:
        ValueError: there is something else in the folder, another process is running there, the data are others, or the processes have
            no folder in common.
    """
    config = json.loads(json.dumps(_config(task, protocol)))
    with ExitStack() as stack:
        distributed.init("cpu")
        try:
            folder = stack.enter_context(claimed(task.budget.output.resume, task.out, task.command, task.budget.dataset.data))
            known = distributed.run_on_main(lambda: _begun(task, folder / CONFIG, config))
        finally:
            distributed.destroy()
        for key in ("tournament", "facts", "data"):
            if known.get(key) != config[key]:
                other = f"{folder} is of other {key}, {known.get(key)}"
                raise ValueError(f"{other}, instead of {config[key]}: go on with the same, or choose another folder with --out")
        _await(folder / CONFIG)
        yield task._replace(out=folder), replace(protocol, networks_per_group=known["budget"]["networks_per_group"])


def _begun(task: RankingTask, path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Content of config.json; of a new tournament that is `config`, which is written."""
    if task.budget.output.resume is None:
        write_text(path, as_json(config))
        return config
    remedy = "give the folder of a tournament, with its config.json"
    known = read_object(path, remedy, budget=dict)
    with reading(path, remedy):
        typed_keys(known["budget"], networks_per_group=int)
    return known


def _await(path: Path) -> None:
    """Until the file is there, which the first process wrote.

    Raises:
        ValueError: it is not.
    """
    end = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            raise ValueError(f"no {path} here, though the first process has one: name a folder with --out on a disk that all machines see")
        time.sleep(PAUSE)


def _config(task: RankingTask, protocol: EvaluationProtocol) -> dict[str, Any]:
    data = protocol.data
    return {
        "tournament": task.command,
        "budget": with_absolute_paths(to_dict(task.budget)) | {"networks_per_group": protocol.networks_per_group},
        "facts": task.facts,
        "data": {
            "name": data.name,
            "images": len(protocol.train),
            "val_images": len(protocol.val),
            "size": list(data.size),
            "source": data.source,
            "sha256": data.digest,
        },
        **environment(protocol.device),
        "processes": distributed.rank_and_world_size()[1],
    }


def train_groups(task: RankingTask, protocol: EvaluationProtocol, groups: Sequence[TrainingGroup], report: Report) -> list[Line]:
    """Run this process's share of the groups, those that are over excepted; returns the lines of all, in order.

    Where a process fails, torchrun ends the others, which keep their state first. Where a machine falls silent and torchrun doesn't
    notice, the others finish their shares and then wait here for its groups without an end: stop them, and go on with --resume, with
    as many processes as are left. The groups that are missing are then shared anew; those begun go on from their last state.

    Raises:
        KeyboardInterrupt: it was stopped, with everything kept.
        ValueError: a checkpoint or a file of lines is damaged, or a loss is no number.
    """
    remove_leftovers(make_folder(task.folder / "groups"))
    number, count = distributed.rank_and_world_size()
    for group in groups[number::count]:
        if not is_over(task.folder, group):
            _run(task, protocol, group, report)
            _collect(task.folder)
    while not all(is_over(task.folder, group) for group in groups):  # the others are at work
        time.sleep(PAUSE)
    _collect(task.folder)
    return [line for group in groups for line in read_group(_file(task.folder, group))]


def is_over(folder: Path, group: TrainingGroup) -> bool:
    """Whether a tournament's folder has the lines of the group."""
    return _file(folder, group).exists()


def _file(folder: Path, group: TrainingGroup) -> Path:
    return folder / "groups" / f"{group.name}.jsonl"


def read_group(path: Path) -> list[Line]:
    """The lines of a group, or of all of them.

    Raises:
        ValueError: the file is damaged: names the line and the remedy.
    """
    checked = partial(typed_keys, name=str, seed=int, accuracy=float, loss=float)
    return read_lines(path, checked, "remove it, and resume; its networks are then trained again")


def _diverged(lines: Sequence[Line]) -> str:
    """Message about the first network whose loss or accuracy is not finite, with the remedy; empty if there is none."""
    for line in lines:
        if not math.isfinite(line["loss"]) or not math.isfinite(line["accuracy"]):
            where = f"the loss of {line['name']}, seed {line['seed']}, on the evaluation images is {line['loss']}"
            return f"{where}, so it can't be ranked: choose a smaller learning rate (--lr), in another folder"
    return ""


def _collect(folder: Path) -> None:
    parts = sorted((folder / "groups").glob("*.jsonl"))
    write_text(folder / "networks.jsonl", "".join(part.read_text(encoding="utf-8") for part in parts))


def _run(task: RankingTask, protocol: EvaluationProtocol, group: TrainingGroup, report: Report) -> None:
    """Train a group, or finish that, and write its lines."""
    state, start = _file(task.folder, group).with_suffix(".pt"), time.perf_counter()
    identity = {"group": group.name, "settings": repr(protocol.settings), "data": protocol.data.digest, "facts": repr(task.facts)}
    checkpoint = Checkpoint(state, identity)
    nets = [network(protocol, candidate.genotype, group.seed) for candidate in group.candidates]
    batches = _batches(protocol, group.seed)
    learner = _learner(protocol, nets, group.seed, len(batches))
    with stopping_at_signals(checkpoint):
        for progress in fit(learner, batches, checkpoint):
            report(group, progress)
    accuracies = _evaluated(protocol, learner)
    seconds = round((time.perf_counter() - start) / len(nets), 3)
    lines = [
        {
            "stage": group.stage,
            "name": candidate.name,
            "seed": group.seed,
            "accuracy": round(accuracy, 6),
            "loss": round(loss, 6),
            "parameters": sum(p.numel() for name, p in net.named_parameters() if not name.startswith("aux_head.")),
            "networks_in_group": len(nets),
            "seconds": seconds,
        }
        for candidate, net, (accuracy, loss) in zip(group.candidates, nets, accuracies, strict=True)
    ]
    if wrong := _diverged(lines):
        raise ValueError(wrong)
    write_text(_file(task.folder, group), "".join(json.dumps(line) + "\n" for line in lines))
    state.unlink(missing_ok=True)


def network(protocol: EvaluationProtocol, genotype: Genotype, seed: int) -> CellNetwork:
    """The network of the cells, its first weights drawn by the seed."""
    cells, channels, aux_head = protocol.settings.cells, protocol.settings.channels, protocol.settings.aux_weight > 0
    assert cells is not None and channels is not None
    with seeded(seed):
        return CellNetwork(genotype, protocol.data.num_classes, cells=cells, channels=channels, stem=protocol.stem, aux_head=aux_head)


def _learner(protocol: EvaluationProtocol, nets: Sequence[CellNetwork], seed: int, steps: int) -> Learner | FusedLearner:
    settings = protocol.settings
    if len(nets) == 1:
        mean_std = (protocol.data.mean, protocol.data.std)
        return Learner(nets[0].to(protocol.device), settings, seed=seed, mean_std=mean_std, steps=steps, capture=protocol.capture)
    assert settings.cells is not None and settings.channels is not None
    fused = FusedNetwork(nets, cells=settings.cells, channels=settings.channels)
    return FusedLearner(fused.to(protocol.device), settings, seed=seed, capture=protocol.capture)


def _batches(protocol: EvaluationProtocol, seed: int) -> BatchLoader:
    return BatchLoader(
        protocol.train,
        protocol.data,
        batch_size=protocol.settings.batch_size,
        seed=seed,
        augmentation=replace(protocol.data.augmentation, cutout=protocol.settings.cutout),
        device=protocol.device,
        workers=protocol.workers,
    )


def _evaluated(protocol: EvaluationProtocol, learner: Learner | FusedLearner) -> list[tuple[float, float]]:
    """Accuracy in percent and loss of each network."""
    size, device = protocol.settings.batch_size, protocol.device
    if isinstance(learner, FusedLearner):
        return evaluate_each(learner.net, protocol.val, protocol.data, batch_size=size, device=device, workers=protocol.workers)
    score = evaluate(learner.net, protocol.val, protocol.data, batch_size=size, device=device, workers=protocol.workers)
    return [(score.top1, score.loss)]
