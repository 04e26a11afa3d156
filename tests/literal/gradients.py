"""The gradients of a step: of the weights, and of the architecture in the three orders of DARTS."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from .data import Batch
from .network import Network, cross_entropy
from .optimisers import Sgd

ArchitectureWeights = Callable[[], tuple[Tensor, Tensor]]  # operation weights [Z, E, O] and edge weights [Z, E], from alpha and beta


def grad(loss: Tensor, inputs: Sequence[Tensor], **options: bool) -> list[Tensor]:
    """Zeros where the loss does not depend on an input."""
    return list(torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True, **options))


def first_order(net: Network, arch: Sequence[Tensor], weights: ArchitectureWeights, valid: Batch) -> list[Tensor]:
    """d L_val(w, alpha) / d alpha (Liu et al. 2019, sec. 2.3 with xi = 0)."""
    return grad(net.loss(valid, weights()), arch)


def finite_differences(
    net: Network, arch: Sequence[Tensor], weights: ArchitectureWeights, train: Batch, valid: Batch, sgd: Sgd, rate: float
) -> list[Tensor]:
    """Eq. 7 and 8: d L_val(w') / d alpha - xi (d L_train(w+) - d L_train(w-)) / d alpha / (2 h), h = 0.01 / |d L_val(w') / d w'|."""
    before = [w.detach().clone() for w in net.parameters]
    unrolled = sgd.unrolled(grad(net.loss(train, weights()), net.parameters), rate)
    _put(net, unrolled)
    both = grad(net.loss(valid, weights()), [*arch, *net.parameters])
    direct, v = both[: len(arch)], both[len(arch) :]
    h = 0.01 / math.sqrt(sum(float((g * g).sum()) for g in v))
    _put(net, [w + h * g for w, g in zip(before, v, strict=True)])
    plus = grad(net.loss(train, weights()), arch)
    _put(net, [w - h * g for w, g in zip(before, v, strict=True)])
    minus = grad(net.loss(train, weights()), arch)
    _put(net, before)
    return [d - rate * (p - m) / (2 * h) for d, p, m in zip(direct, plus, minus, strict=True)]


@torch.no_grad()
def _put(net: Network, values: Sequence[Tensor]) -> None:
    for w, value in zip(net.parameters, values, strict=True):
        w.copy_(value)


def through_the_step(
    net: Network, arch: Sequence[Tensor], weights: ArchitectureWeights, train: Batch, valid: Batch, sgd: Sgd, rate: float
) -> list[Tensor]:
    """Eq. 5 and 6: d L_val(w - xi * step(w, alpha), alpha) / d alpha, the weight step itself differentiated."""
    slope = grad(net.loss(train, weights()), net.parameters, create_graph=True)
    after = dict(zip(dict(net.twin.named_parameters()), sgd.unrolled(slope, rate), strict=True))
    return grad(cross_entropy(functional_call(net.twin, after, (valid[0], *weights())), valid[1]), arch)
