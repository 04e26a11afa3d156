"""What a search is told besides the settings of its method, and how a folder tells it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nasarch.runtime.run_folder import with_paths
from nasarch.search.engine.context import Precision


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What every search is told besides the settings of its method.

    Args:
        preset: settings and data of a row of the papers' tables, which other flags then change; `nasarch presets` lists them.
        data: digits, cifar10, cifar100, or a folder or tar file of class folders.
        size: bring all images to squares of so many pixels.
        root: folder of CIFAR's files.
        download: fetch CIFAR's files if they are missing.
        in_memory: hold all images in memory (True) or decode them in every epoch (False); by default what fits is held.
        workers: processes that decode images on disk; by default one a core.
        split: a folder by `nasarch split`, whose two lists train the weights and the architecture.
        space: darts, or nats for the cells of NATS-Bench's topology space.
        nats_table: a table of NATS-Bench's accuracies (columns arch, c10, c100, in16) to look the found cell up in.
        scale: multiply all epoch counts, at least 1 each.
        seed: of the split, the first weights and the batches.
        runs: search so many times, with the seeds from SEED on, and print how often each edge was kept.
        consensus: of several runs, derive a cell from the mean weights of all.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
        amp: bf16 or fp16 arithmetic in the network; off is float32.
        tf32: let NVIDIA GPUs round the factors of float32 convolutions and matrix products to TF32: faster, but not exact.
        hessian: measure the largest eigenvalue of the architecture's Hessian after every epoch.
        hessian_every: measure it after every so many steps of an epoch, too (FTSO Fig. 4d).
        max_macs: warn of a cell whose ImageNet network has more million multi-adds.
        tensorboard: write events for TensorBoard, too.
        name: of the genotype; by default method and data.
        out: a new folder for the results; by default one below runs/.
        resume: go on with the search in this folder, with its own settings and data; no other flag counts then.
    """

    preset: str | None = None
    data: str = "digits"
    size: int | None = None
    root: Path | None = None
    download: bool = False
    in_memory: bool | None = None
    workers: int | None = None
    split: Path | None = None
    space: Literal["darts", "nats"] = "darts"
    nats_table: Path | None = None
    scale: float = 1.0
    seed: int = 0
    runs: int = 1
    consensus: bool = False
    device: str = "auto"
    amp: Precision = "off"
    tf32: bool = False
    hessian: bool = False
    hessian_every: int | None = None
    max_macs: float = 600.0
    tensorboard: bool = False
    name: str | None = None
    out: Path | None = None
    resume: Path | None = None

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise ValueError(f"--runs {self.runs}: choose 1 or more")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"--workers {self.workers}: choose 0 (decode in the process that searches) or more")
        if self.hessian_every is not None and self.hessian_every < 1:
            raise ValueError(f"--hessian-every {self.hessian_every}: choose 1 or more steps")
        if self.name is not None and not self.name.isidentifier():
            raise ValueError(f"--name {self.name!r}: choose letters, digits and _, with a letter first")
        if self.consensus and self.runs < 2:
            raise ValueError("--consensus takes the mean over several runs: add --runs 4, or more")
        if self.nats_table is not None and self.space != "nats":
            raise ValueError("--nats-table knows cells of NATS-Bench alone: add --space nats, or leave the table out")


def resumed(method: str, kind: type, folder: Path) -> tuple[Any, SearchOptions]:
    """Settings (of class `kind`) and job of the search by `method` in `folder`.

    Raises:
        ValueError: there is none, or of another method.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        named = {key: tuple(value) if isinstance(value, list) else value for key, value in config["settings"].items()}
        told: dict[str, Any] = with_paths(SearchOptions, config["job"])
        found, settings = config["method"], kind(**named) if config["method"] == method else None
        job = SearchOptions(**told | {"resume": folder})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"no search to resume in {folder} ({error}): give the folder of a run, which holds its config.json") from error
    if settings is None:
        raise ValueError(f"{folder} holds a search by {found}, not by {method}: resume it with that command")
    return settings, job
