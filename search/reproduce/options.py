"""Options of `nasarch reproduce`. Needs no PyTorch, so that flags are parsed and rows are listed at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from nasarch.data.options import DataOptions
from nasarch.ranges import Count, check_ranges
from nasarch.runtime.options import MachineOptions, OutputOptions, Precision

OWN = "auto"  # data set: the row's own


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Run options of a row.

    Args:
        dataset: Options of the data set, which all stages have in common; auto is the row's own, and of ImageNet and COCO the folder has
            to be given.
        train_data: Another data set to train and to test on, where the row has two (default: DATA, or the row's own).
        machine: Options of the hardware.
        output: Options of the run folder.
        scale: Factor of all numbers of epochs, in all stages, at least 1 each.
        stage: Last stage to run: search, choose, train or test.
        from_run: Folder of a finished search to go on from, instead of searching.
        searches: Number of searches (default: as many as the paper's).
        trainings: Number of trainings (default: as many as the paper's).
        seed: Number added to all of the row's seeds.
        amp: Mixed precision of searches and trainings: bf16 or fp16 autocast; off is float32.
        nats_table: Table of NATS-Bench's accuracies (columns arch, c10, c100, in16), for rows that look cells up.
        search_args: Further flags of the search, in quotes, such as '--layers 3 --channels 4'.
        choose_args: Further flags of `nasarch select`, in quotes.
        train_args: Further flags of the training, in quotes.
        dry_run: List the commands, and run none.

    Raises:
        ValueError: a value out of its range.
    """

    dataset: Annotated[DataOptions, arg(name="")] = DataOptions(data=OWN)
    train_data: str | None = None
    machine: Annotated[MachineOptions, arg(name="")] = MachineOptions()
    output: Annotated[OutputOptions, arg(name="")] = OutputOptions()
    scale: float = 1.0
    stage: Literal["search", "choose", "train", "test"] = "test"
    from_run: Annotated[Path | None, arg(name="from")] = None
    searches: Count | None = None
    trainings: Count | None = None
    seed: int = 0
    amp: Precision = "off"
    nats_table: Path | None = None
    search_args: str = ""
    choose_args: str = ""
    train_args: str = ""
    dry_run: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)
        if not 0 < self.scale < math.inf:
            raise ValueError(f"--scale {self.scale:g}: choose a number above 0, such as 0.02 for a fiftieth of all epochs")
