"""Synthetic sample images, always the same: what exported files are compared, timed and traced with."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def sample_images(count: int, channels: int, height: int, width: int) -> Tensor:
    """Normalised images [count, C, H, W], always the same: large shapes and some grain (white noise alone looks all alike to a network)."""
    generator = torch.Generator(device="cpu").manual_seed(0)
    coarse = torch.randn(count, channels, 4, 4, generator=generator, device="cpu", dtype=torch.float32)
    grain = torch.randn(count, channels, height, width, generator=generator, device="cpu", dtype=torch.float32)
    return nn.functional.interpolate(coarse, size=(height, width), mode="bilinear") + 0.25 * grain


def sample_pixels(count: int, channels: int, height: int, width: int) -> Tensor:
    """The same as pixels, uint8 [count, H, W, C]."""
    images = 128 + 64 * sample_images(count, channels, height, width)
    return images.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
