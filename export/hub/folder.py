"""Export of a classifier to a folder for the Hub, which timm, transformers, transformers.js and onnxruntime load.

| file | holds |
|---|---|
| model.safetensors | the weights, float32; no pickle anywhere |
| config.json | timm's: architecture, pretrained_cfg (preprocessing), model_args; labels if known |
| preprocessor_config.json | the preprocessing for transformers.js |
| genotype.json, cells.png, cells.svg | the cells |
| onnx/model.onnx | the same model, checked against PyTorch |
| README.md | the card |

The architecture is always the generic network with the genotype as plain JSON in model_args, so that a folder loads whatever
the zoo holds later. `num_classes` stands beside model_args, never in it: transformers passes it by itself. Before the folder gets its
name timm loads it and has to give the same logits, bit for bit. An auxiliary tower is left behind: it only serves training.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from nasarch.atomic import new_folder, write_text
from nasarch.cells.genotype import public_genotype
from nasarch.console import command_line
from nasarch.drawing.draw import draw
from nasarch.export.errors import ExportError, first_line
from nasarch.export.onnx.float32 import OnnxReport, export_onnx
from nasarch.export.samples import sample_images
from nasarch.export.source.config import configuration
from nasarch.export.source.find import build
from nasarch.export.source.folder import is_detector, is_exported
from nasarch.export.ssd.detector import read_design
from nasarch.models.cost import measured
from nasarch.models.labels import labels_of
from nasarch.models.network import CellNetwork
from nasarch.models.source import ModelSource, find_source
from nasarch.models.weight_files import write_folder

from .card import HUB_NAME, Facts, card
from .config import model_config, preprocessor_config
from .push import Pushed, check_name, push


@dataclass(frozen=True, kw_only=True)
class HubReport:
    """Report of an export to a folder."""

    path: Path
    name: str
    architecture: str
    num_classes: int
    labelled: bool
    random: bool
    size_bytes: int
    onnx: OnnxReport

    def __str__(self) -> str:
        names = "their names are in it" if self.labelled else "their names are not known: --data NAME says what they are"
        lines = [
            f"{self.path}: {self.name} as {self.architecture}, {self.size_bytes / 1e6:.1f} MB, {self.num_classes} classes; {names}",
            f"timm loads it with the same logits, bit for bit; the ONNX file's differ by {self.onnx.agreement.relative}",
            f"load:   import nasarch, timm; timm.create_model({f'local-dir:{self.path}'!r}, pretrained=True)",
            f"upload: {command_line('export', 'hub', self.path, '--push', 'OWNER/NAME')}",
        ]
        return "\n".join(lines + ["the weights are random: --checkpoint W.safetensors takes trained ones"] * self.random)


def hub(
    source: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    size: int | None = None,
    repository: str | None = None,
    public: bool = False,
) -> Iterator[HubReport | Pushed]:
    """Write the folder `out` of `source`, then push it to `repository` if that is given; `source` may be a folder that was written before.

    Yields:
        What was written, and what was pushed, each when it is done.

    Raises:
        ValueError: what `export_hub` and `push` refuse, or nothing is to be done.
    """
    if repository is not None:
        check_name(repository)
    elif public:
        raise ValueError("--public says how a repository is made; give --push OWNER/NAME with it")
    if is_detector(source) and (out is not None or not is_exported(source)):
        written = command_line("export", "ssd", source, "-o", "DIR")
        remedy = f"`{written}` writes its folder, `nasarch export hub DIR --push OWNER/NAME` uploads that"
        raise ValueError(f"{source} holds a detector: {remedy}")
    if out is not None:
        yield export_hub(source, out, checkpoint=checkpoint, data=data, size=size, repository=repository)
    elif repository is None or not is_exported(source):
        raise ValueError("no output folder: give --out DIR; only a folder that was written before needs none, to --push OWNER/NAME")
    elif checkpoint is not None or data is not None or size is not None:
        raise ValueError(f"{source} is uploaded as it is; give --out DIR to write another one with --checkpoint, --data or --size")
    if repository is not None:
        folder = Path(source if out is None else out)
        if is_detector(folder):
            read_design(folder)  # refuses a damaged one
        _name_in_card(folder / "README.md", repository)
        yield push(folder, repository, public=public)


def _name_in_card(readme: Path, repository: str) -> None:
    """Let a card that was written before say where the model is now: as hf-hub:OWNER/NAME, and where a quoted name is all of a string."""
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"can't read the card {readme}: {reason}; it has to say where the model is, so mend it") from error
    named = HUB_NAME.search(text)
    if named is not None and named[1] != repository:
        here = rf"(hf-hub:|[\"']){re.escape(named[1])}(?![\w./-])"
        write_text(readme, re.sub(here, lambda match: match[1] + repository, text))


def export_hub(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    size: int | None = None,
    repository: str | None = None,
) -> HubReport:
    """Write the folder `out`, which must be new or empty, for `source`: a name of the zoo, a genotype's file, or the folder of a run.

    Args:
        checkpoint: trained weights (.safetensors); by default those of the run or of the zoo, else random ones.
        data: name of the data set that the weights were trained on, for labels and preprocessing, if the run doesn't say it.
        size: height and width of the images in pixels; by default those of the run or the model.
        repository: OWNER/NAME to name in the card.

    Raises:
        ValueError: no such source, weights that don't fit, a folder that isn't empty or can't be written, or a check that fails.
    """
    with new_folder(Path(out)) as folder:
        origin = find_source(source, checkpoint, data)
        genotype, model = origin.cells, _model(origin)
        labels = labels_of(origin.data, model.num_classes)
        if data is not None and labels is None:
            raise ValueError(f"data {data!r} hasn't {model.num_classes} classes, as the model has; leave --data out or give the right one")
        model.genotype = genotype  # the same cells, with all that is known of them
        config = model_config(model, origin, labels, size)
        _write_model(folder, model, config)
        onnx = export_onnx(_loaded(folder, model), folder / "onnx" / "model.onnx", class_names=None if labels is None else labels.names)
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        preprocessing = preprocessor_config(config["pretrained_cfg"])
        if preprocessing is not None:
            (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n", encoding="utf-8")
        facts = _facts(origin, model, config, onnx, digest, repository)
        (folder / "README.md").write_text(card(facts), encoding="utf-8")
        size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return HubReport(
        path=Path(out),
        name=origin.name,
        architecture=config["architecture"],
        num_classes=model.num_classes,
        labelled=labels is not None,
        random=origin.random,
        size_bytes=size_bytes,
        onnx=onnx,
    )


def _model(origin: ModelSource) -> CellNetwork:
    """The model with its weights, in evaluation mode, without auxiliary tower."""
    model = build(origin)
    if not isinstance(model, CellNetwork) or not model.num_classes:
        raise ExportError(f"{origin.source} is no classifier of cells; give a model of `nasarch models`, a genotype or a run")
    model.aux_head = None
    return model


def _write_model(folder: Path, model: CellNetwork, config: dict[str, Any]) -> None:
    write_folder(folder, model.state_dict(), config)
    genotype = public_genotype(model.genotype)
    genotype.save(folder / "genotype.json")
    for suffix in ("png", "svg"):
        draw(genotype, folder / f"cells.{suffix}")


def _loaded(folder: Path, model: CellNetwork) -> nn.Module:
    """The model that timm makes of `folder`, which has to give the logits of `model`."""
    try:
        twin = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    except Exception as error:  # whatever timm finds wrong
        raise ExportError(f"timm can't load what was written: {first_line(error)}; try another version of timm") from error
    images = sample_images(2, *configuration(twin)["input_size"])
    with torch.inference_mode():
        if not torch.equal(twin(images), model(images)):
            raise ExportError("timm's copy of the model gives other logits; look for NaN in the weights, else report the model")
    return twin


def _facts(origin: ModelSource, model: CellNetwork, config: dict[str, Any], onnx: OnnxReport, digest: str, repository: str | None) -> Facts:
    cfg, arguments = config["pretrained_cfg"], config["model_args"]
    sizes = {key: value for key, value in arguments.items() if key != "genotype"}
    return Facts(
        name=origin.name,
        repository=repository,
        genotype=public_genotype(origin.cells),
        architecture=config["architecture"],
        sizes=sizes,
        config=cfg,
        cost=measured(model, torch.zeros(1, *cfg["input_size"])),
        num_classes=model.num_classes,
        class_names=config.get("label_names"),
        random=origin.random,
        trained_on=None if origin.random or origin.data is None else origin.data.title,
        weights_sha256=digest,
        onnx=f"{onnx.size_bytes / 1e6:.1f} MB, logits within {onnx.agreement.relative}, measured in onnxruntime",
        results=origin.results,
    )
