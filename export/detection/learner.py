"""Training a detector, as a generator of progress. Knows one step, the epochs and the checkpoint; no files, no evaluation.

The losses are torchvision's: cross entropy over the boxes that match and three times as many of the hardest others, and smooth L1 of the
offsets, both divided by the number of matches (Liu et al. 2016, eq. 1). They are computed in float32 whatever the network computes in.

Order, crops and colours depend on seed, epoch and image alone, so a training that goes on from its checkpoint makes the same steps, bit
for bit on a CPU. Several processes average their gradients, each with the losses and batch statistics of its own share of a batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from nasarch.export.ssd.detector import default_boxes
from nasarch.models.weight_files import check_fit
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint

from .coco import Scene
from .loader import Batch, Epochs, batches, transforms
from .settings import DetectTraining

INTERVAL = 0.5  # seconds between two reports within an epoch
STAGE = "detector"  # its name in the checkpoint


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training is; the losses are means over the steps that this epoch has seen so far."""

    epoch: int  # 1 to epochs
    epochs: int
    step: int  # 1 to steps, within the epoch
    steps: int
    classification: float
    localisation: float
    images_per_second: float
    learning_rate: float

    @property
    def loss(self) -> float:
        return self.classification + self.localisation

    @property
    def ends_epoch(self) -> bool:
        return self.step == self.steps


