"""Resizing, cropping and scaling inside an ONNX graph: images of any size in, as timm's transform for evaluation prepares them.

    resize the shorter side to floor(S / crop_pct) by antialiased interpolation, crop S x S pixels from the centre, scale by mean and std

Without it every client resizes in its own way, which changes classes: browsers don't antialias. onnxruntime resizes uint8 as Pillow does
but for rounding: pixels differed by at most 3 of 255. The sizes and the offset of the crop are torchvision's to the pixel. Needs opset 18.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper
from PIL import Image
from timm.data.constants import DEFAULT_CROP_PCT
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.samples import sample_pixels
from nasarch.export.source.config import configuration, describe

from .check import Agreement, clear_classes, variation
from .graph import BATCH, HEIGHT, OPSET, WIDTH, opset_of
from .session import run
from .uint8_input import PIXELS, Scaling, scaling_nodes

RESIZING = "inside, with resizing"  # property `preprocessing`
MODES: dict[str, dict[str, Any]] = {  # as Pillow has them
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
}
COUNT = 2  # images of each size that a file is checked with


def with_resizing(proto: onnx.ModelProto, model: nn.Module, shape: tuple[int, int, int], scaling: Scaling) -> onnx.ModelProto:
    """The graph `proto`, which takes `pixel_values` of `shape`, with resizing, crop and scaling before it.

    Raises:
        ExportError: the model is not for square images, or prepares them in another way, or the opset is older than 18.
    """
    channels, side, width = shape
    config = configuration(model)
    interpolation, mode = config.get("interpolation") or "bilinear", config.get("crop_mode") or "center"
    if side != width or mode != "center" or interpolation not in MODES:
        kind = f"{side}x{width} pixels, {interpolation} interpolation, crop mode {mode}"
        raise ExportError(f"{describe(model)} takes {kind}; --any-size needs square images, bilinear or bicubic, and center")
    if opset_of(proto) < OPSET:
        raise ExportError(f"opset {opset_of(proto)} resizes without antialiasing; leave --opset out, or choose {OPSET} or more")
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    constants = {
        "side_resized": [math.floor(side / (config.get("crop_pct") or DEFAULT_CROP_PCT))],
        "side": [side],
        "one": [1],
        "two": [2],
        **{f"number_{i}": i for i in range(channels)},
        "height_width": [2, 3],
        "shape_cropped": [0, channels, side, side],
    }
    name = "any_size_{}".format
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        *[("Gather", [PIXELS, f"number_{i}"], f"channel_{i}", {"axis": 3}) for i in range(channels)],
        *[("Unsqueeze", [f"channel_{i}", "one"], f"map_{i}", {}) for i in range(channels)],
        ("Concat", [f"map_{i}" for i in range(channels)], "nchw", {"axis": 1}),  # no Transpose, which onnxruntime moves behind Resize
        ("Shape", ["nchw"], "sides", {"start": 2, "end": 4}),
        ("ReduceMin", ["sides"], "shorter", {"keepdims": 1}),
        ("Mul", ["sides", "side_resized"], "product", {}),
        ("Div", ["product", "shorter"], "sides_resized", {}),  # integers: rounded down, as torchvision's
        (
            "Resize",
            ["nchw", "", "", "sides_resized"],
            "resized",
            {"antialias": 1, "axes": [2, 3], **MODES[interpolation]},
        ),
        ("Sub", ["sides_resized", "side"], "margin", {}),
        ("Div", ["margin", "two"], "half", {}),
        ("Mod", ["margin", "two"], "odd", {}),
        ("Mod", ["half", "two"], "odd_half", {}),
        ("Mul", ["odd", "odd_half"], "up", {}),  # Python's round(): halves to the even number
        ("Add", ["half", "up"], "start", {}),
        ("Add", ["start", "side"], "end", {}),
        ("Slice", ["resized", "start", "end", "height_width"], "cropped", {}),
        ("Reshape", ["cropped", "shape_cropped"], "image", {}),
    ]
    nodes = [
        helper.make_node(kind, [one if one in ("", PIXELS) else name(one) for one in taken], [name(given)], name(f"node_{given}"), **how)
        for kind, taken, given, how in steps
    ]
    scaled, weights = scaling_nodes(name("image"), scaling)
    nodes += [*scaled, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(PIXELS, onnx.TensorProto.UINT8, [BATCH, HEIGHT, WIDTH, channels]))
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value, np.int64), name(key)) for key, value in constants.items())
    graph.initializer.extend(weights)
    return result


def image_sizes(side: int) -> list[tuple[int, int]]:
    """Heights and widths that a file for images of `side` pixels is checked with: landscape, portrait, square, smaller."""
    return [(2 * side + 3, 3 * side + 1), (3 * side + 2, 2 * side - 1), (4 * side, 4 * side), (side // 2 + 1, side)]


@torch.inference_mode()
def compare_resized(
    reference: nn.Module,
    session: onnxruntime.InferenceSession,
    shape: tuple[int, int, int],
    scaling: Scaling,
    transform: Callable[[Image.Image], Any],
) -> Agreement:
    """The logits of images of several sizes against those of `reference` for what timm's `transform` makes of them.

    They may differ by no more than they do when every pixel of the prepared images is changed by one of 255 at random: about ten times
    what the rounding of the resizing does. Another interpolation, or a crop that is a pixel away, does more.
    """
    generator = torch.Generator().manual_seed(0)
    prepared, answers = [], []
    for height, width in image_sizes(shape[1]):
        pixels = sample_pixels(COUNT, shape[0], height, width)
        images = [Image.fromarray(one.squeeze(2).numpy() if shape[0] == 1 else one.numpy()) for one in pixels]
        prepared += [torch.as_tensor(transform(image)).permute(1, 2, 0) for image in images]
        answers.append(run(session, pixels))
    exact = torch.stack(prepared)
    signs = 2 * torch.randint(0, 2, exact.shape, generator=generator) - 1
    changed = (exact.int() + signs).clamp(0, 255).to(torch.uint8)
    logits, other = (reference(scaling.images(one)).double() for one in (exact, changed))
    outputs: Tensor = torch.cat(answers).double()
    if outputs.shape != logits.shape:
        raise ExportError(f"onnxruntime's logits have shape {list(outputs.shape)}, PyTorch's {list(logits.shape)}; report the model")
    tolerance = (other - logits).abs().max().item() + 10 * torch.finfo(torch.float32).eps * logits.abs().max().item()
    clear = clear_classes(logits, outputs, tolerance)
    return Agreement((outputs - logits).abs().max().item(), tolerance, variation(logits), tolerance, *clear)
