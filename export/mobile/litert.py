"""Export to LiteRT (TensorFlow Lite): one .tflite file, uint8 pixels in, logits out, run and compared with PyTorch.

The preprocessing but for resizing is inside. The converter is Google's litert-torch. It is no extra of the package: it pins a version of
typing-extensions (<4.13, by xdsl) that tyro refuses, though both run with a newer one.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from nasarch.atomic import atomic_path
from nasarch.export.errors import ExportError, first_line
from nasarch.export.onnx.uint8_input import Scaling
from nasarch.export.samples import sample_pixels

from .pixels import MobileReport, quiet, subject

INSTALL = "pip install litert-torch, then pip install --upgrade typing-extensions"


class _Pixels(nn.Module):
    """uint8 [1, H, W, C] -> logits [1, classes]."""

    def __init__(self, model: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.model, self.scaling = model, scaling

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        return {"logits": self.model(self.scaling.images(pixels))}


def export_litert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    size: int | None = None,
) -> MobileReport:
    """Write the .tflite file `out` of a model; arguments as of `subject`.

    Raises:
        ValueError: what `subject` refuses, litert-torch is not installed or can't convert the model, or the logits differ from PyTorch's.
    """
    try:
        with quiet():
            import litert_torch
            from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ExportError(f"litert-torch is not installed ({first_line(error)}); {INSTALL}") from error
    exported = subject(source, checkpoint=checkpoint, data=data, size=size)
    example = sample_pixels(1, *exported.shape)
    with atomic_path(out) as file:
        file.touch()  # a place that can't be written is known before the slow part
        try:
            with quiet(), torch.no_grad():
                litert_torch.convert(_Pixels(exported.model, exported.scaling).eval(), sample_kwargs={"pixels": example}).export(str(file))
                run = Interpreter(str(file), num_threads=torch.get_num_threads()).get_signature_runner()
        except Exception as error:  # whatever its compiler finds wrong
            raise ExportError(f"litert-torch can't convert {exported.name}: {first_line(error)}; try another version of it") from error
        agreement = exported.agreement(lambda pixels: torch.from_numpy(run(pixels=pixels.numpy())["logits"]), "in LiteRT")
        size_bytes = file.stat().st_size
    channels, height, width = exported.shape
    return exported.report(
        Path(out),
        size_bytes,
        signature=f"pixels, uint8 [1, {height}, {width}, {channels}] -> logits",
        runtime="in LiteRT",
        agreement=agreement,
    )
