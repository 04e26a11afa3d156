"""Evaluation of a classifier on a part of a data set: loss and top-1 and top-5 accuracy over all its images, not augmented."""

from __future__ import annotations

from typing import NamedTuple

import torch
from timm.utils import accuracy
from torch import nn
from torch.nn import functional as F

from nasarch.data.dataset import Dataset, Images
from nasarch.data.image_files import Files
from nasarch.data.loader import in_order
from nasarch.runtime import distributed

TOP = 5  # top-5 accuracy; top-k where there are only k classes


class Score(NamedTuple):
    """Means over the images: cross entropy, and accuracies in percent; `top5` is None where there are fewer than five classes."""

    images: int
    loss: float
    top1: float
    top5: float | None


@torch.no_grad()
def evaluate(net: nn.Module, part: Images | Files, data: Dataset, *, batch_size: int, device: torch.device, workers: int | None) -> Score:
    """Loss and accuracy on the images of `part`, in the precision of the weights.

    Each of several processes evaluates its share of the images; all have to call this at the same time.
    """
    net.eval()
    share = part.subset(torch.arange(distributed.rank(), len(part), distributed.world_size())) if distributed.world_size() > 1 else part
    top = min(TOP, data.num_classes)
    sums = torch.zeros(3, dtype=torch.float64, device=device if device.type != "mps" else "cpu")
    for x, y in in_order(share, data, batch_size=batch_size, device=device, workers=workers):
        logits = net(x).float()
        first, best = (percent * len(y) for percent in accuracy(logits, y, topk=(1, top)))
        sums += torch.stack([F.cross_entropy(logits, y, reduction="sum"), first, best]).to(sums)
    loss, first, best = (value / len(part) for value in distributed.all_reduce_sum(sums.tolist(), device))
    return Score(len(part), loss, first, best if data.num_classes >= TOP else None)
