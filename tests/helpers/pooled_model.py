"""A model of three logits whose graph is made by hand, and the properties of a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from tests.helpers.exported import graph_of

MEAN, STD = (0.1, 0.4, 0.8), (0.2, 0.5, 0.9)


class Pooled(nn.Module):
    """Three logits of the mean colour; images of any size in multiples of 2."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[3.0, -1, 0.5], [-1, 2, 1], [0.2, 1, -2]]))
            self.fc.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
        self.feature_info = [{"reduction": 1}, {"reduction": 2}]
        told = {"architecture": "pooled", "input_size": (3, 6, 8), "mean": MEAN, "std": STD, "interpolation": "bicubic", "crop_pct": 0.75}
        self.pretrained_cfg = {**told, **config}

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


def graph(reference: nn.Module, shape: Sequence[int], multiple: int | None = None) -> onnx.ModelProto:
    """What torch would make of it, within milliseconds."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
    ]
    layer: Any = reference.fc
    ends = shape if multiple is None else (shape[0], "height", "width")
    return graph_of(nodes, ends, 3, w=layer.weight.detach().numpy(), b=layer.bias.detach().numpy())


def told(path: Path) -> dict[str, str]:
    return {one.key: one.value for one in onnx.load(path).metadata_props}
