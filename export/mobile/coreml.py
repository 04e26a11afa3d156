"""Export to Core ML: an ML program (.mlpackage), an image in, classes with probabilities out, compared with PyTorch as far as it can be.

The preprocessing but for resizing is inside, softmax too. Core ML runs on macOS and iOS alone; everywhere else the converted program is
evaluated in PyTorch, operation by operation (mil.py). The converter is Apple's coremltools, an optional extra.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasarch.atomic import new_folder
from nasarch.export.errors import ExportError, first_line
from nasarch.export.onnx.uint8_input import Scaling
from nasarch.export.samples import sample_pixels

from .mil import evaluate
from .pixels import MobileReport, Subject, quiet, subject

NOTES = "executorch_debug_handle_mapping.json"  # beside the model, for another runtime


class _Image(nn.Module):
    """Levels of 0 to 255, float32 [1, C, H, W] -> probabilities [1, classes]."""

    def __init__(self, model: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.model, self.scaling = model, scaling

    def forward(self, image: Tensor) -> Tensor:
        return self.model(self.scaling.images(image.permute(0, 2, 3, 1))).softmax(1)


def export_coreml(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    size: int | None = None,
) -> MobileReport:
    """Write the package `out` (.mlpackage), which must be new, of a model; arguments as of `subject`.

    Raises:
        ValueError: what `subject` refuses, another suffix, coremltools is not installed or can't convert the model, or the program's
            logits differ from PyTorch's.
    """
    if Path(out).suffix != ".mlpackage":
        raise ValueError(f"{out} is no name of a Core ML package; give one that ends in .mlpackage")
    try:
        with quiet():
            import coremltools
    except ImportError as error:
        raise ExportError(f"coremltools is not installed ({first_line(error)}); pip install coremltools") from error
    exported = subject(source, checkpoint=checkpoint, data=data, size=size)
    with new_folder(Path(out)) as folder:
        try:
            with quiet(), torch.no_grad():
                model = _convert(coremltools, exported)
        except Exception as error:  # whatever its passes find wrong
            raise ExportError(f"coremltools can't convert {exported.name}: {first_line(error)}; try another version of it") from error
        agreement = exported.agreement(
            lambda pixels: evaluate(model._mil_program, pixels.permute(0, 3, 1, 2).float(), "softmax"), "in the Core ML program"
        )
        with quiet():
            model.save(str(folder))
        (folder / NOTES).unlink(missing_ok=True)
        size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    channels, height, width = exported.shape
    return exported.report(
        Path(out),
        size_bytes,
        signature=f"image, {'RGB' if channels == 3 else 'grey'}, {width} x {height} -> classLabel, classLabel_probs",
        runtime="operation by operation in PyTorch, not in Core ML itself,",
        agreement=agreement,
    )


def _convert(coremltools: Any, exported: Subject) -> Any:
    """The ML program in float32 for iOS 15 and macOS 12 and later."""
    module = _Image(exported.model, exported.scaling).eval()
    example = sample_pixels(1, *exported.shape).permute(0, 3, 1, 2).float().contiguous()
    layout = coremltools.colorlayout.RGB if exported.shape[0] == 3 else coremltools.colorlayout.GRAYSCALE
    classes = exported.class_names or [f"class {index}" for index in range(module(example).shape[1])]
    return coremltools.convert(
        torch.export.export(module, (example,)).run_decompositions({}),
        convert_to="mlprogram",
        inputs=[coremltools.ImageType(name="image", shape=example.shape, color_layout=layout)],
        classifier_config=coremltools.ClassifierConfig(classes),
        minimum_deployment_target=coremltools.target.iOS15,
        compute_precision=coremltools.precision.FLOAT32,
        skip_model_load=True,
    )
