"""Where a literal search takes place, and the two halves of its steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nasarch.cells.space import DARTS, Space
from nasarch.data.dataset import Dataset

from .cells import Derived
from .data import Batch, Side, split
from .gradients import ArchitectureWeights, grad
from .network import Network, cross_entropy
from .optimisers import Adam, Sgd
from .record import Ended, Epoch, Meter
from .softmaxes import Allowed


@dataclass(frozen=True)
class LiteralSetup:
    """The data, the space and the seed of a search; `parts` are the images of either side, in place of a split by the seed."""

    data: Dataset
    seed: int = 0
    space: Space = DARTS
    parts: tuple[list[int], list[int]] | None = None

    def sides(self, settings: Any, fractions: tuple[float, float]) -> tuple[Side, Side]:
        """One side for the weights and one for the architecture; their orders have the seeds 2 s and 2 s + 1."""
        weights, arch = self._parts(fractions)
        return tuple(Side(self.data, part, settings.batch_size, 2 * self.seed + i) for i, part in enumerate((weights, arch)))  # type: ignore[return-value]

    def whole(self, settings: Any) -> Side:
        """The images of both sides together, in ascending order, for one level."""
        weights, arch = self._parts(settings.fractions)
        return Side(self.data, sorted([*weights, *arch]), settings.batch_size, 2 * self.seed)

    def _parts(self, fractions: tuple[float, float]) -> Sequence[list[int]]:
        return self.parts or split(self.data.train.labels.tolist(), fractions, self.seed)

    def network(self, allowed: Allowed, *, stage: int = 0, space: Space | None = None, **shape: Any) -> Network:
        """Stage 1 draws its weights by the next seed."""
        size, classes = min(self.data.size), self.data.num_classes
        return Network(space or self.space, allowed, seed=self.seed + stage, size=size, num_classes=classes, **{"partial": 1, **shape})


class Learner:
    """A network and architecture parameters, each with its optimiser."""

    def __init__(
        self, net: Network, arch: Sequence[Tensor], weights: ArchitectureWeights, settings: Any, ended: Ended, *, stage: Any = None
    ) -> None:
        self.net, self.arch, self.weights, self.ended = net, list(arch), weights, ended
        self.sgd = Sgd(net.parameters, momentum=settings.momentum, weight_decay=settings.weight_decay, clip=settings.clip)
        self.adam = Adam(self.arch, rate=settings.arch_lr, betas=(stage or settings).arch_betas, weight_decay=settings.arch_weight_decay)
        self.meter = Meter()

    def move_architecture(self, gradients: Sequence[Tensor]) -> None:
        self.adam.step(gradients)
        self.ended.steps.append(("architecture", self.adam.rate))

    def move_weights(self, train: Batch, rate: float) -> None:
        """w <- w - rate * d L_train(w, alpha) / d w."""
        logits = self.net.logits(train[0], *self.weights())
        loss = cross_entropy(logits, train[1])
        self._move_weights(grad(loss, self.net.parameters), rate)
        self.meter.add(loss.detach(), logits, train[1])

    def move_both(self, train: Batch, rate: float) -> None:
        """DOTS eq. 12: both by the gradients of one pass."""
        logits = self.net.logits(train[0], *self.weights())
        loss = cross_entropy(logits, train[1])
        slopes = grad(loss, [*self.net.parameters, *self.arch])
        self._move_weights(slopes[: len(self.net.parameters)], rate)
        self.move_architecture(slopes[len(self.net.parameters) :])
        self.meter.add(loss.detach(), logits, train[1])

    def _move_weights(self, gradients: Sequence[Tensor], rate: float) -> None:
        self.sgd.step(gradients, rate)
        self.ended.steps.append(("weights", rate))

    def end_epoch(
        self,
        derived: Derived,
        tables: tuple[Tensor, Tensor],
        *,
        rate: float,
        temperature: float = 1.0,
        pairs: dict[tuple[int, int], Tensor] | None = None,
    ) -> None:
        """Write the epoch down, and begin to count again."""
        loss, accuracy = self.meter.means()
        self.ended.epochs.append(Epoch(loss, accuracy, rate, temperature, derived, *tables, pairs or {}))
        self.meter = Meter()


def cosine(first: float, last: float, epoch: int, epochs: int) -> float:
    """The rate of epoch 0 ... epochs - 1: SGDR (Loshchilov and Hutter 2017) eq. 5 without restarts."""
    return last + 0.5 * (first - last) * (1 + math.cos(epoch * math.pi / epochs))
