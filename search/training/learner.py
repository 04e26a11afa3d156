"""Trainer of a fixed network: one step, and the training as a generator of progress. Knows no files and no test images.

Of a network with an auxiliary head the loss is that of the classifier plus `aux_weight` times that of the head (Szegedy et al. 2015).
Loss, gradients and optimizer are as in the papers' code: mean cross entropy, SGD, the gradient's norm clipped.

What chance decides in a step (drop path, mixup, colours) depends on the seed, the step and the process alone, so a training that goes
on from its checkpoint makes the same steps, bit for bit on a CPU. Torch's and, for mixup, NumPy's global generators are seeded for it.

On a CPU weights and images lie channels last: measured on one thread (pc_darts_cifar, 32x32 pixels) a step took 1.02 s instead of 1.28
(5 cells, 16 channels, batch 64), 1.81 s instead of 2.60 (8 cells, 36 channels, batch 32). Not in bfloat16: there torch 2.15's gradient
of a depthwise convolution of stride 2 on a map of one pixel is memory that nobody wrote.

Several processes average their gradients; the running statistics of BN are averaged when the state is saved, which does not change a
step, but after a stop within an epoch these statistics are not bit for bit those of an unbroken training.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from timm.data import Mixup
from timm.data.mixup import mixup_target
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from nasarch.data.loader import Batch, BatchLoader
from nasarch.models.network import CellNetwork
from nasarch.runtime import distributed, optimizers
from nasarch.runtime.captured import Captured
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.loop import Position, run_epochs
from nasarch.runtime.meter import REMEDY, Meter
from nasarch.runtime.optimizers import load_state, set_rate, state_of
from nasarch.search.kernels.fast_depthwise import use_fast_depthwise

from .colour_jitter import jittered
from .recipes import Training
from .recomputation import recompute_activations
from .weights import check_fit, check_same

STAGE = "training"  # its name in the checkpoint


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training is. Loss (what is minimised) and accuracy (0 to 1) are means over the images that this epoch has seen so far."""

    epoch: int  # 1 to epochs
    epochs: int
    step: int  # 1 to steps, within the epoch
    steps: int
    loss: float
    accuracy: float
    images_per_second: float
    learning_rate: float  # of the epoch's first step; during a short warm-up it rises within the epoch
    drop_path: float

    @property
    def ends_epoch(self) -> bool:
        return self.step == self.steps


class DropPathNetwork(Protocol):
    """A network with drop path."""

    def set_drop_path(self, rate: float, on: str = "edges") -> None: ...

    def train(self) -> Any: ...


