"""`nasarch export verify`: read an untrusted ONNX file, then compare it with the PyTorch classifier or detector that it says it is.

1. onnx/untrusted.py reads it: structure, no tensors outside, no foreign operators, onnx.checker.
2. A detector is compared by detection/verify.py, a classifier by onnx/verify.py.

A file of others says nothing of its model: of it only the first is known, and with a model named the second.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from .detection.verify import is_detector, verify_detector
from .onnx.untrusted import UntrustedModel, read_onnx
from .onnx.verify import verify_classifier


class Verified(NamedTuple):
    """An ONNX file, and the findings, a line each."""

    file: UntrustedModel
    found: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([str(self.file), *self.found])


def verify(
    path: str | os.PathLike[str],
    *,
    model: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    images: str | None = None,
) -> Verified:
    """Repeat the check of the export on the file at `path`.

    Args:
        model: what it should be, as `find_model` takes it, of a detector as `ssd.load` does; by default what its properties say.
        checkpoint: weights of a classifier (.safetensors), unless they are random, shipped, or in the folder `model`.
        images: for an int8 file images to compare classes on, as `calibration.calibration` takes them; for a detector, see
            detection/verify.py.

    Raises:
        ValueError: the file is refused (see `read_onnx`), its weights can't be had or are others, or it gives other outputs than the model.
    """
    file = read_onnx(path)
    compare = verify_detector if is_detector(file) else verify_classifier
    return Verified(file, compare(file, model, checkpoint, images))
