"""Batches of images with boxes, and a small detector for them."""

from __future__ import annotations

import torch

from nasarch.export.detection.loader import Batch

MEAN, STD = (0.1, 0.4, 0.8), (0.2, 0.5, 0.9)

BOXES = [
    ([[5.0, 8.0, 30.0, 31.0], [20.0, 3.0, 60.0, 22.0], [40.0, 40.0, 47.0, 44.0]], [2, 1, 2]),
    ([], []),
    ([[1.0, 30.0, 25.0, 62.0]], [1]),
]


def batch_of(seed: int = 0) -> Batch:
    pixels = torch.randint(256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    targets = [{"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)} for boxes, labels in BOXES]
    return Batch(pixels, targets)
