"""Run options of `nasarch search`, beside the settings of the method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from nasarch.data.options import DataOptions
from nasarch.ranges import Count, EpochFactor, Positive, Seed, check_ranges
from nasarch.runtime.json_files import CONFIG, check_types, read_object, reading
from nasarch.runtime.options import MachineOptions, OutputOptions, Precision, updated
from nasarch.search.settings.fields import from_dict


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Run options shared by all search methods.

    Args:
        dataset: Options of the data set.
        machine: Options of the hardware.
        output: Options of the run folder.
        preset: Settings and data set of a row of the papers' tables, which other flags then change; `nasarch presets` lists them.
        split: Folder written by `nasarch split`, whose two lists train the weights and the architecture (default: drawn by SEED).
        space: Search space: darts, or nats for the cells of NATS-Bench's topology space.
        candidates: Candidate operations on every edge (default: those of the space); own ones are registered by `--plugin FILE.py`.
        nats_table: Table of NATS-Bench's accuracies (columns arch, c10, c100, in16) to look the derived cell up in.
        scale: Factor of all numbers of epochs, at least 1 each.
        seed: Random seed of the data split, weight initialization and batch order.
        runs: Number of independent searches (seeds SEED, SEED+1, ...); reports how often each edge was selected.
        consensus: Derivation of one cell from the mean architecture weights of all runs.
        amp: Mixed precision: bf16 or fp16 autocast; off is float32.
        hessian: Eigenvalue of largest magnitude of the loss' Hessian in the architecture, measured after every epoch on one batch of
            validation images.
        hessian_every: Number of steps between two measurements of the eigenvalue within an epoch, too, each with the cell of that step
            (FTSO, Fig. 3c and 4d).
        hessian_images: Number of images that the eigenvalue is measured on, after every epoch (default: one batch).
        max_macs: Multiply-add budget in millions for the ImageNet network of the cell; if it is exceeded, the best cell within it is
            written to derived/ in the run folder, as `nasarch derive` does.
        tensorboard: Log for TensorBoard in the run folder.
        name: Name of the genotype (default: METHOD_DATA).

    Raises:
        ValueError: a value out of its range, or options that exclude each other.
    """

    dataset: Annotated[DataOptions, arg(name="")] = DataOptions()
    machine: Annotated[MachineOptions, arg(name="")] = MachineOptions()
    output: Annotated[OutputOptions, arg(name="")] = OutputOptions()
    preset: str | None = None
    split: Path | None = None
    space: Literal["darts", "nats"] = "darts"
    candidates: tuple[str, ...] | None = None
    nats_table: Path | None = None
    scale: EpochFactor = 1.0
    seed: Seed = 0
    runs: Count = 1
    consensus: bool = False
    amp: Precision = "off"
    hessian: bool = False
    hessian_every: Count | None = None
    hessian_images: Count | None = None
    max_macs: Positive = 600.0
    tensorboard: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)
        if self.name is not None and not self.name.isidentifier():
            raise ValueError(f"--name {self.name!r}: choose letters, digits and _, with a letter first")
        if self.consensus and self.runs < 2:
            raise ValueError("--consensus takes the mean over several runs: add --runs 4, or more")
        if self.nats_table is not None and self.space != "nats":
            raise ValueError("--nats-table knows cells of NATS-Bench alone: add --space nats, or leave the table out")


def resumed(method: str, kind: type, folder: Path) -> tuple[Any, SearchOptions]:
    """Settings (of class `kind`) and options of the search by `method` in `folder`.

    Raises:
        ValueError: there is none, its config.json is damaged, or it is of another method.
    """
    remedy = "give the folder of a run, which holds its config.json"
    config = read_object(folder / CONFIG, remedy, method=str, settings=dict, job=dict)
    if config["method"] != method:
        raise ValueError(f"{folder} holds a search by {config['method']}, not by {method}: resume it with that command")
    with reading(folder / CONFIG, remedy):
        return check_types(from_dict(kind, config["settings"])), check_types(updated(SearchOptions(), config["job"] | {"resume": folder}))
