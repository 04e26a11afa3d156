"""Latency table: the latency of every part that networks of a search space consist of, measured on one machine, and what it predicts.

The prediction for a network is additive:

    latency = scale * (overhead + sum over its parts of (median of the part - overhead))

`overhead` is the latency of an empty graph, which every measured part has and a network once. A network is not quite the sum of its
parts (fused operators, memory layouts, caches), so random networks are measured as a whole in the same rounds as the parts: `scale` is
the median of measured over added latency, 1 without such a check.

As JSON (schema nasarch.latency/1), with hardware, threads, versions and date; nothing read from a file is trusted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from nasarch.atomic import write_text
from nasarch.cells.genotype import Genotype
from nasarch.cells.random_cells import uniform_cells
from nasarch.cells.space import Space
from nasarch.models.cost import FeatureMap, Part, edge_parts, network_parts
from nasarch.models.zoo import Model
from nasarch.ranges import Count, NonNegative, Positive, check_ranges
from nasarch.runtime.json_files import check_types, read_object, reading, typed_keys
from nasarch.strict_json import plain, pretty

from .timing import Backend, Time, Timing

SCHEMA = "nasarch.latency/1"
DIGITS = 6  # of a time in milliseconds in a file
REMEDY = "measure it again: nasarch measure"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a table is of: a network and the search space of its cells.

    `operations` are those that were measured, `nodes` the inner nodes of a cell.
    """

    network: str
    space: str
    nodes: int
    operations: tuple[str, ...]
    stem: str
    cells: int
    channels: int
    size: int
    num_classes: int

    @classmethod
    def of(cls, space: Space, model: Model) -> Subject:
        operations = tuple(name for name in space.operations if name != "none")
        classes = model.data.num_classes
        return cls(network=model.name, space=space.name, nodes=space.nodes, operations=operations, num_classes=classes, **model.skeleton)


