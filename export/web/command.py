"""The command `export web`. PyTorch is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from nasarch.console import print_text

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE|RUN")]
Folder = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="DIR")]


def web(
    source: Source,
    *,
    out: Folder,
    runtime: Path = Path("node_modules/onnxruntime-web"),
    checkpoint: Path | None = None,
    data: str | None = None,
    size: int | None = None,
) -> None:
    """Export a model as a web page: choose an image, see its classes. It runs in the browser; no image leaves the machine.

    Args:
        source: Model name, genotype file (.json), or folder of a search, a training or `nasarch export hub`.
        out: Folder to write (a new one), for any web server.
        runtime: Folder of the npm package onnxruntime-web (`npm install onnxruntime-web`); three of its files are copied.
        checkpoint: Trained weights (.safetensors; default: those of the folder or the package, else random weights).
        data: Data set that the weights were trained on, for labels and preprocessing: cifar10, cifar100, imagenet, imagenet16-120, digits.
        size: Height and width of the model's input in pixels (default: the model's).
    """
    from .page import export_page

    print_text(export_page(source, out, runtime=runtime, checkpoint=checkpoint, data=data, size=size))
