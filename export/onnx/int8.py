"""Static int8 quantisation of an ONNX graph: QDQ, int8 weights with one scale for each channel.

| form | activations | zero points | biases | for |
|---|---|---|---|---|
| asymmetric | uint8 | of the range | int32 | CPUs |
| symmetric | int8 | 0 | float32 | TensorRT, which refuses others, and NPUs |

Every tensor x is held as round(x / scale) + zero, with the range of x on the calibration images (MinMax). Static, so that no range is
computed while the network runs. On x86 CPUs with VNNI the asymmetric form was the quickest: int8 activations, 16-bit activations and
dynamic quantisation of convolutions were slower than float32 there. Batch normalisations that no convolution takes in stay in float32.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from torch import Tensor

from nasarch.export.errors import ExportError, first_line

from .graph import INPUT, plain, strip

STAY = "BatchNormalization"


class _Reader(CalibrationDataReader):
    """Batches in the form that onnxruntime asks for."""

    def __init__(self, batches: Iterable[Tensor]) -> None:
        self.batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch.numpy()}


def quantised(proto: onnx.ModelProto, batches: Iterable[Tensor], *, symmetric: bool = False) -> onnx.ModelProto:
    """`proto` in 8-bit integers, its ranges those of `batches` (float32 [B, C, H, W], as the network sees them); `symmetric`: see above.

    Raises:
        ExportError: onnxruntime can't quantise the graph.
    """
    kinds = sorted({node.op_type for node in proto.graph.node} - {STAY})
    with tempfile.TemporaryDirectory(prefix="nasarch-") as folder, _silent():
        source, target = Path(folder, "float.onnx"), Path(folder, "integer.onnx")
        onnx.save(proto, source)
        try:
            quantize_static(
                source,
                target,
                _Reader(batches),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=kinds,
                per_channel=True,
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"ActivationSymmetric": True, "QuantizeBias": False} if symmetric else {},
            )
            result = onnx.load(target)
        except Exception as error:  # its errors share no base
            raise ExportError(f"onnxruntime can't quantise the graph: {first_line(error)}; try another version of it") from error
    strip(result)
    return plain(result)


@contextmanager
def _silent() -> Iterator[None]:
    """Without onnxruntime's advice, which goes to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
