"""Genotypes: the value that a search finds and a network is built from, a cell for each cell kind and its provenance.

A genotype knows its space and nothing else: no network, no torch. As JSON (`save` writes it atomically, `load` trusts nothing):

    {"schema": "nasarch.genotype/1", "name": ..., "space": "darts", "cells": {"normal": {"nodes": [[["sep_conv_3x3", 1], ...], ...],
     "concat": [2, 3, 4, 5]}, "reduction": ...}, "provenance": {"method", "paper", "searched_on", "kind", "source", "results"}}

Nodes are numbered from 0, the inputs first: in space `darts` 0 is c_{k-2} and 1 is c_{k-1}, in `nats` 0 is the only input.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nasarch.atomic import write_text
from nasarch.strict_json import MAX_BYTES, parse, plain, pretty, shown

from . import notation as text_forms
from . import provenance as provenances
from .cell import Cell, GenotypeError, Op, at
from .provenance import public
from .space import DARTS, NATS, SPACES, Space

__all__ = ["SCHEMA", "Cell", "Genotype", "GenotypeError", "Op", "names", "resolve"]

SCHEMA = "nasarch.genotype/1"
_KEYS = ("schema", "name", "space", "cells", "provenance")


@dataclass(frozen=True, eq=False)
class Genotype:
    """A cell for each cell kind of a space, and its provenance. Immutable throughout; pickles, copies, works with `dataclasses.replace`.

    Equality and hash see the space and the cells, without the order of the edges within a node; name and provenance don't count.
    Saving keeps that order, since the names of a network's weights depend on it.

    Args:
        name: of the file in genotypes/ and of its models; one line.
        space: a name in `nasarch.cells.space.SPACES`.
        cells: one `Cell` for each of the space's kinds.
        provenance: a JSON object (`nasarch.cells.provenance`).

    Raises:
        GenotypeError: says what is wrong, what is legal and what to do.
    """

    name: str
    space: str
    cells: Mapping[str, Cell]
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 1 <= len(self.name) <= 100 or not self.name.isprintable():
            raise GenotypeError(f'name {shown(self.name)}; a name is a string of 1 to 100 printable characters: write "my_cell"')
        object.__setattr__(self, "cells", _checked_cells(self.cells, _space(self.space)))
        with at("provenance"):
            object.__setattr__(self, "provenance", provenances.checked(self.provenance))

    def __eq__(self, other: object) -> bool:
        return (self.space, self.cells) == (other.space, other.cells) if isinstance(other, Genotype) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.space, tuple(self.cells.values())))

    def __reduce__(self) -> tuple[Any, ...]:
        return Genotype, (self.name, self.space, dict(self.cells), plain(self.provenance))

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Genotype:
        """The genotype of a plain JSON object (see the module); `provenance` may be missing.

        Raises:
            GenotypeError: another schema version, unknown or missing keys, or anything illegal in the cells.
        """
        if not isinstance(value, Mapping):
            raise GenotypeError(f"a genotype is a JSON object, not {shown(value)}; write an object with the keys {', '.join(_KEYS)}")
        if value.get("schema") != SCHEMA:
            remedy = "update nasarch (pip install -U nasarch) if the file is newer, or save it again"
            raise GenotypeError(f"schema {shown(value.get('schema'))}; this version of nasarch reads {SCHEMA!r}: {remedy}")
        _exact_keys(value, _KEYS, optional=("provenance",))
        space, cells = _space(value["space"]), value["cells"]
        if not isinstance(cells, Mapping):
            raise GenotypeError(f"cells is {shown(cells)}; legal is an object with {', '.join(space.kinds)}: write one cell for each")
        cells = {kind: _cell_from_dict(kind, cell, space) for kind, cell in cells.items()}
        return cls(value["name"], space.name, cells, value.get("provenance", {}))

    def to_dict(self) -> dict[str, Any]:
        """The plain JSON object, all of it the caller's own."""
        cells = {kind: {"nodes": plain(cell.nodes), "concat": list(cell.concat)} for kind, cell in self.cells.items()}
        return {"schema": SCHEMA, "name": self.name, "space": self.space, "cells": cells, "provenance": plain(self.provenance)}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Genotype:
        """The genotype in the JSON file `path`.

        Raises:
            GenotypeError: the file can't be read or holds no genotype; the message starts with its path.
        """
        with at(os.fspath(path)):
            return cls.from_dict(parse(_read(path)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file `path`, atomically; the same value gives the same bytes.

        Raises:
            ValueError: the place can't be written, or the genotype is longer than `load` accepts (64 kB).
        """
        text = pretty(self.to_dict())
        size = len(text.encode())
        if size > MAX_BYTES:
            raise GenotypeError(f"{self.name} takes {size} bytes; a genotype file has at most {MAX_BYTES}: shorten its provenance")
        write_text(path, text)

    @classmethod
    def from_darts(cls, text: str, *, name: str = "unnamed", provenance: Mapping[str, Any] | None = None) -> Genotype:
        """The genotype of `Genotype(normal=[...], normal_concat=range(2, 6), ...)`, as DARTS and FairDARTS print it; never evaluated.

        Raises:
            GenotypeError: the text has another form, or its cells are illegal.
        """
        with at("DARTS text"):
            cells = {kind: _cell(kind, *parts, DARTS) for kind, parts in text_forms.parse_darts(text).items()}
            return cls(name, DARTS.name, cells, provenance or {})

    def to_darts(self) -> str:
        """The text that `from_darts` reads, for other people's code; entries (operation, node, source) unless every node has two edges.

        Last nodes that have no edge and no part in the output are lost, as the form can't tell them.

        Raises:
            GenotypeError: the genotype is of another space.
        """
        if self.space != DARTS.name:
            raise GenotypeError(f"{self.name} is of space {self.space!r}; only {DARTS.name!r} has DARTS' form: use to_nats()")
        return text_forms.format_darts({kind: (plain(cell.nodes), cell.concat) for kind, cell in self.cells.items()})

    @classmethod
    def from_nats(cls, text: str, *, name: str = "unnamed", provenance: Mapping[str, Any] | None = None) -> Genotype:
        """The genotype of a NATS-Bench string such as `|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+...`, also in `Structure(...)`.

        Raises:
            GenotypeError: the text has another form, or its operations are illegal.
        """
        with at("NATS-Bench text"):
            nodes, concat = text_forms.parse_nats(text)
            return cls(name, NATS.name, {kind: _cell(kind, nodes, concat, NATS) for kind in NATS.kinds}, provenance or {})

    def to_nats(self) -> str:
        """The NATS-Bench string, sources ascending.

        Raises:
            GenotypeError: the genotype is of another space, or a node has not exactly one operation for each earlier node.
        """
        if self.space != NATS.name:
            raise GenotypeError(f"{self.name} is of space {self.space!r}; only {NATS.name!r} has NATS-Bench's form: use to_darts()")
        (cell,) = self.cells.values()
        with at(self.name):
            return text_forms.format_nats(plain(cell.nodes))


def _space(name: Any) -> Space:
    if not isinstance(name, str) or name not in SPACES:
        raise GenotypeError(f"unknown space {shown(name)}; legal are {', '.join(SPACES)}: write one of them")
    return SPACES[name]


def _read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file, at most one more than is legal."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        remedy = "give the path of a genotype's .json file, or a name that `nasarch models` lists"
        raise GenotypeError(f"can't read it: {error.strerror or error}; {remedy}") from None


def _exact_keys(value: Mapping[str, Any], keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    for key in value:
        if key not in keys:
            raise GenotypeError(f"unknown key {shown(key)}; legal are {', '.join(keys)}: remove or rename it")
    required = [key for key in keys if key not in optional]
    missing = [key for key in required if key not in value]
    if missing:
        given = shown(list(value))
        raise GenotypeError(f"no {', '.join(map(repr, missing))} among the keys {given}; required are {', '.join(required)}: add it")


def _cell_from_dict(kind: Any, value: Any, space: Space) -> Cell:
    with at(f"cell {shown(kind)}"):
        if not isinstance(value, Mapping):
            raise GenotypeError(f'it is {shown(value)}; legal is an object: write {{"nodes": [...], "concat": [...]}}')
        _exact_keys(value, ("nodes", "concat"))
    return _cell(kind, value["nodes"], value["concat"], space)


def _cell(kind: Any, nodes: Any, concat: Any, space: Space) -> Cell:
    with at(f"cell {shown(kind)}"):
        return Cell(nodes, concat, space.inputs)


def _checked_cells(cells: Any, space: Space) -> Mapping[str, Cell]:
    """The cells in the order of the space's kinds, read-only."""
    if not isinstance(cells, Mapping) or set(cells) != set(space.kinds):
        kinds = shown(list(cells) if isinstance(cells, Mapping) else cells)
        raise GenotypeError(f"cells are {kinds}; space {space.name!r} has exactly {', '.join(space.kinds)}: give one cell for each")
    for kind, cell in cells.items():
        with at(f"cell {kind!r}"):
            _check_cell(cell, space)
    return MappingProxyType({kind: cells[kind] for kind in space.kinds})


def _check_cell(cell: Any, space: Space) -> None:
    if not isinstance(cell, Cell) or cell.inputs != space.inputs:
        raise GenotypeError(f"it is {shown(cell)}; space {space.name!r} has {space.inputs} inputs: give a Cell(..., inputs={space.inputs})")
    legal = space.legal_operations
    for j, edges in zip(cell.inner_nodes, cell.nodes, strict=True):
        most = j * len(legal)  # distinct pairs of a source and an operation
        if len(edges) > most:
            raise GenotypeError(f"node {j}: {len(edges)} edges; {j} sources x {len(legal)} operations are {most}: remove repeated ones")
        for operation, _ in edges:
            if operation not in legal:
                close = f"{_close(operation, legal)} An own operation is registered by the file of --plugin"
                raise GenotypeError(f"node {j}: unknown operation {shown(operation)}; space {space.name!r} has {', '.join(legal)}: {close}")
    output = space.with_nodes(len(cell.nodes)).concat()
    if space == NATS and cell.concat != output:
        raise GenotypeError(f"concat is {list(cell.concat)}; a cell of {space.name!r} puts out its last node: write {list(output)}")


def _close(value: str, legal: Any) -> str:
    """The remedy for an unknown name."""
    close = get_close_matches(value.lower(), legal, n=3) if len(value) <= 100 else []
    return f"did you mean {' or '.join(close)}?" if close else "write one of them"


def _folder() -> Path:
    return Path(str(resources.files("nasarch.genotypes")))


def names() -> list[str]:
    """The names of the genotypes in genotypes/, sorted."""
    return sorted(path.stem for path in _folder().glob("[!.]*.json"))


def resolve(genotype: str | os.PathLike[str] | Mapping[str, Any] | Genotype) -> Genotype:
    """The genotype that is meant: a zoo name, the path of a .json file, a plain dict, a DARTS or NATS-Bench text, or the value itself.

    Raises:
        GenotypeError: there is none; names what comes close.
    """
    if isinstance(genotype, Genotype):
        return genotype
    if isinstance(genotype, Mapping):
        return Genotype.from_dict(genotype)
    if isinstance(genotype, str):
        return _from_string(genotype)
    if isinstance(genotype, os.PathLike):
        return Genotype.load(genotype)
    legal = "a name that `nasarch models` lists, a path, a dict or a Genotype"
    raise GenotypeError(f"genotype {shown(genotype)}; legal are {legal}: give one of them")


def is_printed(text: str) -> bool:
    """Whether `text` is a printed genotype, of DARTS or NATS-Bench, and no name or path."""
    return "Genotype(" in text or text.lstrip().startswith(("|", "Structure("))


def _from_string(text: str) -> Genotype:
    if len(text) <= 100 and text.isidentifier() and (packaged := _folder() / f"{text}.json").is_file():
        return Genotype.load(packaged)
    if is_printed(text):
        return Genotype.from_darts(text) if "Genotype(" in text else Genotype.from_nats(text)
    if text.endswith(".json") or len(Path(text).parts) > 1:
        return Genotype.load(text)
    remedy = _close(text, names()).replace("write one of them", "give one of those")
    raise GenotypeError(f"unknown genotype {shown(text)}; `nasarch models` lists the names, and a file's path ends in .json: {remedy}")


def public_genotype(genotype: Genotype) -> Genotype:
    """The same cells, with no local paths in the name and the provenance."""
    return Genotype(public(genotype.name), genotype.space, genotype.cells, public(plain(genotype.provenance)))
