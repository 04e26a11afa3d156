"""Options of `nasarch reproduce`. Needs no PyTorch, so that flags are parsed and rows are listed at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from nasarch.data.options import DataOptions
from nasarch.ranges import Count, EpochFactor, Seed, check_ranges
from nasarch.runtime.options import MachineOptions, OutputOptions, Precision

CHANGE = re.compile(r"(search|choose|train)\.([a-z][a-z0-9.-]*)(?:=(.*))?")
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
        stage: Last stage to run: search, choose, train or test (default: test; with --resume as the folder says).
        from_run: Folder of a finished search to go on from, instead of searching.
        searches: Number of searches (default: as many as the paper's).
        trainings: Number of trainings (default: as many as the paper's).
        seed: Number added to all of the row's seeds.
        amp: Mixed precision of searches and trainings: bf16 or fp16 autocast; off is float32.
        nats_table: Table of NATS-Bench's accuracies (columns arch, c10, c100, in16), for rows that look cells up.
        changes: Flags of single stages, STAGE.NAME=VALUE: search.layers=3 search.channels=4 choose.cells=3 train.batch-size=64.
        dry_run: List the commands, and run none.

    Raises:
        ValueError: a value out of its range.
    """

    dataset: Annotated[DataOptions, arg(name="")] = DataOptions(data=OWN)
    train_data: str | None = None
    machine: Annotated[MachineOptions, arg(name="")] = MachineOptions()
    output: Annotated[OutputOptions, arg(name="")] = OutputOptions()
    scale: EpochFactor = 1.0
    stage: Literal["search", "choose", "train", "test"] | None = None
    from_run: Annotated[Path | None, arg(name="from")] = None
    searches: Count | None = None
    trainings: Count | None = None
    seed: Seed = 0
    amp: Precision = "off"
    nats_table: Path | None = None
    changes: Annotated[tuple[str, ...], arg(name="set", metavar="STAGE.NAME=VALUE ...")] = ()
    dry_run: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)
        for change in self.changes:
            if not CHANGE.fullmatch(change):
                raise ValueError(f"--set {change}: write STAGE.NAME=VALUE, with the stage search, choose or train, such as search.layers=3")

    def changed(self, stage: str) -> tuple[str, ...]:
        """The flags that --set gives a stage."""
        words = list[str]()
        for change in self.changes:
            match = CHANGE.fullmatch(change)
            assert match is not None
            of, name, value = match.groups()
            if of == stage:
                words += [f"--{name}", *([] if value is None else value.split())]
        return tuple(words)
