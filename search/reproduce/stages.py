"""Stages of a row as commands of nasarch: what `nasarch reproduce` runs, in order, each in a folder of its own. Runs nothing.

| folder | written by |
|---|---|
| search/ | `nasarch search METHOD`, `nasarch rank-paths` |
| choose/ | `nasarch select` |
| train/ | `nasarch train`, `compare`, `correlate`, `detect train` |
| test/ | `nasarch evaluate`, a file for each training |
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from nasarch.data.load import NAMES
from nasarch.data.options import DataOptions
from nasarch.runtime.options import MachineOptions
from nasarch.search.rows.row import COCO, STAGES, Compare, Correlate, Detect, RankPaths, Row, Search, Select, Train
from nasarch.search.settings.presets import find as find_preset

from .options import OWN, ReproduceOptions


class Command(NamedTuple):
    """A command of a stage: its words but for --out and --resume, what it writes, and the file that is there when it is over."""

    stage: str
    words: tuple[str, ...]
    out: Path
    done: Path

    def pending(self) -> list[str] | None:
        """`arguments`, if the command is not over."""
        return None if self.done.is_file() else self.arguments()

    def arguments(self) -> list[str]:
        """The words with --out, or with --resume alone if the command was stopped."""
        if (self.out / "config.json").is_file():
            count = 2 if self.words[0] in ("search", "detect") else 1
            return [*self.words[:count], "--resume", str(self.out)]
        return [*self.words, "--out", str(self.out)]


def commands(row: Row, options: ReproduceOptions, folder: Path) -> list[Command]:
    """The commands of a row up to the stage that the options name.

    Raises:
        ValueError: the row can't be run, or has no data set.
    """
    if row.reason is not None:
        raise ValueError(f"{row.name} can't be run: {row.reason}")
    last = STAGES.index(options.stage or STAGES[-1])
    return [one for one in _all(row, options, folder) if STAGES.index(one.stage) <= last]


def _all(row: Row, options: ReproduceOptions, folder: Path) -> Iterator[Command]:
    searched, count = search_folder(options, folder), 1
    for step in row.steps:
        if isinstance(step, Search):
            count = options.searches or step.runs
            if options.from_run is None:
                yield _search(step, options, count, searched)
        elif isinstance(step, RankPaths):
            words = ("rank-paths", *_data(step.data, options), "--epochs", _epochs(100, options), *_common(options), *step.flags)
            yield Command("search", (*words, *options.changed("search")), searched, searched / "paths.json")
        elif isinstance(step, Select):
            if count > 1:
                yield _select(step, options, searched, folder / "choose")
        elif isinstance(step, Train):
            cell = step.model or str(_cell(row, step, options, folder, searched, count))
            yield from _train(step, options, cell, folder)
        elif isinstance(step, Compare):
            sources = step.models or (str(searched),)
            words = ("compare", *sources, *_data(step.data, options, train=True), "--seeds", str(options.trainings or step.seeds))
            yield _ranking((*words, "--epochs", _epochs(100, options)), options, folder / "train", "ranking.json")
        elif isinstance(step, Correlate):
            one = _first(row, options, searched, count)
            words = ("correlate", str(one), *_data(step.data, options, train=True), "--seeds", str(options.trainings or 1))
            more = ("--recipe", step.recipe, "--epochs", _epochs(step.epochs, options))
            yield _ranking((*words, *more), options, folder / "train", "pairs.json")
        else:
            yield _detect(step, options, folder / "train")


def search_folder(options: ReproduceOptions, folder: Path) -> Path:
    """The folder of the row's search, or the one to go on from."""
    return folder / "search" if options.from_run is None else Path(os.path.abspath(options.from_run))


def chosen_cell(row: Row, options: ReproduceOptions, folder: Path) -> Path:
    """The genotype that the row trains, of its own search."""
    return _cell(row, row.step(Train), options, folder, search_folder(options, folder), options.searches or row.step(Search).runs)


def _cell(row: Row, step: Train, options: ReproduceOptions, folder: Path, searched: Path, count: int) -> Path:
    """What `select` chose, else the cell of the only search, or of the first."""
    if row.step(Select) is not None and count > 1:
        return folder / "choose" / "genotype.json"
    return _first(row, options, searched, count) / (
        "genotype.json" if step.after is None else f"genotypes/epoch-{_epochs(step.after, options)}.json"
    )


