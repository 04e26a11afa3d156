"""What the exports for phones share: the model with its preprocessing inside, the comparison with PyTorch, the report."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.onnx.check import Agreement, compare
from nasarch.export.onnx.float32 import input_size, reference
from nasarch.export.onnx.uint8_input import Scaling, scaling_of
from nasarch.export.samples import sample_pixels
from nasarch.export.source.config import configuration, describe
from nasarch.export.source.find import find_model

IMAGES = 4  # that a file is compared on, one by one


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without a converter's progress, logs and warnings about the versions of others."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@dataclass(frozen=True, kw_only=True)
class MobileReport:
    """Report of an export for phones."""

    path: Path
    architecture: str
    size_bytes: int
    signature: str
    runtime: str
    agreement: Agreement
    random: bool

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {self.architecture}, {self.size_bytes / 1e6:.1f} MB, {self.signature}",
            f"checked {self.runtime} on {IMAGES} images: logits within {self.agreement.relative} (allowed {self.agreement.allowed})"
            f"{self.agreement.classes}",
        ]
        return "\n".join(lines + ["the weights are random: --checkpoint W.safetensors exports trained ones"] * self.random)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A float32 model on the CPU for images of `shape` [C, H, W], and the scaling of their pixels."""

    model: nn.Module
    shape: tuple[int, int, int]
    scaling: Scaling
    class_names: list[str] | None
    random: bool

    @property
    def name(self) -> str:
        return describe(self.model)

    def report(self, path: Path, size_bytes: int, *, signature: str, runtime: str, agreement: Agreement) -> MobileReport:
        """The report of its export."""
        return MobileReport(
            path=path,
            architecture=self.name,
            size_bytes=size_bytes,
            signature=signature,
            runtime=runtime,
            agreement=agreement,
            random=self.random,
        )

    def agreement(self, run: Callable[[Tensor], Tensor], what: str) -> Agreement:
        """The logits that `run` gives for pixels, uint8 [1, H, W, C], against PyTorch's.

        Raises:
            ExportError: they differ by more than rounding.
        """
        run(sample_pixels(1, *self.shape))  # so that its own errors come through
        compared = compare(self.model, _Session(run), self.shape, self.scaling.images, (1,) * IMAGES)
        if not compared.holds:
            difference = f"by {compared.relative} (allowed {compared.allowed}){compared.classes}"
            raise ExportError(f"refused: the logits of {self.name} {what} differ from PyTorch's {difference}")
        return compared


class _Session:
    """A function of pixels in the form of an onnxruntime session, as `compare` takes it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def get_inputs(self) -> list[Any]:
        return [type("Input", (), {"name": "pixels"})]

    def run(self, _: None, feed: dict[str, Any]) -> list[Any]:
        return [self.function(torch.from_numpy(feed["pixels"])).numpy()]


def subject(
    source: str | os.PathLike[str], *, checkpoint: str | os.PathLike[str] | None = None, data: str | None = None, size: int | None = None
) -> Subject:
    """The model of `source`, see `find_model`, for images of `size` pixels (default: the model's).

    Raises:
        ValueError: what `find_model` refuses, a size that is too small, a model without mean and standard deviation.
    """
    model_source = find_model(source, checkpoint, data)
    model, shape = reference(model_source.model), input_size(model_source.model, size)
    if shape[0] not in (1, 3):
        raise ExportError(f"{source} takes images of {shape[0]} channels; an export for phones needs a model for colour or grey images")
    names = model_source.class_names or configuration(model).get("label_names")
    return Subject(
        model=model,
        shape=shape,
        scaling=scaling_of(model, shape[0]),
        class_names=None if names is None else list(names),
        random=model_source.random,
    )
