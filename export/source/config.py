"""A model's timm configuration (`pretrained_cfg`) and identity: mean, std, input size, name, digest of its weights."""

from __future__ import annotations

import hashlib
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn


def digest(model: nn.Module) -> str:
    """sha256 of the weights in their own dtype, as `safetensors.torch.save` writes them without metadata."""
    weights = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in model.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(weights)).hexdigest()


def configure(model: Any, **changes: Any) -> None:
    """Change what `configuration` says of `model`."""
    model.pretrained_cfg = {**configuration(model), **changes}


def configuration(model: nn.Module) -> dict[str, Any]:
    """timm's `pretrained_cfg` of `model`, empty if it has none."""
    return dict(getattr(model, "pretrained_cfg", None) or {})


def describe(model: nn.Module) -> str:
    """What to call `model`: its timm name if it has one, else its class."""
    return (getattr(model, "pretrained_cfg", None) or {}).get("architecture") or type(model).__name__
