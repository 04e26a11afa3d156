"""The largest eigenvalue of a Hessian, from products with vectors alone. Knows no method and no network.

Of the validation loss in the architecture parameters it says how sharp the minimum is that a search sits in: Zela et al. 2020
("Understanding and Robustifying Differentiable Architecture Search") stop when it grows, FTSO Fig. 4c and 4d draw it by epoch and by
iteration beside the accuracy of what was found.

    H v = d (g . v) / d p,  g = d L / d p        (Pearlmutter 1994: one backward pass through the gradient)
    v <- H v / |H v|,  eigenvalue = v . H v      (power iteration, Rayleigh quotient)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def largest_eigenvalue(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], *, iterations: int = 20, tolerance: float = 1e-3, seed: int = 0
) -> float:
    """The eigenvalue of largest absolute value, with its sign, of the Hessian of `loss()` in `parameters` taken as one vector.

    The loss is computed once; 0.0 if it is linear in the parameters or does not depend on them. Where a second eigenvalue is nearly
    as large, the result lies between the two: more iterations and a smaller tolerance part them.

    Args:
        iterations: products with the Hessian at most; each costs about two backward passes.
        tolerance: stop when the estimate changes by less than this part of itself.
        seed: of the start vector.
    """
    value = loss()
    if not value.requires_grad:
        return 0.0
    slope = torch.autograd.grad(value, list(parameters), create_graph=True, allow_unused=True, materialize_grads=True)
    vector, estimate = _unit(_start(parameters, seed)), math.nan
    for _ in range(iterations):
        product = _product(slope, parameters, vector)
        before, estimate = estimate, _dot(vector, product)
        if _dot(product, product) == 0:
            return 0.0
        if abs(estimate - before) <= tolerance * abs(estimate):
            break
        vector = _unit(product)
    return estimate


def _start(parameters: Sequence[Tensor], seed: int) -> list[Tensor]:
    """Drawn on the CPU, so that every device starts alike."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p) for p in parameters]


def _product(slope: Sequence[Tensor], parameters: Sequence[Tensor], vector: Sequence[Tensor]) -> list[Tensor]:
    """The Hessian times `vector`. Parts of the gradient that are constant have no graph, and add nothing."""
    pairs = [(g, v) for g, v in zip(slope, vector, strict=True) if g.requires_grad]
    if not pairs:
        return [torch.zeros_like(p) for p in parameters]
    parts, weights = zip(*pairs, strict=True)
    found = torch.autograd.grad(parts, list(parameters), grad_outputs=weights, retain_graph=True, allow_unused=True, materialize_grads=True)
    return list(found)


def _unit(vector: Sequence[Tensor]) -> list[Tensor]:
    norm = math.sqrt(_dot(vector, vector))
    return [v / norm for v in vector]


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return float(sum((x.detach().double() * y.detach().double()).sum() for x, y in zip(a, b, strict=True)))
