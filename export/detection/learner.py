"""Trainer of an SSD detector: one step, and the training as a generator of progress. Knows no files and no evaluation.

The losses are torchvision's: cross entropy over the boxes that match and three times as many of the hardest others, and smooth L1 of the
offsets, both divided by the number of matches (Liu et al. 2016, eq. 1). They are computed in float32 whatever the network computes in.

Order, crops and colours depend on seed, epoch and image alone, so a training that goes on from its checkpoint makes the same steps, bit
for bit on a CPU. Several processes average their gradients, each with the losses and batch statistics of its own share of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from nasarch.runtime.loop import Position, run_epochs
from nasarch.runtime.meter import Meter

from .coco import Scene
from .loader import Batch, Epochs, batches, transforms
from .settings import DetectTraining

STAGE = "detector training"  # its name in the checkpoint
REMEDY = "choose a smaller learning rate (--lr), or --clip 5, in another folder"


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
    """A detector, its optimizer, and one step of them. `precision`: autocast type of the network's arithmetic; None for float32.

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
        """The detector that is evaluated and saved: the trained one, or its exponential moving average."""
        return self.model if self.ema is None else self.ema.module

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on. All processes have to call this at the same time."""
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


def fit(learner: Learner, scenes: tuple[Scene, ...], seed: int, workers: int, checkpoint: Checkpoint) -> Iterator[Progress]:
    """Train on the images, from where the checkpoint is; report twice a second and at an epoch's end, and save the state there.

    Raises:
        ValueError: the loss is not finite, an image can't be decoded, or the checkpoint is of another detector. The checkpoint then
            holds the state before this epoch.
        KeyboardInterrupt: the checkpoint asked for a stop, after a step, and holds the state.
    """
    settings, design = learner.settings, learner.model.design
    order = Epochs(len(scenes), settings.batch_size, seed, distributed.rank(), distributed.world_size())
    state = checkpoint.stage(STAGE) or {"epochs": 0, "step": 0}
    draws = order.draws(range(state["epochs"], settings.epochs), state["step"])
    transform = transforms(settings.augmentation, settings.size, design.mean)
    with closing(batches(scenes, transform, seed, draws, workers)) as source:
        yield from run_epochs(DetectionStage(learner, source, order.steps), checkpoint)


class DetectionStage:
    """The training of a `Learner` on batches of all epochs one after the other, as `run_epochs` drives it."""

    def __init__(self, learner: Learner, source: Iterator[Batch], steps: int) -> None:
        self.name, self.device, self.remedy = STAGE, learner.device, REMEDY
        self.report_steps: int | None = None
        self.learner, self.epochs = learner, learner.settings.epochs
        self.batches: Iterable[Batch] = source
        self.steps, self.total_steps = steps, self.epochs * steps
        self.rate = learner.settings.learning_rate(self.total_steps)
        learner.model.train()

    def start_epoch(self, epoch: int) -> None:
        """Nothing depends on the epoch."""

    def step(self, batch: Batch, number: int, meter: Meter) -> None:
        self.learning_rate = self.rate(number)
        losses = self.learner.step(batch, number, self.learning_rate).double()
        meter.add(losses.sum(), losses.unbind(), 1, images=len(batch.targets))

    def report(self, position: Position, means: Sequence[float]) -> Progress:
        classification, localisation = means
        return Progress(
            **position._asdict(),
            epochs=self.epochs,
            classification=classification,
            localisation=localisation,
            learning_rate=self.learning_rate,
        )

    def state_dict(self, *, is_over: bool) -> dict[str, Any]:
        return self.learner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.learner.load_state_dict(state)