class Learner:
    """A detector, its optimiser, and one step of them. `precision` is the type of the network's arithmetic where autocast lowers it.

    On a CPU weights lie channels last, with which a step at 320 pixels took 0.34 s instead of 0.53 (8 cells, 16 channels, batch 8). Not
    in bfloat16: there torch 2.15's gradient of a depthwise convolution of stride 2 on a map of one pixel is memory that nobody wrote.
    """

    def __init__(self, model: SSD, settings: DetectTraining, precision: torch.dtype | None = None) -> None:
        self.device = next(model.parameters()).device
        is_exact_cpu = self.device.type == "cpu" and precision is None
        self.model = model.to(memory_format=torch.channels_last) if is_exact_cpu else model
        self.settings, self.precision = settings, precision
        self.optimizer = torch.optim.SGD(model.parameters(), settings.lr, settings.momentum, weight_decay=settings.weight_decay)
        self.ema = ModelEmaV3(model, settings.ema, use_warmup=True) if settings.ema else None
        self.anchors = default_boxes(model)
        self.scales = torch.tensor(model.box_coder.weights, device=self.device)
        self.mean, self.std = torch.tensor([model.design.mean, model.design.std], device=self.device)[..., None, None]

    def step(self, batch: Batch, number: int, rate: float) -> Tensor:
        """Step `number` of the training at the learning rate `rate`: the losses [classification, localisation]."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = self.losses(batch)
        sum(losses.values()).backward()  # type: ignore[union-attr]
        parameters = list(self.model.parameters())
        distributed.all_reduce_mean(parameter.grad for parameter in parameters)
        if self.settings.clip:
            nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model, step=number + 1)
        return torch.stack([losses["classification"], losses["bbox_regression"]]).detach()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """torchvision's two losses of a batch of resized images."""
        batch = batch.to(self.device)
        x = (batch.images.float() / 255 - self.mean) / self.std
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not None):
            outputs = self.model.head([*self.model.backbone(x).values()])
        outputs = {name: value.float() for name, value in outputs.items()}
        matches = [self._matched(target["boxes"]) for target in batch.targets]
        with weighed_by(self.model.box_coder, self.scales):
            return self.model.compute_loss(batch.targets, outputs, [self.anchors] * len(matches), matches)

    def _matched(self, boxes: Tensor) -> Tensor:
        """For each anchor the number of its box, or -1."""
        if not len(boxes):
            return torch.full((len(self.anchors),), -1, device=self.device)
        return self.model.proposal_matcher(box_iou(boxes, self.anchors))

    def result(self) -> SSD:
        """What is evaluated and saved: the detector, or its moving average."""
        return self.model if self.ema is None else self.ema.module

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on. Of several processes all have to ask at the same time."""
        for net in (self.model, self.result()):
            distributed.all_reduce_mean([buffer for buffer in net.buffers() if buffer.is_floating_point()])
        return {
            "model": self.model.state_dict(),
            "ema": None if self.ema is None else self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError if it is the state of another detector: says which weights differ."""
        check_fit(self.model.state_dict(), state["model"], "the checkpoint is of another detector", "resume the training that wrote it")
        self.model.load_state_dict(state["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])


@contextmanager
def weighed_by(coder: BoxCoder, weights: Tensor) -> Iterator[None]:
    """The coder's weights as a tensor in the block: as numbers they go to the device anew for every image, which waits for the last one."""
    numbers, coder.weights = coder.weights, weights
    try:
        yield
    finally:
        coder.weights = numbers


class Sums:
    """The losses of this epoch so far, kept on the device so that a step never waits for the one before."""

    def __init__(self, device: torch.device, said: tuple[float, float, int] = (0.0, 0.0, 0)) -> None:
        self.losses, self.steps = torch.tensor(said[:2], device=device, dtype=torch.float64), said[2]
        self.timed, self.start, self.reported = 0, time.perf_counter(), time.perf_counter()

    def add(self, losses: Tensor, images: int) -> None:
        self.losses += losses
        self.steps += 1
        self.timed += images

    def due(self) -> bool:
        return time.perf_counter() - self.reported >= INTERVAL

    def means(self, place: str, *, of_all: bool) -> tuple[float, float]:
        """Of this process, or of all, which then have to ask at the same time. Raises ValueError if they are not finite."""
        self.reported = time.perf_counter()
        first, second = self.losses.tolist()
        if of_all:
            first, second = (value / distributed.world_size() for value in distributed.all_reduce_sum([first, second], self.losses.device))
        if not math.isfinite(first + second):
            raise ValueError(
                f"the loss is {first + second} in {place}: choose a smaller learning rate (--lr), or --clip 5, in another folder"
            )
        return first / self.steps, second / self.steps

    def images_per_second(self) -> float:
        return distributed.world_size() * self.timed / (time.perf_counter() - self.start)

    def state(self) -> tuple[float, float, int]:
        """Means over the processes, so that each may go on from them. Of several processes all have to ask at the same time."""
        first, second = (value / distributed.world_size() for value in distributed.all_reduce_sum(self.losses.tolist(), self.losses.device))
        return first, second, self.steps


def fit(learner: Learner, scenes: tuple[Scene, ...], seed: int, workers: int, checkpoint: Checkpoint) -> Iterator[Progress]:
    """Train on the images, from where the checkpoint is; report twice a second and at an epoch's end, and keep the state there.

    Raises:
        ValueError: the loss is not finite, an image can't be decoded, or the checkpoint is of another detector. The checkpoint then
            holds the state before this epoch.
        KeyboardInterrupt: the checkpoint asked for a stop, after a step, and holds the state.
    """
    settings, design = learner.settings, learner.model.design
    order = Epochs(len(scenes), settings.batch_size, seed, distributed.rank(), distributed.world_size())
    rate = settings.learning_rate(settings.epochs * order.steps)
    first, done, said = _take_up(learner, checkpoint)
    sums = Sums(learner.device, said)
    transform = transforms(settings.augmentation, settings.size, design.mean)
    source = batches(scenes, transform, seed, order.draws(range(first, settings.epochs), done), workers)
    learner.model.train()
    with closing(source):
        for number, batch in enumerate(source, first * order.steps + done):
            epoch, step = number // order.steps, number % order.steps + 1
            sums.add(learner.step(batch, number, rate(number)), len(batch.targets))
            ends = step == order.steps
            if ends or sums.due():
                losses = sums.means(f"epoch {epoch + 1}, step {step} of {order.steps}", of_all=ends)
                yield Progress(
                    epoch=epoch + 1,
                    epochs=settings.epochs,
                    step=step,
                    steps=order.steps,
                    classification=losses[0],
                    localisation=losses[1],
                    images_per_second=sums.images_per_second(),
                    learning_rate=rate(number),
                )
            stops = distributed.stop_agreed(checkpoint.stop_requested, step, learner.device, ends=ends)
            if ends:
                sums = Sums(learner.device)
            if ends or stops:
                _keep(learner, checkpoint, *((epoch + 1, 0) if ends else (epoch, step)), sums.state())
            if stops and epoch + ends < settings.epochs:
                raise KeyboardInterrupt


def _keep(learner: Learner, checkpoint: Checkpoint, epochs: int, step: int, sums: tuple[float, float, int]) -> None:
    """Everything, after `step` steps of the epoch that follows `epochs` whole ones."""
    state = learner.state_dict() | {"epochs": epochs, "step": step, "sums": sums}
    if checkpoint.path is not None:
        checkpoint.keep(STAGE, state)


def _take_up(learner: Learner, checkpoint: Checkpoint) -> tuple[int, int, tuple[float, float, int]]:
    """Load what was kept: the epochs that are over, the steps of the next one, and its losses so far."""
    state = checkpoint.stage(STAGE)
    if state is None:
        return 0, 0, (0.0, 0.0, 0)
    learner.load_state_dict(state)
    return state["epochs"], state["step"], state["sums"]
