"""What is to be exported or verified: a model with its weights, its preprocessing and its labels, by name, by file or by folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import timm
from torch import nn

from nasarch.export.onnx.check import ExportError, first_line
from nasarch.export.onnx.properties import configure
from nasarch.models.zoo import GENERIC, MODELS

from .labels import KNOWN, Labelled, known, labels_of
from .model import build_model
from .origin import Origin, find_origin


class Subject(NamedTuple):
    """`class_names` are None where they aren't known; `random` says that the weights are, always the same ones."""

    model: nn.Module
    class_names: tuple[str, ...] | None
    random: bool


def find_subject(source: str | os.PathLike[str], checkpoint: str | os.PathLike[str] | None = None, data: str | None = None) -> Subject:
    """The model of `source`: a timm name, a genotype's .json file, or the folder of a search, a training or an export for the Hub.

    Args:
        checkpoint: weights (.safetensors); by default those of the folder or of the zoo, else random ones.
        data: name of the data set that the weights were trained on, for labels, mean and std, if the source doesn't say it.

    Raises:
        ValueError: no such source or data set, or weights that don't fit.
    """
    text = os.fspath(source)
    if timm.is_model(text) and text not in MODELS and text not in GENERIC and not Path(text).is_dir():
        return _described(build_model(text, checkpoint), _known(data), data, random=checkpoint is None)
    origin = find_origin(source, checkpoint, data)
    return _described(build(origin), origin.data, data, random=origin.random)


def build(origin: Origin) -> nn.Module:
    """The network with its weights, in evaluation mode.

    Raises:
        ValueError: the weights don't fit, or timm can't load the folder.
    """
    if not origin.whole:
        return build_model(origin.source, origin.checkpoint).eval()
    try:
        return timm.create_model(origin.source, pretrained=True).eval()
    except Exception as error:  # whatever timm finds wrong
        raise ExportError(f"timm can't load {origin.source}: {first_line(error)}; train or save the model again") from error


def _known(data: str | None) -> Labelled | None:
    found = known(data)
    if data is not None and found is None:
        raise ValueError(f"data {data!r}; known are {', '.join(KNOWN)}: give one of them or leave it out")
    return found


def _described(model: nn.Module, data: Labelled | None, asked: str | None, *, random: bool) -> Subject:
    """With the mean and std of `data`, which a training on it scales images with, and its labels."""
    num_classes = getattr(model, "num_classes", 0)
    labels = labels_of(data, num_classes)
    if asked is not None and labels is None:
        raise ValueError(f"data {asked!r} hasn't {num_classes} classes, as the model has; leave --data out or give the right one")
    if data is not None and data.statistics is not None and getattr(model, "in_chans", 3) == 3:
        configure(model, mean=data.statistics.mean, std=data.statistics.std)
    return Subject(model, None if labels is None else labels.names, random)
