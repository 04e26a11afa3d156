"""`features_only=True`: the maps of a network as a list, for detection and segmentation."""

# Annotations are values here, not strings: TorchScript reads those of `forward`.
from collections.abc import Sequence
from copy import deepcopy

import torch
from timm.models import FeatureInfo
from torch import Tensor, nn

from .network import CellNetwork


class Features(nn.Module):
    """Images [B, in_chans, H, W] -> the maps `out_indices` of `model.feature_info`, largest first; what they don't need is removed.

    timm's own wrapper of this kind can neither be scripted with a typed output nor asked for gradient checkpointing.
    """

    def __init__(self, model: CellNetwork, out_indices: int | Sequence[int]) -> None:
        super().__init__()
        indices = out_indices if isinstance(out_indices, int) else list(out_indices)
        taken = sorted(set(model.prune_intermediate_layers(indices, prune_norm=True)))
        self.feature_info = FeatureInfo(deepcopy(model.feature_info), tuple(taken))
        self.ends = [model.feature_ends[i] for i in taken]
        self.model = model

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.model.set_grad_checkpointing(enable)

    @torch.jit.ignore
    def set_drop_path(self, rate: float) -> None:
        self.model.set_drop_path(rate)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.model.collect(x, self.ends, self.ends[-1])[1]
