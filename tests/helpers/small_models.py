"""Small forms of the zoo's models: few, narrow cells, small images."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

from nasarch.models import zoo

# One of each kind: both stems, both spaces, missing nodes, nodes of `none`, irregular concatenation, many edges.
KINDS = [
    *("pc_darts_cifar", "pc_darts_imagenet", "fair_darts_a_cifar_224", "snas_aggressive_cifar"),
    *("amoebanet_a_cifar", "bayesnas_0005_cifar_224", "ftso_nats_cifar"),
]


def small(name: str, **kwargs: Any) -> Any:
    """The model with five cells, which is one of each stage and normal cells after reduction cells; NATS-Bench: one a stage."""
    torch.manual_seed(0)
    cells = 1 if zoo.MODELS[name].network is zoo.NATS_BENCH else 5
    return timm.create_model(name, **{"cells": cells, "channels": 4, **kwargs})


def images(name: str, batch: int = 2, channels: int = 3) -> Tensor:
    size = 32 if zoo.MODELS[name].network.stem == "cifar" else 64
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(1))


def levels(name: str) -> list[int]:
    """The reductions of the feature maps."""
    return [1, 2, 4] if zoo.MODELS[name].network.stem == "cifar" else [2, 4, 8, 16, 32]


def without_gradient(model: nn.Module) -> list[str]:
    return [n for n, p in model.named_parameters() if p.grad is None]
