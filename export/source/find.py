"""Build the model of a source for export: with its weights, its preprocessing and its labels."""

from __future__ import annotations

import os
from typing import NamedTuple

import timm
from torch import nn

from nasarch.export.errors import ExportError, first_line
from nasarch.models.labels import labels_of
from nasarch.models.source import ModelSource, find_source

from .config import configure
from .model import build_model


class LoadedModel(NamedTuple):
    """A model in evaluation mode; `class_names` are None where they aren't known; `random` weights are always the same ones."""

    model: nn.Module
    class_names: tuple[str, ...] | None
    random: bool


def find_model(source: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None, data: str | None = None) -> LoadedModel:
    """The model of `source`, see nasarch/models/source.py: a name of nasarch or timm, a genotype's .json file, or a folder.

    Args:
        checkpoint: weights (.safetensors); by default those of the folder or of the zoo, else random ones.
        data: name of the data set that the weights were trained on, for labels, mean and std, if the source doesn't say it.

    Raises:
        ValueError: no such source or data set, or weights that don't fit.
    """
    resolved = find_source(source, checkpoint, data)
    model = build(resolved)
    num_classes = getattr(model, "num_classes", 0)
    labels = labels_of(resolved.data, num_classes)
    if data is not None and labels is None:
        raise ValueError(f"data {data!r} hasn't {num_classes} classes, as the model has; leave --data out or give the right one")
    if resolved.data is not None and resolved.data.statistics is not None and getattr(model, "in_chans", 3) == 3:
        configure(model, mean=resolved.data.statistics.mean, std=resolved.data.statistics.std)
    return LoadedModel(model, None if labels is None else labels.names, resolved.random)


def build(source: ModelSource) -> nn.Module:
    """The network with its weights, in evaluation mode.

    Raises:
        ValueError: the weights don't fit, or timm can't load the folder.
    """
    if not source.pretrained:
        model = build_model(source.source, source.weights).eval()
        if source.weights is not None or source.model is None:  # the zoo's licence is not that of other weights and cells
            configure(model, license=None)
        return model
    try:
        return timm.create_model(source.source, pretrained=True).eval()
    except Exception as error:  # whatever timm finds wrong
        raise ExportError(f"timm can't load {source.source}: {first_line(error)}; train or save the model again") from error
