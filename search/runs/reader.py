"""Reads the folder that a search leaves (run.py has the table of its files), finished or not. Trusts nothing, changes nothing.

What an older version did not write yet is missing here as well: `weights` is None, keys of `metrics` are absent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS, SPACES, Space, space_of
from nasarch.runtime.json_files import read_json, read_lines, read_object, reading, typed_keys
from nasarch.search.engine.result import ArchitectureWeights, Margin
from nasarch.strict_json import shown

from .history import Timeline, operation_count

GIVE = "give the folder of a search, or that of several seeds"
MEND = "mend it, or search again in another folder"
NUMBERS = ("loss", "accuracy")  # of every line of metrics.jsonl
OPTIONAL = ("learning_rate", "temperature", "images_per_second", "multi_adds", "memory", "seconds", "eigenvalue")


class Tables(NamedTuple):
    """The weights of one epoch: operations [Z][E][O] and edges [Z][E], as lists; operations without annealing where they are annealed."""

    operations: Sequence[Sequence[Sequence[float]]]
    edges: Sequence[Sequence[float]]
    unannealed: Sequence[Sequence[Sequence[float]]] | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One search. `cells` and `weights` are those of the epochs; a run that has not ended has no `genotype`, `margins` and
    `architecture_weights`, from which the cell was derived.

    `measured` are the lines of eigenvalues.jsonl, also those within epochs; `step_cells` the cells there, by epoch and step.
    """

    folder: Path
    config: Mapping[str, Any]
    space: Space
    metrics: Sequence[Mapping[str, Any]]
    weights: Sequence[Tables] | None
    cells: Mapping[int, Genotype]
    genotype: Genotype | None
    margins: Sequence[Margin] | None
    architecture_weights: ArchitectureWeights | None = field(default=None, compare=False)
    measured: Sequence[Mapping[str, Any]] = ()
    step_cells: Mapping[tuple[int, int], Genotype] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.config['method']}, seed {self.config['seed']}"

    @property
    def epochs(self) -> int:
        return len(self.metrics)

    @property
    def timeline(self) -> Timeline:
        return Timeline.of(self.metrics)

    @property
    def state(self) -> str:
        count = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        return f"finished, {count}" if self.genotype is not None else f"unfinished, {count} so far"

    @property
    def last_cell(self) -> Genotype | None:
        """What was found, or would be found now."""
        return self.genotype or (self.cells[max(self.cells)] if self.cells else None)

    @property
    def seconds(self) -> float | None:
        """Of the epochs that are written down. The clock starts anew when a search is resumed."""
        times = [time for time in self.column("seconds") if time is not None]
        ends = [a for a, b in zip(times, times[1:], strict=False) if b < a] + times[-1:]
        return sum(ends) if times else None

    def column(self, key: str) -> list[float | None]:
        """A figure by epoch."""
        return [line.get(key) for line in self.metrics]

    def skips(self) -> dict[str, list[float | None]]:
        """Skip connections of the present cell by epoch, for each cell kind."""
        known = {epoch: operation_count(cell, "skip_connect") for epoch, cell in self.cells.items()}
        counts = [line.get("skips") or known.get(epoch, {}) for epoch, line in enumerate(self.metrics, 1)]
        return {kind: [count.get(kind) for count in counts] for kind in self.space.kinds}


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in `folders`, each that of a run or of several seeds, in order; what is named twice counts once.

    Raises:
        ValueError: there is none in one of them, or a file is damaged: names it and the remedy.
    """
    if not folders:
        raise ValueError(f"no run: {GIVE}")
    paths = {path.resolve(): path for folder in folders for path in _run_folders(folder)}
    return [read_run(path) for path in paths.values()]


def _run_folders(folder: Path) -> list[Path]:
    """The folder of a run, or those of the seeds in it."""
    seeds = [path.parent for path in folder.glob("seed-*/config.json")]
    if seeds:
        return sorted(seeds, key=lambda path: (len(path.name), path.name))
    if not (folder / "config.json").is_file():
        reason = "it has no config.json" if folder.is_dir() else "there is no such folder"
        raise ValueError(f"no search in {folder}: {reason}; {GIVE}")
    return [folder]


def read_run(folder: str | os.PathLike[str]) -> Run:
    """The run in `folder`.

    Raises:
        ValueError: a file is damaged: names it, what is wrong, and the remedy.
    """
    folder = Path(folder)
    config = _config(folder / "config.json")
    done = folder / "genotype.json"
    genotype = Genotype.load(done) if done.exists() else None
    metrics = read_lines(folder / "metrics.jsonl", _checked_metrics, MEND, complete=genotype is not None)
    paths = {epoch: folder / "genotypes" / f"epoch-{epoch}.json" for epoch in range(1, len(metrics) + 1)}
    cells = {epoch: Genotype.load(path) for epoch, path in paths.items() if path.exists()}
    steps = {tuple(map(int, re.findall(r"\d+", path.stem))): path for path in (folder / "genotypes").glob("epoch-*-step-*.json")}
    space = _space(folder / "config.json", config, [genotype] if genotype else [*cells.values()])
    weights, final = folder / "weights.jsonl", folder / "weights.json"
    tables = read_lines(weights, lambda line: _tables(line, space), MEND, complete=genotype is not None) if weights.exists() else None
    return Run(
        folder=folder,
        config=config,
        space=space,
        metrics=metrics,
        weights=tables[: len(metrics)] if tables else None,
        cells=cells,
        genotype=genotype,
        margins=read_margins(folder / "edges.json") if genotype is not None and (folder / "edges.json").exists() else None,
        architecture_weights=ArchitectureWeights.load(final, MEND) if genotype is not None and final.exists() else None,
        measured=read_lines(folder / "eigenvalues.jsonl", _checked_measurement, MEND, complete=genotype is not None),
        step_cells={(epoch, step): Genotype.load(path) for (epoch, step), path in sorted(steps.items())},
    )


def _config(path: Path) -> dict[str, Any]:
    config = read_object(path, MEND)
    if "seed" not in config and "job" in config:
        raise ValueError(f"no search in {path.parent}: none of its seeds has begun; {GIVE}")
    with reading(path, f"{GIVE}, with the config.json that the search wrote"):
        return typed_keys(config, method=str, settings=dict, seed=int)


def _checked_metrics(line: Any) -> dict[str, Any]:
    """A line of metrics.jsonl; optional figures that are no numbers count as missing."""
    _check_stage(line)
    for key in NUMBERS:
        if not _is_number(line[key]):
            raise TypeError(f"{key} is {line[key]!r}, not a number")
    return line | {key: line[key] if _is_number(line.get(key)) else None for key in OPTIONAL}


def _checked_measurement(line: Any) -> dict[str, Any]:
    """A line of eigenvalues.jsonl."""
    _check_stage(line)
    if not all(_is_number(line[key]) for key in ("epoch", "step", "eigenvalue")):
        raise TypeError("epoch, step and eigenvalue have to be numbers")
    return line


def _check_stage(line: Any) -> None:
    if not isinstance(line["stage"], str) or not isinstance(line["warmup"], bool):
        raise TypeError(f"stage is {line['stage']!r} and warmup {line['warmup']!r}, not a name and a truth value")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _tables(line: Any, space: Space) -> Tables:
    """A line of weights.jsonl."""
    z, e, o = len(space.kinds), len(space.edges), len(space.operations)
    tables = Tables(line["operations"], line["edges"], line.get("unannealed"))
    for table, shape in ((tables.operations, (z, e, o)), (tables.edges, (z, e)), (tables.unannealed, (z, e, o))):
        if table is not None and not _has_shape(table, shape):
            raise TypeError(f"a table of the cells of space {space.name!r} has {' x '.join(map(str, shape))} numbers")
    return tables


def _has_shape(table: Any, shape: tuple[int, ...]) -> bool:
    if not shape:
        return _is_number(table)
    return isinstance(table, list) and len(table) == shape[0] and all(_has_shape(row, shape[1:]) for row in table)


def _space(path: Path, config: Mapping[str, Any], genotypes: Sequence[Genotype]) -> Space:
    """The space of the cells, or that of the config; older ones don't name it."""
    if genotypes:
        cells = genotypes[-1].cells.values()
        space = SPACES[genotypes[-1].space].with_nodes(max(len(cell.nodes) for cell in cells))
        names = (config.get("space") or {}).get("operations")
        return space if names is None else space.with_operations(names)
    about = config.get("space") or {"name": DARTS.name, "nodes": config["settings"].get("nodes", DARTS.nodes)}
    with reading(f"{path}: space {shown(about)} is unknown; legal are {', '.join(SPACES)}", MEND):
        typed_keys(about, name=str, nodes=int)
        return space_of(about)


def read_margins(path: Path, remedy: str = MEND) -> list[Margin]:
    """The rows of edges.json.

    Raises:
        ValueError: the file is damaged: names it and the remedy.
    """
    rows = read_json(path, remedy)
    with reading(f"{path}: a row is not as a search writes it, with {', '.join(Margin._fields)}", remedy):
        return [_margin(row) for row in rows]


def _margin(row: Any) -> Margin:
    typed_keys(row, kind=str, node=int, weights=list, kept=list)
    margin = Margin(**row | {"weights": tuple(row["weights"]), "kept": tuple(row["kept"])})
    sources = [*margin.kept, *([] if margin.dropped is None else [margin.dropped])]
    if not all(map(_is_number, (*margin.weights, margin.node, 0 if margin.lead is None else margin.lead))):
        raise TypeError("weights, node and lead are numbers")
    if any(source not in range(margin.node) for source in sources):
        raise TypeError(f"node {margin.node} can't read {sources}")
    return margin
