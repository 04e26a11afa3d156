"""Training of fused networks on the same batches: one step, and the accuracy of each. Knows no files.

Each network's step is that of `Learner` in search/training/learner.py with the same seed, to rounding: its own mean loss, its own
gradient clipped by its own norm, plain SGD. `fit` there trains either.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasarch.data.dataset import Dataset, Images
from nasarch.data.image_files import Files
from nasarch.data.loader import Batch, in_order
from nasarch.runtime.captured import Captured
from nasarch.runtime.optimizers import load_state, state_of
from nasarch.search.kernels.fast_depthwise import use_fast_depthwise
from nasarch.search.training.learner import begin_epoch, sgd
from nasarch.search.training.recipes import Training

from .network import FusedNetwork

PLAIN = {  # of fused networks
    "aux_weight": 0.0,
    "label_smoothing": 0.0,
    "mixup": 0.0,
    "ema": 0.0,
    "colour_jitter": 0.0,
    "drop_path_on": "edges",
}


def can_fuse(settings: Training) -> bool:
    """Whether networks can be trained as one by these settings."""
    return all(getattr(settings, name) == value for name, value in PLAIN.items())


class FusedLearner:
    """A fused network, its optimizer, and one training step.

    Raises:
        ValueError: the settings ask for what fused networks are trained without.
    """

    def __init__(self, net: FusedNetwork, settings: Training, *, seed: int, capture: bool = False) -> None:
        for name, value in PLAIN.items():
            if getattr(settings, name) != value:
                raise ValueError(f"{name}={getattr(settings, name)}: networks are trained together with {name}={value} alone")
        self.device = next(net.parameters()).device
        self.is_cpu = self.device.type == "cpu"
        self.net = net
        if self.is_cpu:
            use_fast_depthwise(net.to(memory_format=torch.channels_last))
        self.settings, self.seed = settings, seed
        self.optimizer = sgd(net, settings)
        self.owners = [[part.network for part in net.parts[name]] for name, _ in net.named_parameters()]
        self.owner = torch.tensor(sum(self.owners, []), device=self.device)
        self.update = Captured(self._update, enabled=capture)

    def start_epoch(self, epoch: int) -> tuple[float, float]:
        """Learning rate and drop path of the epoch, which are set here."""
        rate, drop = begin_epoch(self.net, self.optimizer, self.settings, epoch)
        self.update.set_constant(drop)
        return rate, drop

    def step(self, batch: Batch, number: int) -> tuple[Tensor, Tensor]:
        """Step `number` of the training: mean loss and number of images classified rightly, of all networks on average."""
        torch.manual_seed(random.Random(f"{self.seed} 0 {number}").getrandbits(63))
        loss, correct = self.update(*batch)
        return loss, correct

    def _update(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.is_cpu:
            x = x.contiguous(memory_format=torch.channels_last)
        logits_NBK = self.net(x)
        loss_N = losses(logits_NBK, y).mean(1)
        loss_N.sum().backward()
        if self.settings.clip:
            self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss_N.detach().mean(), (logits_NBK.argmax(2) == y).sum() // self.net.count

    def _clip(self) -> None:
        """Each network's gradient to a norm of at most `clip`, as `clip_grad_norm_` does it."""
        gradients = [parameter.grad for parameter in self.net.parameters() if parameter.grad is not None]
        norms = [torch.linalg.vector_norm(g.reshape(len(own), -1), dim=1) for g, own in zip(gradients, self.owners, strict=True)]
        total_N = torch.zeros(self.net.count, dtype=norms[0].dtype, device=self.device).index_add_(0, self.owner, torch.cat(norms).square())
        scale_N = (self.settings.clip / (total_N.sqrt() + 1e-6)).clamp(max=1.0)
        scales = scale_N[self.owner].split([len(own) for own in self.owners])
        for g, scale in zip(gradients, scales, strict=True):
            g.mul_(scale.repeat_interleave(len(g) // len(scale)).view(-1, *[1] * (g.ndim - 1)))

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {"net": self.net.state_dict(), "optimizer": state_of(self.optimizer)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        load_state(self.optimizer, state["optimizer"])


def losses(logits_NBK: Tensor, y_B: Tensor) -> Tensor:
    """Cross entropy of each network on each image, [N, B]."""
    n, b, _ = logits_NBK.shape
    return F.cross_entropy(logits_NBK.flatten(0, 1), y_B.repeat(n), reduction="none").view(n, b)


@torch.no_grad()
def evaluate_each(
    net: FusedNetwork, part: Images | Files, data: Dataset, *, batch_size: int, device: torch.device, workers: int | None
) -> list[tuple[float, float]]:
    """(Accuracy in percent, mean loss) of each network on the images of the part."""
    net.eval()
    right_N = torch.zeros(net.count, dtype=torch.float64, device=device)
    loss_N = torch.zeros_like(right_N)
    for x, y in in_order(part, data, batch_size=batch_size, device=device, workers=workers):
        if device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        logits_NBK = net(x).float()
        right_N += (logits_NBK.argmax(2) == y).sum(1)
        loss_N += losses(logits_NBK, y).sum(1)
    return list(zip((100 * right_N / len(part)).tolist(), (loss_N / len(part)).tolist(), strict=True))
