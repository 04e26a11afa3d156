"""Evaluation protocol of a ranking: training and validation images, device, settings. Trains nothing.

| a command that | trains on | measures accuracy on |
|---|---|---|
| selects | a class-balanced half of the training images | the other half, held out (`rank-paths --by-test`: as one that reports) |
| reports | the training images | the test images |

The halves are the train and validation splits of the search, where the cells come from runs that have the same. Otherwise they are drawn
by the seed, as a search with that seed and fractions of 0.5 draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasarch.compute import device_name, keep_freed_memory, pick_device, set_tf32
from nasarch.data.dataset import Dataset, Images, split_indices
from nasarch.data.image_files import Files
from nasarch.data.split_files import read_split
from nasarch.models.stem import IMAGENET_STEM_SIZE
from nasarch.runtime import distributed
from nasarch.runtime.recorded_data import with_recorded_data
from nasarch.search.fused.learner import can_fuse
from nasarch.search.training.recipes import Training

from .budget import SETTINGS, Budget
from .origin import check_data
from .task import Facts, RankingTask

HALVES = (0.5, 0.5)
IN_SUMMARY = ("recipe", *SETTINGS, "seeds", "seed")
MEBI = 2**20
LARGE_MAP, CACHE = MEBI, 4 * MEBI  # bytes of a map from which networks are faster one by one on a CPU; and of all maps together
MAPS = 400  # of the first cells' size, that the training of a network of 5 cells keeps, for a GPU's memory


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationProtocol:
    """Evaluation protocol shared by all networks of a ranking; `evaluated_on` describes the validation images."""

    data: Dataset
    train: Images | Files
    val: Images | Files
    evaluated_on: str
    settings: Training
    device: torch.device
    workers: int | None
    networks_per_group: int
    capture: bool = False

    @property
    def stem(self) -> str:
        return "imagenet" if min(self.data.size) >= IMAGENET_STEM_SIZE else "cifar"

    @property
    def steps(self) -> int:
        """Number of steps of each training; the last batch of an epoch may be smaller, and counts."""
        return self.settings.epochs * -(-len(self.train) // self.settings.batch_size)


def evaluation_protocol(task: RankingTask, *, by_test: bool) -> EvaluationProtocol:
    """Load the data set, and draw the images.

    Raises:
        ValueError: no such data or device, or not those of the search; no test part; more images than there are, or too few for the
            classes.
    """
    budget = task.budget
    device = pick_device(distributed.own_device(budget.machine.device))
    set_tf32(budget.machine.tf32)
    if device.type == "cpu":
        keep_freed_memory()
    data = budget.dataset.load()
    if budget.output.resume is not None:
        data = with_recorded_data(data, budget.output.resume)
    check_data(data, task.facts, budget.dataset.size, budget.dataset.in_memory)
    train, val = _parts(data, budget, task.facts.get("halves"), by_test=by_test)
    settings = budget.settings()
    if settings.batch_size > len(train):
        raise ValueError(f"--batch-size {settings.batch_size}: there are {len(train)} images to train on; choose {len(train)} or fewer")
    if budget.networks_per_group > 1 and not can_fuse(settings):
        raise ValueError(
            f"--networks-per-group {budget.networks_per_group}: networks of recipe {budget.recipe} are trained one by one; choose 1"
        )
    return EvaluationProtocol(
        data=data,
        train=train,
        val=val,
        evaluated_on="test images" if by_test else _held_back(task),
        settings=settings,
        device=device,
        workers=budget.dataset.workers,
        networks_per_group=budget.networks_per_group or default_networks_per_group(budget, data, device),
        capture=budget.machine.capture,
    )


def _parts(data: Dataset, budget: Budget, halves: Facts | None, *, by_test: bool) -> tuple[Images | Files, Images | Files]:
    if not by_test:
        first, second = _halves(data, halves or {"fractions": HALVES, "seed": budget.seed})
        train: Images | Files = data.train.subset(first)
        val: Images | Files = data.train.subset(second)
    elif data.test is None:
        raise ValueError(f"data {data.name!r} has no test part, on which accuracy is measured here: add one (folders train/ and test/)")
    else:
        train, val = data.train, data.test
    return _drawn(train, budget.images, "images", budget.seed, data), _drawn(val, budget.val_images, "val-images", budget.seed, data)


def _halves(data: Dataset, how: Facts) -> tuple[Tensor, ...]:
    """Indices of the training and of the validation images, by the fact `halves` (origin.py)."""
    if "split" in how:
        return read_split(Path(how["split"]), data)
    return split_indices(data.train.labels, how["fractions"], how["seed"])


def _held_back(task: RankingTask) -> str:
    """Description of the validation images, where they are not the test images."""
    halves, own = task.facts.get("halves"), f"images of the half held out by seed {task.budget.seed}"
    if halves is None:
        return own + (", not the validation side of every search" if task.facts.get("searched") else "")
    if "split" in halves:
        return f"images of the searches' validation side (second list of {halves['split']})"
    first, second = halves["fractions"]
    return f"images of the searches' validation side (fractions {first:g} and {second:g}, seed {halves['seed']})"


def _drawn(part: Images | Files, count: int | None, flag: str, seed: int, data: Dataset) -> Images | Files:
    """A class-balanced sample of `count` images of the part."""
    if count is None or count == len(part):
        return part
    if not data.num_classes <= count <= len(part):
        raise ValueError(
            f"--{flag} {count}: of data {data.name!r} there are {len(part)} images for it, of {data.num_classes} classes; "
            f"choose {data.num_classes} to {len(part)}"
        )
    return part.subset(balanced(part.labels, count, seed))


def balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices, ascending, of exactly `count` of the images, of each class its share to within one, drawn by the seed."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    quantile = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique().tolist():
        members = order[labels.cpu()[order] == label]
        quantile[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return order[quantile[order].argsort(stable=True)][:count].sort().values


def default_networks_per_group(budget: Budget, data: Dataset, device: torch.device) -> int:
    """Number of networks that are fastest trained as one (benchmarks/rank_paths.py).

    On a CPU so many that their widest maps fit into 4 MiB, and one if one of them takes a MiB; on a GPU what half of the free memory holds.
    """
    settings, (height, width) = budget.settings(), data.size
    if not can_fuse(settings):
        return 1
    assert settings.channels is not None
    map_bytes = 4 * settings.batch_size * settings.channels * height * width
    if device.type == "cpu":
        return 1 if map_bytes >= LARGE_MAP else CACHE // map_bytes
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 4096 * MEBI
    return max(1, free // 2 // (MAPS * map_bytes))


def budget_summary(task: RankingTask, protocol: EvaluationProtocol) -> dict[str, Any]:
    """Budget of the trainings and the images, for JSON; the same wherever and in however many pieces the ranking ran."""
    data = {"data": task.budget.dataset.data, "data_sha256": protocol.data.digest, "size": list(protocol.data.size)}
    images = {"trained_on": len(protocol.train), "evaluated": len(protocol.val), "evaluated_on": protocol.evaluated_on}
    return data | images | {name: getattr(task.budget, name) for name in IN_SUMMARY} | {"steps": protocol.steps}


def summary_line(task: RankingTask, protocol: EvaluationProtocol) -> str:
    """Data set, images, epochs, steps, size, channels, seeds, device, and number of fused networks, in a line."""
    budget, settings, (height, width) = task.budget, protocol.settings, protocol.data.size
    searched = task.facts.get("searched")
    other_size = "" if searched is None or searched["pixels"] == [height, width] else " (searched at {}x{})".format(*searched["pixels"])
    return "; ".join(
        [
            f"{protocol.data.name}, {height}x{width} pixels{other_size}",
            f"{len(protocol.train):,} training images, evaluated on {len(protocol.val):,} {protocol.evaluated_on}",
            f"{settings.epochs} epoch{'' if settings.epochs == 1 else 's'}, {protocol.steps:,} steps of {settings.batch_size} images",
            *([] if budget.recipe == "shallow" else [f"recipe {budget.recipe}"]),
            f"{settings.cells} cells, {settings.channels} channels",
            f"seed {budget.seed}" if budget.seeds == 1 else f"seeds {budget.seed} to {budget.seed + budget.seeds - 1}",
            device_name(protocol.device),
            "one by one" if protocol.networks_per_group == 1 else f"up to {protocol.networks_per_group} networks per group",
        ]
    )
