"""Preprocessing inside an ONNX graph: uint8 pixels in, scaled by mean and std; the same in PyTorch.

    pixel_values[b, c, h, w] = (pixels[b, h, w, c] / 255 - mean[c]) / std[c]

The graph of the form with the preprocessing inside takes `pixels`, uint8 [batch, H, W, C] as every image library gives them, and has four
more nodes: Transpose, Cast, Mul, Add. Resizing stays outside (any_size.py has it inside): other images are brought to the model's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.source.config import configuration, describe

from .graph import BATCH, INPUT

PIXELS = "pixels"


class Scaling(NamedTuple):
    """Mean and standard deviation of each channel, of pixels in 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def images(self, pixels: Tensor) -> Tensor:
        """uint8 [B, H, W, C] -> what the network sees, float32 [B, C, H, W]."""
        mean, std = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in self)
        return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def scaling_of(model: nn.Module, channels: int) -> Scaling:
    """What `model` says of itself.

    Raises:
        ExportError: it states no mean and std for that many channels.
    """
    config = configuration(model)
    mean, std = (tuple(float(value) for value in config.get(key) or ()) for key in ("mean", "std"))
    if not len(mean) == len(std) == channels:
        known = f"mean {list(mean)} and std {list(std)}" if mean or std else "no mean and std"
        raise ExportError(f"{describe(model)} states {known} for {channels} channel(s); set them in its pretrained_cfg, one a channel")
    return Scaling(mean, std)


def with_pixels(proto: onnx.ModelProto, scaling: Scaling) -> onnx.ModelProto:
    """The graph `proto`, which takes `pixel_values`, with the preprocessing before it."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    _, channels, height, width = (dim.dim_param or dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim)
    pixels_input = helper.make_tensor_value_info(PIXELS, onnx.TensorProto.UINT8, [BATCH, height, width, channels])
    scaled, weights = scaling_nodes("pixels_nchw", scaling)
    nodes = [
        helper.make_node("Transpose", [PIXELS], ["pixels_nchw"], perm=[0, 3, 1, 2], name="pixels_transpose"),
        *scaled,
        *graph.node,
    ]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(pixels_input)
    graph.initializer.extend(weights)
    return result


def scaling_nodes(pixels: str, scaling: Scaling) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants that make `pixel_values` of the tensor `pixels`, uint8 [batch, C, H, W]."""
    nodes = [
        helper.make_node("Cast", [pixels], ["pixels_float"], to=onnx.TensorProto.FLOAT, name="pixels_cast"),
        helper.make_node("Mul", ["pixels_float", "pixels_scale"], ["pixels_scaled"], name="pixels_mul"),
        helper.make_node("Add", ["pixels_scaled", "pixels_shift"], [INPUT], name="pixels_add"),
    ]
    constants = {
        "pixels_scale": [1 / (255 * std) for std in scaling.std],
        "pixels_shift": [-mean / std for mean, std in zip(scaling.mean, scaling.std, strict=True)],
    }
    return nodes, [_constant(name, values) for name, values in constants.items()]


def _constant(name: str, values: Sequence[float]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32)[:, None, None], name)
