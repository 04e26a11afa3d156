"""Sharpness: the largest eigenvalue of the Hessian of the loss in the architecture parameters, by power iteration. Knows no method.

It says how sharp the minimum is that a search sits in: Zela et al. 2020 ("Understanding and Robustifying Differentiable Architecture
Search") stop when it grows, FTSO Fig. 4c and 4d draw it by epoch and by iteration beside the accuracy of what was found.

    H v = d (g . v) / d p,  g = d L / d p        (Pearlmutter 1994: one backward pass through the gradient)
    v <- H v / |H v|,  eigenvalue = v . H v      (power iteration, Rayleigh quotient)

Power iteration finds the eigenvalue of largest magnitude, whatever its sign, where the papers speak of the largest one. Both speak of the
loss on the validation set; here it is that of one batch, or of as many images as are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nasarch.data.loader import BatchLoader
from nasarch.search.supernet.channel_sampling import Sampler

from .updates import Batch, State, arch_loss

ITERATIONS, TOLERANCE = 20, 1e-3


class Sharpness:
    """The eigenvalue for a state of the search, {"eigenvalue": ...}, measured without a trace in the search.

    Always on the same images, without augmentation: of those that train the architecture, or, in a stage that trains weights and
    architecture on the same images, of all. Of several batches the loss is the mean over the images, each batch with its own statistics
    of BN; one batch is in memory at a time, and its passes are repeated in every iteration.

    Args:
        loaders: of the training images, and of the validation images if there are such.
        images: number of images, a batch by default.
    """

    def __init__(self, loaders: tuple[BatchLoader, BatchLoader | None], images: int | None = None) -> None:
        train, valid = loaders
        self.images = train if valid is None else valid
        self.count, self.batches = images or self.images.batch_size, list[Batch]()

    def __call__(self, state: State) -> Mapping[str, float]:
        self.batches = self.batches or self.images.samples(self.count)
        parameters = list(state.arch.parameters())
        with untouched(state.net):
            if len(self.batches) == 1:
                return {"eigenvalue": largest_eigenvalue(lambda: arch_loss(state, self.batches[0]), parameters)}
            return {"eigenvalue": power_iteration(lambda vector: self._product(state, parameters, vector), parameters)}

    def _product(self, state: State, parameters: Sequence[Tensor], vector: Sequence[Tensor]) -> list[Tensor]:
        """The Hessian of the mean loss of all batches, times `vector`."""
        total = [torch.zeros_like(p) for p in parameters]
        images = sum(len(y) for _, y in self.batches)
        with untouched(state.net):  # channels are drawn alike in every iteration
            for batch in self.batches:
                slope = _slope(arch_loss(state, batch), parameters)
                for part, product in zip(total, _product(slope, parameters, vector), strict=True):
                    part.add_(product, alpha=len(batch[1]) / images)
        return total


@contextmanager
def untouched(net: nn.Module) -> Iterator[None]:
    """Running statistics, and where the draws of sampled channels are, come back after the block."""
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    draws = [(module, module.get_extra_state()) for module in net.modules() if isinstance(module, Sampler)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for sampler, state in draws:
            sampler.set_extra_state(state)


def largest_eigenvalue(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor], *, iterations: int = ITERATIONS, tolerance: float = TOLERANCE, seed: int = 0
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
    slope = _slope(value, parameters)
    return power_iteration(
        lambda vector: _product(slope, parameters, vector), parameters, iterations=iterations, tolerance=tolerance, seed=seed
    )


def power_iteration(
    product_with: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    parameters: Sequence[Tensor],
    *,
    iterations: int = ITERATIONS,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> float:
    """The eigenvalue of largest absolute value of a symmetric matrix, given by its products with vectors of the parameters' shapes.

    The other arguments are those of `largest_eigenvalue`.
    """
    vector, estimate = _unit(_start(parameters, seed)), math.nan
    for _ in range(iterations):
        product = product_with(vector)
        before, estimate = estimate, _dot(vector, product)
        if _dot(product, product) == 0:
            return 0.0
        if abs(estimate - before) <= tolerance * abs(estimate):
            break
        vector = _unit(product)
    return estimate


def _slope(loss: Tensor, parameters: Sequence[Tensor]) -> Sequence[Tensor]:
    """The gradient, which can be differentiated again."""
    return torch.autograd.grad(loss, list(parameters), create_graph=True, allow_unused=True, materialize_grads=True)


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
    return [
        *torch.autograd.grad(parts, list(parameters), grad_outputs=weights, retain_graph=True, allow_unused=True, materialize_grads=True)
    ]


def _unit(vector: Sequence[Tensor]) -> list[Tensor]:
    norm = math.sqrt(_dot(vector, vector))
    return [v / norm for v in vector]


def _dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return float(sum((x.detach().double() * y.detach().double()).sum() for x, y in zip(a, b, strict=True)))
