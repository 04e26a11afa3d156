"""The commands `nasarch export`: what takes a model out. What they do lies in nasarch.export, which is imported when one of them is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from .cli_detect import ssd

Command = Callable[..., None]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME|FILE|RUN")]
Out = Annotated[str, tyro.conf.arg(name="out", aliases=["-o"], metavar="FILE|DIR")]
File = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]


def onnx(
    source: Source,
    *,
    out: Out,
    checkpoint: Path | None = None,
    data: str | None = None,
    size: int | None = None,
    dynamic_size: bool = False,
    uint8_input: bool = False,
    fp16: bool = False,
    int8: bool = False,
    calibrate: str | None = None,
    force: bool = False,
) -> None:
    """Export a model to ONNX: in float32, or with preprocessing inside, in float16 or int8; each file is checked against PyTorch.

    Args:
        source: a model's name, a genotype's .json file, or the folder of a search, a training or `nasarch export hub`.
        out: the file to write; or a folder (one that exists, or ends in /), which gets onnx/model.onnx and what else is asked for.
        checkpoint: trained weights (.safetensors); by default those of the folder or of the package, else the weights are random.
        data: what the weights were trained on, for labels and preprocessing: cifar10, cifar100, imagenet, digits.
        size: height and width of the images in pixels; by default those of the model.
        dynamic_size: any height and width in multiples of what the network reduces its images by: 32, or 4 for CIFAR networks.
        uint8_input: the form that takes uint8 pixels [batch, H, W, C] and scales them itself.
        fp16: float16 inside, float32 at both ends.
        int8: 8-bit integers (QDQ, uint8 activations, int8 weights with a scale for each channel), from ranges that --calibrate gives.
        calibrate: images for --int8, and to judge --fp16: a folder of images or class folders, a tar file, cifar10, cifar100, digits.
        force: write a float16 or int8 file even if fewer than 95 % of the held-back images keep their class.
    """
    from nasarch.export.onnx.export import ExportVariants, export_model

    forms = ExportVariants(dynamic_size=dynamic_size, uint8_input=uint8_input, fp16=fp16, int8=int8, calibrate=calibrate, force=force)
    print(export_model(source, out, checkpoint=checkpoint, data=data, size=size, forms=forms))


def verify(file: File, *, model: str | None = None, checkpoint: Path | None = None, images: str | None = None) -> None:
    """Check an ONNX file against the PyTorch model that it says it is; of anyone's file its structure.

    Args:
        file: the .onnx file; nothing outside it is opened.
        model: what it should be, a name, a genotype's file or a folder, of a detector the folder of its training; by default what its
            properties say.
        checkpoint: its weights (.safetensors); random and shipped ones are known without.
        images: to judge an int8 file by: a folder of images or class folders, a tar file, cifar10, cifar100, digits; for a detector
            with --model a data set in COCO's format (its val part) or a folder of images.
    """
    from nasarch.export.onnx.verify import verify

    print(verify(file, model=model, checkpoint=checkpoint, images=images))


def hub(
    source: Source,
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
        source: a model's name, a genotype's .json file, or the folder of a search or training; with --push alone a folder written before,
            by `nasarch export ssd` too.
        out: the folder to write, a new one.
        checkpoint: trained weights (.safetensors); by default those of the folder or of the package, else the weights are random.
        data: what the weights were trained on, for labels and preprocessing: cifar10, cifar100, imagenet, digits.
        size: height and width of the images in pixels; by default those of the training or the model.
        push: upload to this repository, OWNER/NAME, in one commit; a new one is private.
        public: make a new repository public.
    """
    from nasarch.export.hub.folder import hub

    for done in hub(source, out=out, checkpoint=checkpoint, data=data, size=size, repository=push, public=public):
        print(done)


def export(arguments: Sequence[str] = ()) -> Mapping[str, Command]:
    """Take a model out: onnx, hub, ssd; verify a file."""
    return {"onnx": onnx, "hub": hub, "ssd": ssd, "verify": verify}
