"""timm's well-known network that costs about as much as a given one: by multi-adds at its own image size, counted without computing."""

from __future__ import annotations

import math
from typing import NamedTuple

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

RIVALS = (
    *("lcnet_050", "mobilenetv3_small_100", "mobilenetv2_050", "mobilenetv3_large_100", "regnety_002", "mobilenetv2_100", "mnasnet_100"),
    *("efficientnet_lite0", "efficientnet_b0", "regnety_004", "mobilenetv2_110d", "mobilenetv2_140", "regnety_006", "mobilenetv2_120d"),
    *("efficientnet_b1", "regnety_008", "resnet18", "densenet121", "resnet34", "resnet50", "nasnetalarge", "pnasnet5large"),
)


class Baseline(NamedTuple):
    """A timm model and what one image [C, H, W] of its own size costs it."""

    name: str
    input_size: tuple[int, int, int]
    multi_adds: int


def nearest(multi_adds: int) -> Baseline:
    """The one of `RIVALS` whose multi-adds are the fewest times more or less than `multi_adds`."""
    return min(map(_rival, RIVALS), key=lambda rival: abs(math.log(rival.multi_adds / max(multi_adds, 1))))


def _rival(name: str) -> Baseline:
    with torch.device("meta"):
        model = timm.create_model(name).eval()
    size = model.pretrained_cfg["input_size"]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *size, device="meta"))
    return Baseline(name, tuple(size), counter.get_total_flops() // 2)
