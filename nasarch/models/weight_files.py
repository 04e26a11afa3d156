"""Which cells the weights in a file were trained with, and how weights differ from those of a network.

Names and shapes don't tell all cells apart: another wiring, or max pooling instead of average pooling, leaves both as they are.

| file | says it in |
|---|---|
| a training's model/model.safetensors, and weights that ship with the package | its metadata: the genotype without provenance |
| model.safetensors in any other folder of timm's, such as one for the Hub | config.json beside it: model_args.genotype |
| all others | nothing: they are known by the names and shapes of their weights alone |

Cells are compared in the order of their edges, which the names of the weights depend on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from nasarch.cells.genotype import Genotype
from nasarch.strict_json import parse

KEY = "nasarch.cells.genotype"  # in the metadata
NAME = "model.safetensors"  # of the weights in a folder of timm's
LENGTH = 8  # bytes at the start of a .safetensors file, the length of its header


def as_safetensors(weights: Mapping[str, Tensor], genotype: Genotype) -> bytes:
    """A .safetensors file of the weights that says which cells they are for; the same weights and cells give the same bytes.

    "format" is what transformers 4 asks of a file with metadata. safetensors writes metadata in an order of chance, hence the new header.
    """
    told = {key: value for key, value in genotype.to_dict().items() if key != "provenance"}
    content = safetensors.torch.save(dict(weights), {"format": "pt", KEY: json.dumps(told)})
    start = LENGTH + int.from_bytes(content[:LENGTH], "little")
    header = json.loads(content[LENGTH:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH)
    return len(text).to_bytes(LENGTH, "little") + text + content[start:]


def genotype_in(path: Path) -> Genotype | None:
    """The genotype that the weights in the file are for, if that is known.

    Raises:
        ValueError: the file's metadata hold one that this version can't read; or it is no .safetensors file, by its name.
    """
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get(KEY)
        if told is not None:
            try:
                return Genotype.from_dict(parse(told.encode()))
            except ValueError as error:
                raise ValueError(f"{path} says of its cells: {error}") from error
    return _beside(path.with_name("config.json")) if path.name == NAME else None


def _beside(config: Path) -> Genotype | None:
    """The genotype of timm's configuration; None where there is none, or one of others."""
    try:
        return Genotype.from_dict(json.loads(config.read_text(encoding="utf-8"))["model_args"]["genotype"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def check_cells(path: Path, own: Genotype) -> None:
    """Raise ValueError if the file says that its weights are for other cells than those of `own`: names both, and where they differ."""
    theirs = genotype_in(path)
    if theirs is not None and theirs.to_dict()["cells"] != own.to_dict()["cells"]:
        where = next(_differences(theirs, own))
        raise ValueError(
            f"{path} holds weights for the cells of {theirs.name}, and those of {own.name} are others ({where}): give the genotype that "
            "they were trained with, or other weights"
        )


def _differences(theirs: Genotype, own: Genotype) -> Iterator[str]:
    """Where cells differ, one place after the other."""
    if theirs.space != own.space:
        yield f"of space {theirs.space!r} there and {own.space!r} here"
    for kind in own.cells:
        one, other = theirs.cells[kind], own.cells[kind]
        for j, (edges, ours) in enumerate(zip(one.nodes, other.nodes, strict=False), start=other.inputs):
            for edge, our in zip(edges, ours, strict=False):
                if edge != our:
                    yield f"{kind} cell, node {j}: {edge.operation} from {edge.source} there, {our.operation} from {our.source} here"
            if len(edges) != len(ours):
                yield f"{kind} cell, node {j}: {len(edges)} edges there, {len(ours)} here"
        if (len(one.nodes), one.concat) != (len(other.nodes), other.concat):
            yield f"{kind} cell: other nodes or another output"


def differing(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """How `weights` differ from a network's `own` in names and shapes, a line for each; empty if they don't."""
    missing = [f"{key} is missing" for key in own if key not in weights]
    foreign = [f"{key} is not of this network" for key in weights if key not in own]
    return (
        missing
        + foreign
        + [
            f"{key} is {list(weights[key].shape)} instead of {list(own[key].shape)}"
            for key in own
            if key in weights and weights[key].shape != own[key].shape
        ]
    )


def some(lines: list[str], most: int) -> str:
    """The first `most` lines, and how many more there are."""
    return "; ".join(lines[:most]) + (f", and {len(lines) - most} more" if len(lines) > most else "")
