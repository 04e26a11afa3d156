"""Colour jitter of a batch of images on its device: brightness, contrast, saturation, hue. Knows no training.

As torchvision's ColorJitter(s, s, s, s / 2), which the papers' ImageNet training uses with s = 0.4, each image with factors of its own.

Note: torchvision draws the order of the four changes anew for each image and turns the hue in HSV; here they come in the order of its
arguments, and the hue is turned around the grey axis of YIQ, which needs no branches and so is one matrix product for the batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
TO_YIQ = (LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def jittered(x_BCHW: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """The jittered images [B, 3, H, W], levels 0 to 1; `generator` is one of the CPU, so that all devices draw the same."""
    draws = 2 * torch.rand(4, len(x_BCHW), generator=generator) - 1
    turns = turned(math.pi * strength * draws[3])  # half of the strength, in turns of 2 pi
    factors, turns, luma = (x.to(x_BCHW.device, non_blocking=True) for x in (1 + strength * draws[:3], turns, torch.tensor(LUMA)))
    brightness, contrast, saturation = factors[..., None, None, None]
    x = (x_BCHW * brightness).clamp(0, 1)
    x = x.lerp(_grey(x, luma).mean((2, 3), keepdim=True), 1 - contrast).clamp(0, 1)
    x = x.lerp(_grey(x, luma), 1 - saturation).clamp(0, 1)
    return torch.einsum("bdc,bchw->bdhw", turns, x).clamp(0, 1)


def turned(angle_B: Tensor) -> Tensor:
    """The matrices [B, 3, 3] that turn RGB's hue by the angles and leave greys as they are."""
    to_yiq = torch.tensor(TO_YIQ)
    c, s = angle_B.cos(), angle_B.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    rotation = torch.stack([one, zero, zero, zero, c, -s, zero, s, c]).T.reshape(-1, 3, 3)
    return torch.linalg.inv(to_yiq) @ rotation @ to_yiq


def _grey(x_BCHW: Tensor, luma: Tensor) -> Tensor:
    return torch.einsum("c,bchw->bhw", luma, x_BCHW)[:, None]
