"""Conversion of an ONNX graph to float16, and the tolerance of its logits.

Weights and activations are float16; `pixel_values` and `logits` stay float32, as the Hub's clients feed and read them. Half the size;
faster where the hardware computes in float16. onnxruntime's CPU kernels mostly compute in float32 and convert back and forth.

What may differ is measured, not guessed: a float32 model whose weights and layers' outputs are rounded to float16 shows how
much float16 costs this network. The file's logits may be 3 times as far away as that, or 2 % of what logits vary between images.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir
import onnxruntime
import torch
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.samples import sample_images

from .check import BATCHES, Agreement, variation
from .graph import plain
from .session import run

RELATIVE_TOLERANCE = 2e-2  # of the amount by which a logit varies between images; float16 has 11 bits
NOISE_FACTOR = 3  # times the effect of rounding to float16 in PyTorch


def halved(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto` with float16 inside and float32 at its ends."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    twin = onnx.ModelProto()
    twin.CopyFrom(proto)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights below float16's smallest number; the check says what that does
        converted = convert_float_to_float16(twin, keep_io_types=True)
    model = onnx_ir.from_proto(converted)
    model.graph.sort()  # the converter puts the casts of the ends last, which no checker accepts
    return plain(onnx_ir.to_proto(model))


@torch.inference_mode()
def compare_half(reference: nn.Module, session: onnxruntime.InferenceSession, shape: Sequence[int]) -> Agreement:
    """As `check.compare`, with the tolerances above; root mean squares, since single logits of a float16 net differ by chance.

    Raises:
        ExportError: numbers inside the network exceed what float16 holds, or onnxruntime fails.
    """
    images = sample_images(sum(BATCHES), *shape)
    expected = reference(images)
    expectable = _rounding(reference)(images)
    if not expectable.isfinite().all():
        raise ExportError("numbers inside the network exceed 65504, the largest of float16; leave --fp16 out")
    outputs = torch.cat([run(session, batch) for batch in images.split(BATCHES)])
    scale = variation(expected.double())
    epsilon = torch.finfo(torch.float16).eps * expected.abs().max().item()
    noise = max(_distance(expectable, expected), epsilon)
    return Agreement(_distance(outputs, expected), max(RELATIVE_TOLERANCE * scale, NOISE_FACTOR * noise), scale, noise)


def _distance(a: Tensor, b: Tensor) -> float:
    """Root mean square."""
    return (a.double() - b.double()).square().mean().sqrt().item()


def _rounding(reference: nn.Module) -> nn.Module:
    """A copy that computes in float32 with weights and outputs of layers as float16 holds them."""
    twin = copy.deepcopy(reference)
    with torch.no_grad():
        for tensor in (*twin.parameters(), *twin.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    for module in twin.modules():
        if not [*module.children()]:
            module.register_forward_hook(_rounded)
    return twin


def _rounded(module: nn.Module, arguments: Any, output: Any) -> Any:
    return output.half().float() if isinstance(output, Tensor) and output.dtype == torch.float32 else output