def _first(row: Row, options: ReproduceOptions, searched: Path, count: int) -> Path:
    """The folder of the first of `count` searches."""
    return searched if count == 1 else searched / f"seed-{row.step(Search).seed + options.seed}"


def _search(step: Search, options: ReproduceOptions, count: int, out: Path) -> Command:
    data = step.data or find_preset(step.method, step.preset).data
    words = ("search", step.method, "--preset", step.preset, *_data(data, options), "--runs", str(count))
    seeds = ("--seed", str(step.seed + options.seed), "--scale", f"{options.scale:g}", "--amp", options.amp)
    table = () if options.nats_table is None else ("--nats-table", os.path.abspath(options.nats_table))
    flags = (*seeds, *_common(options), *table, *step.flags, *options.changed("search"))
    return Command("search", (*words, *flags), out, out / ("genotype.json" if count == 1 else "stability.json"))


def _select(step: Select, options: ReproduceOptions, searched: Path, out: Path) -> Command:
    words = ("select", str(searched), "--recipe", step.recipe, "--seeds", "1", "--seed", str(options.seed))
    flags = ("--epochs", _epochs(step.epochs, options), *_common(options), *options.changed("choose"))
    return Command("choose", (*words, *flags), out, out / "genotype.json")


def _train(step: Train, options: ReproduceOptions, cell: str, folder: Path) -> Iterator[Command]:
    from nasarch.search.training.recipes import recipe

    runs, out, data = options.trainings or step.runs, folder / "train", _data(step.data, options, train=True)
    epochs = _epochs(step.epochs or recipe(step.recipe).settings.epochs, options)
    words = ("train", cell, "--recipe", step.recipe, *data, "--epochs", epochs, "--runs", str(runs), "--seed", str(options.seed))
    flags = ("--no-test", "--amp", options.amp, *_common(options), *step.flags, *options.changed("train"))
    yield Command("train", (*words, *flags), out, out / "result.json")
    for seed in range(options.seed, options.seed + runs):
        model, result = out if runs == 1 else out / f"seed-{seed}", folder / "test" / f"seed-{seed}.json"
        yield Command("test", ("evaluate", str(model), *data, *_flags(options.machine, MachineOptions(), "capture")), result, result)


def _ranking(words: tuple[str, ...], options: ReproduceOptions, out: Path, result: str) -> Command:
    flags = ("--seed", str(options.seed), *_common(options), *options.changed("train"))
    return Command("train", (*words, *flags), out, out / result)


def _detect(step: Detect, options: ReproduceOptions, out: Path) -> Command:
    data = ("--data", _named(step.data, options.train_data or options.dataset.data))
    words = ("detect", "train", "--backbone", step.model, *data, "--size", str(step.size), "--seed", str(options.seed))
    flags = (*_flags(options.machine, MachineOptions(), "capture"), *step.flags, *options.changed("train"))
    return Command("train", (*words, "--epochs", _epochs(step.epochs, options), *flags), out, out / "result.json")


def _epochs(paper: int, options: ReproduceOptions) -> str:
    return str(max(1, round(paper * options.scale)))


def _data(name: str, options: ReproduceOptions, *, train: bool = False) -> tuple[str, ...]:
    """The flags of the data set, of a search or to train on."""
    given = (train and options.train_data) or options.dataset.data
    return ("--data", _named(name, given), *_flags(options.dataset, DataOptions(), "data"))


def _named(name: str, given: str) -> str:
    """The data set that is given, else the row's own.

    Raises:
        ValueError: the row's own is no name that loads.
    """
    if given != OWN:
        return given if given in NAMES else os.path.abspath(os.path.expanduser(given))
    if name not in NAMES:
        what = "its folder, with annotations/, train2017/ and val2017/," if name == COCO else "the folder of its images"
        raise ValueError(f"the row is on {name}, which has no download: give {what} with --data DIR, or another data set such as digits")
    return name


def _common(options: ReproduceOptions) -> tuple[str, ...]:
    return _flags(options.machine, MachineOptions())


def _flags(options: Any, defaults: Any, *but: str) -> tuple[str, ...]:
    """The options that differ from the defaults, as flags."""
    words = list[str]()
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name not in but and value != getattr(defaults, field.name):
            words += [f"--{field.name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return tuple(words)
