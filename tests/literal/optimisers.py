"""The two optimisers of all five papers as formulas, on lists of parameters and of their gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Sgd:
    """v <- m v + (c g + wd w),  w <- w - rate v,  with the gradient of all weights scaled by c = min(1, clip / (|g| + 1e-6))."""

    def __init__(self, parameters: Sequence[Tensor], *, momentum: float, weight_decay: float, clip: float) -> None:
        self.parameters, self.momentum, self.weight_decay, self.clip = list(parameters), momentum, weight_decay, clip
        self.velocities: list[Tensor] | None = None
        self.norms: list[float] = []  # of the gradients, before they were clipped

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float) -> None:
        norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
        self.norms.append(norm)
        scale = min(1.0, self.clip / (norm + 1e-6))
        descents = [scale * g + self.weight_decay * w for g, w in zip(gradients, self.parameters, strict=True)]
        if self.velocities is not None:
            descents = [self.momentum * v + d for v, d in zip(self.velocities, descents, strict=True)]
        self.velocities = descents
        for w, v in zip(self.parameters, descents, strict=True):
            w -= rate * v

    def unrolled(self, gradients: Sequence[Tensor], rate: float) -> list[Tensor]:
        """The weights after the step that would follow, without clipping; differentiable in the gradients."""
        velocities = self.velocities or [torch.zeros_like(g) for g in gradients]
        return [
            w.detach() - rate * (self.momentum * v + g + self.weight_decay * w.detach())
            for w, v, g in zip(self.parameters, velocities, gradients, strict=True)
        ]


class Adam:
    """Kingma and Ba 2015 with L2 decay: g <- g + wd p, moments m and v of decay `betas`, p <- p - rate m' / (sqrt(v') + 1e-8)."""

    def __init__(self, parameters: Sequence[Tensor], *, rate: float, betas: tuple[float, float], weight_decay: float) -> None:
        self.parameters, self.rate, self.betas, self.weight_decay = list(parameters), rate, betas, weight_decay
        self.means = [torch.zeros_like(p) for p in parameters]
        self.squares = [torch.zeros_like(p) for p in parameters]
        self.steps = 0

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        self.steps += 1
        for i, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            g = g + self.weight_decay * p
            first, second = self.betas
            self.means[i] = first * self.means[i] + (1 - first) * g
            self.squares[i] = second * self.squares[i] + (1 - second) * g * g
            mean, square = self.means[i] / (1 - first**self.steps), self.squares[i] / (1 - second**self.steps)
            p -= self.rate * mean / (square.sqrt() + 1e-8)
