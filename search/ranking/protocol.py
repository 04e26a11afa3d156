"""Where networks are compared: images to train on, images that judge, device, settings. Trains nothing.

| who judges | trained on | accuracy on |
|---|---|---|
| the held-back half, where something is chosen | a class-balanced half of the training images | the other half |
| the test part, where something is reported | the training images | the test images |

The halves are the sides of the search, where the cells come from runs that have the same: that of the weights trains, that of the
architecture judges. Otherwise they are drawn by the seed, as a search with that seed and fractions of 0.5 draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nasarch.compute import keep_freed_memory, pick_device, set_tf32
from nasarch.data.dataset import Dataset, Images, split_indices
from nasarch.data.image_files import Files
from nasarch.data.split import read_split
from nasarch.runtime import distributed
from nasarch.search.engine.context import IMAGENET_STEM_SIZE
from nasarch.search.training.recipes import Training

from .budget import Budget, Facts, RankingTask
from .origin import check_data

HALVES = (0.5, 0.5)
MEBI = 2**20
FEW_TOGETHER, CACHE = MEBI, 4 * MEBI  # bytes of a map from which networks are faster one by one on a CPU; and of all maps together
MAPS = 400  # of the first cells' size, that the training of a network of 5 cells keeps, for a GPU's memory


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationProtocol:
    """What all networks of a tournament share; `judged_by` says in words what the judging images are."""

    data: Dataset
    train: Images | Files
    val: Images | Files
    judged_by: str
    settings: Training
    device: torch.device
    workers: int | None
    together: int

    @property
    def stem(self) -> str:
        return "imagenet" if min(self.data.size) >= IMAGENET_STEM_SIZE else "cifar"


def ground(task: RankingTask, *, by_test: bool) -> EvaluationProtocol:
    """Load the data, and draw the images.

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
    check_data(data, task.facts, budget.dataset.size, budget.dataset.in_memory)
    train, val = _parts(data, budget, task.facts.get("halves"), by_test=by_test)
    if budget.batch_size > len(train):
        raise ValueError(f"--batch-size {budget.batch_size}: there are {len(train)} images to train on; choose {len(train)} or fewer")
    return EvaluationProtocol(
        data=data,
        train=train,
        val=val,
        judged_by="test images" if by_test else _held_back(task),
        settings=budget.settings(),
        device=device,
        workers=budget.dataset.workers,
        together=budget.together or usual_together(budget, data, device),
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
    """Indices of the images that train, and of those that judge, as the fact `halves` says it (origin.py)."""
    if "split" in how:
        return read_split(Path(how["split"]), data)
    return split_indices(data.train.labels, how["fractions"], how["seed"])


def _held_back(task: RankingTask) -> str:
    """What the judging images are, where none are of the test part."""
    halves, own = task.facts.get("halves"), f"images of the half that seed {task.budget.seed} holds back"
    if halves is None:
        return own + (", not the validation side of every search" if task.facts.get("searched") else "")
    if "split" in halves:
        return f"images of the searches' validation side (second list of {halves['split']})"
    first, second = halves["fractions"]
    return f"images of the searches' validation side (fractions {first:g} and {second:g}, seed {halves['seed']})"


def _drawn(part: Images | Files, count: int | None, flag: str, seed: int, data: Dataset) -> Images | Files:
    """So many images of the part, as many of each class as it has, in proportion."""
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
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique().tolist():
        members = order[labels.cpu()[order] == label]
        place[members] = (torch.arange(len(members), dtype=torch.float64) + 0.5) / len(members)
    return order[place[order].argsort(stable=True)][:count].sort().values


def usual_together(budget: Budget, data: Dataset, device: torch.device) -> int:
    """How many networks are fastest trained as one (benchmarks/rank_paths.py).

    On a CPU so many that their widest maps fit into 4 MiB, and one if one of them takes a MiB; on a GPU what half of the free memory holds.
    """
    height, width = data.size
    map_bytes = 4 * budget.batch_size * budget.channels * height * width
    if device.type == "cpu":
        return 1 if map_bytes >= FEW_TOGETHER else CACHE // map_bytes
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 4096 * MEBI
    return max(1, free // 2 // (MAPS * map_bytes))