class Trainable(Protocol):
    """What `fit` trains: a `Learner`, or several networks as one (search/fused/learner.py)."""

    device: torch.device
    settings: Training

    def start_epoch(self, epoch: int) -> tuple[float, float]: ...

    def step(self, batch: Batch, number: int) -> tuple[Tensor, Tensor]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Learner:
    """A network, its optimizer, and one step of them.

    Args:
        seed: random seed of drop path, mixup and colour jitter.
        mean_std: by which the images were normalised.
        precision: autocast type of the network's arithmetic; None for that of the weights. float16 is trained with loss scaling.
        steps: number of steps in an epoch, for a warm-up of the learning rate within one; without it the rate changes by the epoch.
        capture: record the steps as CUDA graphs and replay them, where the network is on CUDA.
        recompute: recompute activations in the backward pass instead of keeping them.
    """

    def __init__(
        self,
        net: CellNetwork,
        settings: Training,
        *,
        seed: int,
        mean_std: tuple[tuple[float, ...], tuple[float, ...]],
        precision: torch.dtype | None = None,
        steps: int | None = None,
        capture: bool = False,
        recompute: bool = False,
    ) -> None:
        self.device = next(net.parameters()).device
        self.is_channels_last = self.device.type == "cpu" and precision is None
        net = use_fast_depthwise(net.to(memory_format=torch.channels_last)) if self.is_channels_last else net
        self.net = recompute_activations(net) if recompute else net
        self.settings, self.seed, self.precision, self.steps = settings, seed, precision, steps
        self.optimizer = sgd(net, settings)
        self.ema = ModelEmaV3(net, settings.ema, use_warmup=True) if settings.ema else None
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == torch.float16)
        smoothing, classes = settings.label_smoothing, net.num_classes
        self.loss: nn.Module = LabelSmoothingCrossEntropy(smoothing) if smoothing else nn.CrossEntropyLoss()
        self.mixup = Mixup(settings.mixup, label_smoothing=smoothing, num_classes=classes) if settings.mixup else None
        self.mean, self.std = torch.tensor(mean_std, device=self.device)[..., None, None]
        self.update = Captured(self._update, enabled=capture)

    def start_epoch(self, epoch: int) -> tuple[float, float]:
        """Learning rate and drop path of the epoch, which are set here."""
        rate, drop = begin_epoch(self.net, self.optimizer, self.settings, epoch)
        self.update.set_constant(drop)
        return rate, drop

    def step(self, batch: Batch, number: int) -> tuple[Tensor, Tensor]:
        """Step `number` of the training: returns its mean loss, and how many of the images were classified correctly."""
        self._set_rate(number)
        x, y = batch
        chance = random.Random(f"{self.seed} {distributed.rank()} {number}")
        torch.manual_seed(chance.getrandbits(63))
        if self.settings.colour_jitter:
            generator = torch.Generator().manual_seed(chance.getrandbits(63))
            x = (jittered(x * self.std + self.mean, self.settings.colour_jitter, generator) - self.mean) / self.std
        target = y
        if self.mixup is not None:
            np.random.seed(chance.getrandbits(32))
            x, target = mixed(x, y, self.mixup)
        loss, correct = self.update(x, target, y)
        if self.ema is not None:
            self.ema.update(self.net, step=number + 1)
        return loss, correct

    def _update(self, x: Tensor, target: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Descend the loss: it, and how many of the images were classified correctly."""
        logits, loss = self._loss(x, target)
        self.scaler.scale(loss).backward()
        parameters = list(self.net.parameters())
        distributed.all_reduce_mean(parameter.grad for parameter in parameters)
        self.scaler.unscale_(self.optimizer)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), (logits.detach().argmax(1) == y).sum()

    def _set_rate(self, number: int) -> None:
        """The rate of step `number`, where an epoch's steps are known: a warm-up may rise, and end, within an epoch."""
        if self.steps:
            set_rate(self.optimizer, self.settings.learning_rate(number / self.steps))

    def _loss(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        criterion = self.loss if target.ndim == 1 else SoftTargetCrossEntropy()
        if self.is_channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not None):
            output = self.net(x)
        if not isinstance(output, tuple):
            return output, criterion(output.float(), target)
        logits, auxiliary = output
        return logits, criterion(logits.float(), target) + self.settings.aux_weight * criterion(auxiliary.float(), target)

    def result(self) -> CellNetwork:
        """The network that is tested and saved: the trained one, or its exponential moving average."""
        return self.net if self.ema is None else self.ema.module

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on. All processes have to call this at the same time."""
        for net in (self.net, self.result()):
            distributed.all_reduce_mean([buffer for buffer in net.buffers() if buffer.is_floating_point()])
        distributed.check_same(repr(self.net.fc.weight.sum().item()) if distributed.world_size() > 1 else "", "weights")
        return {
            "net": self.net.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": state_of(self.optimizer),
            "scaler": self.scaler.state_dict(),
            "cells": self.net.genotype.to_dict()["cells"],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError if it is the state of another network: says which weights differ."""
        check_fit(self.net, state["net"], "the checkpoint")
        check_same(self.net, state["cells"], "the checkpoint is")
        self.net.load_state_dict(state["net"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        load_state(self.optimizer, state["optimizer"])
        if state["scaler"]:  # empty where nothing is scaled
            self.scaler.load_state_dict(state["scaler"])


def mixed(x_BCHW: Tensor, y_B: Tensor, mixup: Mixup) -> tuple[Tensor, Tensor]:
    """The images mixed in pairs, and their targets [B, K]; of an odd number, as a last batch may have, the last image stays as it is."""
    pairs = len(y_B) - len(y_B) % 2
    x, target = mixup(x_BCHW[:pairs].clone(), y_B[:pairs])
    if pairs == len(y_B):
        return x, target
    alone = mixup_target(y_B[pairs:], mixup.num_classes, 1.0, mixup.label_smoothing)
    return torch.cat([x, x_BCHW[pairs:]]), torch.cat([target, alone])


def sgd(net: nn.Module, settings: Training) -> torch.optim.SGD:
    """SGD by the settings: torch's, which is what timm's `momentum` and, with Nesterov's, `sgd` are.

    Weight decay is of all weights, as in the papers' code; timm's `create_optimizer_v2` leaves biases and BN out by default.
    """
    decay, nesterov = settings.weight_decay, settings.nesterov
    return optimizers.sgd(net.parameters(), settings.lr, settings.momentum, weight_decay=decay, nesterov=nesterov)


def begin_epoch(net: DropPathNetwork, optimizer: torch.optim.Optimizer, settings: Training, epoch: int) -> tuple[float, float]:
    """Set the learning rate and the drop path of the epoch; returns them."""
    rate, drop = settings.learning_rate(epoch), settings.drop_path_rate(epoch)
    set_rate(optimizer, rate)
    net.set_drop_path(drop, settings.drop_path_on)
    net.train()
    return rate, drop


def fit(learner: Trainable, loader: BatchLoader, checkpoint: Checkpoint) -> Iterator[Progress]:
    """Train over the loader's batches, from where the checkpoint is; report twice a second and at an epoch's end, and save the state there.

    Raises:
        ValueError: the loss is not finite; the checkpoint then holds the state before this epoch. Or the checkpoint is of another network.
        KeyboardInterrupt: the checkpoint asked for a stop, after a step, and holds the state.
    """
    yield from run_epochs(TrainingStage(learner, loader), checkpoint)


class TrainingStage:
    """The training of a `Learner`, as `run_epochs` drives it."""

    def __init__(self, learner: Trainable, loader: BatchLoader) -> None:
        self.name, self.device, self.remedy = STAGE, learner.device, REMEDY
        self.report_steps: int | None = None
        self.learner, self.loader, self.epochs = learner, loader, learner.settings.epochs
        self.batches: Iterable[Batch] = loader
        self.steps, self.total_steps = len(loader), self.epochs * len(loader)

    def start_epoch(self, epoch: int) -> None:
        self.learning_rate, self.drop_path = self.learner.start_epoch(epoch)

    def step(self, batch: Batch, number: int, meter: Meter) -> None:
        loss, correct = self.learner.step(batch, number)
        count = len(batch[1])
        meter.add(loss, (loss * count, correct), count, images=count)

    def report(self, position: Position, means: Sequence[float]) -> Progress:
        return Progress(
            **position._asdict(),
            epochs=self.epochs,
            loss=means[0],
            accuracy=means[1],
            learning_rate=self.learning_rate,
            drop_path=self.drop_path,
        )

    def state_dict(self, *, is_over: bool) -> dict[str, Any]:
        return self.learner.state_dict() | {"loader": self.loader.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.learner.load_state_dict(state)
        self.loader.load_state_dict(state["loader"])
