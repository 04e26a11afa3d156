"""Weight files (.safetensors) and folders of timm's: read, check against a network, write.

A check of the cells comes on top of that of names and shapes.

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
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from timm.models import clean_state_dict
from torch import Tensor

from nasarch.cells.genotype import Genotype
from nasarch.strict_json import parse

KEY = "nasarch.cells.genotype"  # in the metadata
NAME = "model.safetensors"  # of the weights in a folder of timm's
SHOWN = 3  # weights of a kind, in a message
LENGTH = 8  # bytes at the start of a .safetensors file, the length of its header


def as_safetensors(weights: Mapping[str, Tensor], genotype: Genotype) -> bytes:
    """A .safetensors file of the weights that says which cells they are for; the same weights and cells give the same bytes.

    "format" is what transformers 4 asks of a file with metadata. safetensors writes metadata in an order of chance, hence the new header.
    """
    stated = {key: value for key, value in genotype.to_dict().items() if key != "provenance"}
    content = safetensors.torch.save(dict(weights), {"format": "pt", KEY: json.dumps(stated)})
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
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                stated = (file.metadata() or {}).get(KEY)
        except (OSError, safetensors.SafetensorError) as error:
            raise ValueError(f"can't read {path}: {error}; give an undamaged .safetensors file") from error
        if stated is not None:
            try:
                return Genotype.from_dict(parse(stated.encode()))
            except ValueError as error:
                raise ValueError(f"{path} says of its cells: {error}") from error
    try:
        config = json.loads(path.with_name("config.json").read_text(encoding="utf-8")) if path.name == NAME else {}
        return Genotype.from_dict(config["model_args"]["genotype"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none there, or one of others
        return None


def check_cells(path: Path, own: Genotype) -> None:
    """Raise ValueError if the file says that its weights are for other cells than those of `own`: names both, and where they differ."""
    stored = genotype_in(path)
    if stored is not None and stored.to_dict()["cells"] != own.to_dict()["cells"]:
        where = next(_differences(stored, own))
        raise ValueError(
            f"{path} holds weights for the cells of {stored.name}, and those of {own.name} are others ({where}): give the genotype that "
            "they were trained with, or other weights"
        )


def _differences(stored: Genotype, own: Genotype) -> Iterator[str]:
    """Differences of cells, edge by edge."""
    if stored.space != own.space:
        yield f"of space {stored.space!r} there and {own.space!r} here"
    for kind in own.cells:
        one, other = stored.cells[kind], own.cells[kind]
        for j, (edges, expected) in enumerate(zip(one.nodes, other.nodes, strict=False), start=other.inputs):
            for edge, our in zip(edges, expected, strict=False):
                if edge != our:
                    yield f"{kind} cell, node {j}: {edge.operation} from {edge.source} there, {our.operation} from {our.source} here"
            if len(edges) != len(expected):
                yield f"{kind} cell, node {j}: {len(edges)} edges there, {len(expected)} here"
        if (len(one.nodes), one.concat) != (len(other.nodes), other.concat):
            yield f"{kind} cell: other nodes or another output"


def weights_file(path: str | os.PathLike[str]) -> Path:
    """The .safetensors file that `path` means: itself, or that in a folder of timm's or of a training."""
    files = (Path(path), Path(path) / "model" / NAME, Path(path) / NAME)
    return next((file for file in files if file.is_file()), files[0] / NAME if files[0].is_dir() else files[0])


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state dict in a .safetensors file, without the prefixes that wrappers of a model leave in the names.

    Raises:
        ValueError: the file can't be read.
    """
    try:
        with open(path, "rb"):  # its errors are clearer than those of safetensors
            return clean_state_dict(safetensors.torch.load_file(path))
    except (OSError, safetensors.SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        remedy = "give a file that safetensors.torch.save_file(model.state_dict(), 'weights.safetensors') wrote"
        raise ValueError(f"can't read weights from {path}: {reason}; {remedy}") from error


def check_fit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """Raise ValueError unless `weights` have the names and shapes of a network's `own`: `what` they are, how they differ, the `remedy`."""
    kinds = {
        "missing": [key for key in own if key not in weights],
        "unknown": sorted(weights.keys() - own.keys()),
        "of another shape": [
            f"{key} {[*weights[key].shape]} instead of {[*own[key].shape]}"
            for key in own
            if key in weights and weights[key].shape != own[key].shape
        ],
    }
    misfits = [
        f"{len(keys)} weights {kind} ({', '.join(keys[:SHOWN])}{', ...' * (len(keys) > SHOWN)})" for kind, keys in kinds.items() if keys
    ]
    if misfits:
        raise ValueError(f"{what}: {', '.join(misfits)}; {remedy}")


def write_folder(folder: Path, weights: Mapping[str, Tensor], config: Mapping[str, Any], genotype: Genotype | None = None) -> None:
    """Write config.json and model.safetensors into `folder`, which is there: what timm and the Hub's clients load.

    Args:
        weights: on any device, in any memory format.
        config: timm's: architecture, pretrained_cfg, model_args.
        genotype: the cells that the weights say that they are for; None writes no metadata.
    """
    tensors = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}
    content = safetensors.torch.save(tensors) if genotype is None else as_safetensors(tensors, genotype)
    (folder / NAME).write_bytes(content)
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
