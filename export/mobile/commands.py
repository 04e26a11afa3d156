"""The commands `export litert` and `export coreml`. PyTorch is imported when one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from nasarch.console import print_text

Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE|RUN")]
Output = Annotated[Path, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE")]


def litert(source: Source, *, out: Output, checkpoint: Path | None = None, data: str | None = None, size: int | None = None) -> None:
    """Export a model to LiteRT (TensorFlow Lite) for Android and microcontrollers; needs litert-torch.

    uint8 pixels [1, H, W, C] in, logits out; the file is run in LiteRT and verified against PyTorch.

    Args:
        source: Model name, genotype file (.json), or folder of a search, a training or `nasarch export hub`.
        out: File to write (.tflite).
        checkpoint: Trained weights (.safetensors; default: those of the folder or the package, else random weights).
        data: Data set that the weights were trained on, for labels and preprocessing: cifar10, cifar100, imagenet, imagenet16-120, digits.
        size: Height and width of the input images in pixels (default: the model's).
    """
    from .litert import export_litert

    print_text(export_litert(source, out, checkpoint=checkpoint, data=data, size=size))


def coreml(source: Source, *, out: Output, checkpoint: Path | None = None, data: str | None = None, size: int | None = None) -> None:
    """Export a model to Core ML for iOS and macOS; needs coremltools.

    An image in, class probabilities out. Core ML runs on Apple's systems only, so that the file is verified by evaluating the converted
    program in PyTorch, operation by operation, and not by Core ML itself.

    Args:
        source: Model name, genotype file (.json), or folder of a search, a training or `nasarch export hub`.
        out: Package to write (.mlpackage).
        checkpoint: Trained weights (.safetensors; default: those of the folder or the package, else random weights).
        data: Data set that the weights were trained on, for labels and preprocessing: cifar10, cifar100, imagenet, imagenet16-120, digits.
        size: Height and width of the input images in pixels (default: the model's).
    """
    from .coreml import export_coreml

    print_text(export_coreml(source, out, checkpoint=checkpoint, data=data, size=size))
