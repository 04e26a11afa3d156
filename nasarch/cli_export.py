"""The commands `nasarch export`: what takes a model out. What they do lies in nasarch.export, which is imported when one of them is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import tyro

Command = Callable[..., None]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE")]
Run = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|RUN")]
Out = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE")]


def onnx(source: Source, *, out: Out, checkpoint: Path | None = None, size: int | None = None) -> None:
    """Export a model to one ONNX file that is checked against PyTorch.

    Args:
        source: a model's name or a genotype's .json file.
        out: the file to write.
        checkpoint: trained weights (.safetensors); without them the weights are random.
        size: height and width of the images in pixels; by default those of the model.
    """
    from nasarch.export.onnx import export_model

    print(export_model(source, out, checkpoint=checkpoint, size=size))


def hub(
    source: Run,
    *,
    out: Path | None = None,
    checkpoint: Path | None = None,
    data: str | None = None,
    size: int | None = None,
    push: str | None = None,
    public: bool = False,
) -> None:
    """Export a model to a folder that timm, transformers and onnxruntime load, and upload it to the Hub.

    Args:
        source: a model's name, a genotype's .json file, the folder of a search or training, or with --push alone a folder written before.
        out: the folder to write, a new one.
        checkpoint: trained weights (.safetensors); by default those of the folder, else the weights are random.
        data: what the weights were trained on, for labels and preprocessing: cifar10, cifar100, imagenet, digits.
        size: height and width of the images in pixels; by default those of the training or the model.
        push: upload to this repository, OWNER/NAME, in one commit; a new one is private.
        public: make a new repository public.
    """
    from nasarch.export.hub import hub

    for done in hub(source, out=out, checkpoint=checkpoint, data=data, size=size, repository=push, public=public):
        print(done)


def export(arguments: Sequence[str] = ()) -> Mapping[str, Command]:
    """Take a model out: onnx, hub."""
    return {"onnx": onnx, "hub": hub}