@dataclass(frozen=True, kw_only=True)
class WholeNetworks:
    """Random networks measured as a whole: their latencies, and the sums of their parts, in milliseconds."""

    measured_ms: tuple[float, ...]
    added_ms: tuple[float, ...]
    kendall: float | None  # rank correlations of both; None if all are equal
    spearman: float | None
    scale: Positive  # median of measured over added
    error_added: float  # mean relative error of the sums
    error: float  # that of the sums times `scale`

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self)

    @classmethod
    def of(cls, measured_ms: Iterable[float], added_ms: Iterable[float]) -> WholeNetworks:
        import numpy as np
        from scipy.stats import kendalltau, spearmanr

        measured, added = np.array([*measured_ms]), np.array([*added_ms])
        scale = float(np.median(measured / added))
        defined = len(measured) > 1 and np.ptp(measured) > 0 and np.ptp(added) > 0
        return cls(
            measured_ms=tuple(measured.round(DIGITS).tolist()),
            added_ms=tuple(added.round(DIGITS).tolist()),
            kendall=round(float(kendalltau(measured, added).statistic), DIGITS) if defined else None,
            spearman=round(float(spearmanr(measured, added).statistic), DIGITS) if defined else None,
            scale=scale,
            error_added=float(np.mean(np.abs(added / measured - 1))),
            error=float(np.mean(np.abs(scale * added / measured - 1))),
        )


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Latencies of parts for a batch of images on one machine; see the module.

    Raises:
        ValueError, TypeError: a value is not legal.
    """

    subject: Subject
    backend: Backend
    batch: Count
    threads: Count
    time: Time
    rounds: Count
    processor: str
    versions: Mapping[str, str]
    date: str
    overhead_ms: NonNegative
    parts: Mapping[Part, Timing]
    check: WholeNetworks | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self)

    @property
    def scale(self) -> float:
        return self.check.scale if self.check else 1.0

    def part_ms(self, part: Part) -> float:
        """What the part adds to the sum.

        Raises:
            ValueError: the table doesn't have it.
        """
        if part not in self.parts:
            raise ValueError(f"the latency table has no {part}; measure a table of these cells: nasarch measure")
        return max(0.0, self.parts[part].median_ms - self.overhead_ms)

    def added_ms(self, genotype: Genotype) -> float:
        """The sum of the parts of the network with these cells."""
        return self.overhead_ms + sum(map(self.part_ms, _parts(genotype, self.subject)))

    def edge_ms(self, genotype: Genotype, kind: str, operation: str, reads_input: bool) -> float:
        """What an operation on one edge of all cells of a kind adds to the sum (`edge_parts`)."""
        skeleton = {name: getattr(self.subject, name) for name in ("stem", "cells", "channels", "size")}
        return sum(map(self.part_ms, edge_parts(genotype, kind, operation, reads_input, **skeleton)))

    def check_fits(self, space: Space, model: Model) -> None:
        """Raise ValueError unless the table is of this network and has the operations of this space."""
        own, asked = self.subject, Subject.of(space, model)
        absent = [name for name in asked.operations if name not in own.operations]
        different = [name for name, value in vars(asked).items() if name != "operations" and value != getattr(own, name)]
        again = f"nasarch measure --network {asked.network} -o FILE"
        if different:
            words = ", ".join(f"{name} {getattr(own, name)} instead of {getattr(asked, name)}" for name in different)
            raise ValueError(f"the latency table is of another network ({words}): {again} makes one")
        if absent:
            raise ValueError(f"the latency table has no operation {', '.join(absent)}: {again} --operations {' '.join(asked.operations)}")

    @property
    def conditions(self) -> str:
        """Backend, batch, threads, clock and processor in words."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        runtime = f"{self.backend} {self.versions.get(self.backend, '')}".strip()
        return f"{runtime}, batch {self.batch}, {threads}{', CPU time' * (self.time == 'cpu')}, {self.processor}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file `path`, atomically."""
        parts = [{**part._asdict(), "inputs": [[*x] for x in part.inputs], **timing._asdict()} for part, timing in self.parts.items()]
        value = {"schema": SCHEMA, **vars(self), "subject": asdict(self.subject), "versions": dict(self.versions), "parts": parts}
        write_text(path, pretty(plain(value | {"check": None if self.check is None else asdict(self.check)})))

    @classmethod
    def load(cls, path: Path) -> LatencyTable:
        """The table in a JSON file.

        Raises:
            ValueError: the file can't be read or holds no latency table; the message starts with its path.
        """
        value = read_object(path, REMEDY, schema=str)
        with reading(path, REMEDY):
            if value.pop("schema") != SCHEMA:
                raise ValueError(f"no {SCHEMA}")
            typed_keys(value, subject=dict, versions=dict, parts=list)
            subject = check_types(Subject(**_tuples(value.pop("subject"))))
            parts = dict(map(_part, value.pop("parts")))
            if any(type(one) is not str for one in value["versions"].values()):
                raise ValueError("versions are no strings")
            check = value.pop("check")
            whole = None if check is None else WholeNetworks(**_tuples(check))
            table = cls(subject=subject, parts=parts, check=whole, **value)
        return table


def space_parts(space: Space, model: Model) -> list[Part]:
    """Every part that networks of the cells of `space` consist of, each once."""
    subject, cells = Subject.of(space, model), uniform_cells(space)
    parts = _parts(cells, subject)
    for kind, operation, reads_input in product(space.kinds, subject.operations, (True, False)):
        parts += edge_parts(cells, kind, operation, reads_input, **model.skeleton)
    return [*dict.fromkeys(parts)]


def _parts(genotype: Genotype, subject: Subject) -> list[Part]:
    s = subject
    return network_parts(genotype, stem=s.stem, cells=s.cells, channels=s.channels, size=s.size, num_classes=s.num_classes)


def _part(value: Any) -> tuple[Part, Timing]:
    """An entry of a file.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    entry = typed_keys(value, name=str, inputs=list, channels=int, stride=int, median_ms=float, quartiles_ms=list)
    maps = tuple(FeatureMap(*x) for x in entry["inputs"])
    low, high = entry["quartiles_ms"]
    numbers = [entry["channels"], entry["stride"], *(side for x in maps for side in x)]
    if not maps or any(type(number) is not int or number < 1 for number in numbers) or not 0 <= low <= entry["median_ms"] <= high:
        raise ValueError(f"part {entry['name']!r} has no legal shape or time")
    return Part(entry["name"], maps, entry["channels"], entry["stride"]), Timing(entry["median_ms"], (low, high))


def _tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
