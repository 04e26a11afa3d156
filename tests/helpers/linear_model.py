"""A linear model that anyone can compute, and its graph."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from tests.helpers.exported import graph_of

EPS32, EPS16 = 2.0**-23, 2.0**-10


class Linear(nn.Module):
    """Three logits that anyone can compute: W x + b."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(scale * torch.randn(3, 48, generator=generator) / 8)
        self.bias = nn.Parameter(torch.zeros(3))
        self.pretrained_cfg = {"input_size": (3, 4, 4), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias

    def graph(self, weight: np.ndarray | None = None, bias: np.ndarray | None = None) -> onnx.ModelProto:
        nodes = [
            helper.make_node("Flatten", ["pixel_values"], ["flat"], axis=1),
            helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
        ]
        w, b = (own.detach().numpy() if given is None else given for own, given in ((self.weight, weight), (self.bias, bias)))
        return graph_of(nodes, (3, 4, 4), 3, w=w.astype(np.float32), b=b.astype(np.float32))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def varies(logits: np.ndarray) -> float:
    """How much a logit varies from image to image."""
    return rms(logits - logits.mean(0))


def exactly(model: Linear, images: Tensor) -> np.ndarray:
    return images.double().flatten(1).numpy() @ model.weight.detach().double().numpy().T + model.bias.detach().double().numpy()


class Constant(nn.Module):
    """The same logits for all images, which float32 holds exactly: noise is what float32 could not hold."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1) + 0 * x.mean()


class FirstPixel(nn.Module):
    """`offset` plus `factor` times a pixel."""

    def __init__(self, offset: float, factor: float = 1.0) -> None:
        super().__init__()
        self.offset, self.factor = offset, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.offset + self.factor * x[:, 0, 0, :1]
