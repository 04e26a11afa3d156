"""How a detector is trained, and what a training is told besides: the values behind `nasarch detect train`. Trains nothing.

| setting | default | source |
|---|---|---|
| learning rate, cosine to 0 | 0.01875 for batch 24 | torchvision's reference for ssdlite320: 0.15 for 8 x 24 |
| momentum, weight decay | 0.9, 4e-5 | the same |
| augmentation | ssdlite | the same |
| warm-up | 1 % of the steps | torchvision's reference: the first 1,000 steps of 660 epochs |
| epochs | 120 | torchvision's reference for ssd300_vgg16; that for ssdlite320 takes 660 |
| size, head | 320, lite | PC-DARTS, Table 5, names the size; the head is ours |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nasarch.export.ssd.design import EXTRAS, SCALES, Head
from nasarch.runtime.schedules import Schedule, cosine, warmed_up

from .loader import Augmentation

Precision = Literal["off", "bf16"]


@dataclass(frozen=True, kw_only=True)
class DetectTraining:
    """How a detector is trained.

    Args:
        epochs: the schedule of the learning rate is stretched to them.
        batch_size: images of a step, over all processes.
        lr: learning rate of SGD at its highest; it falls to 0 as a cosine.
        warmup: share of the steps in which the rate rises to lr.
        momentum: of SGD.
        weight_decay: of all weights.
        clip: largest norm of the gradient; 0 for no limit, as in torchvision's reference.
        augmentation: ssd (zoom out, IoU crop, flip, colours), ssdlite (IoU crop, flip), flip or none.
        ema: decay of a moving average of the weights, which is then what is evaluated and saved; shorter at first. 0 for none.
        size: images are resized to squares of so many pixels.
        head: lite (depthwise separable) or dense (3x3 convolutions).
        extras: channels of the maps behind the backbone's two.
        scales: sides of the smallest and the largest anchor, as shares of the image's.
        cells: of the backbone, if it is made of cells; by default as it has them.
        channels: of the backbone's first cells, likewise.
    """

    epochs: int = 120
    batch_size: int = 24
    lr: float = 0.01875
    warmup: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 4e-5
    clip: float = 0.0
    augmentation: Augmentation = "ssdlite"
    ema: float = 0.0
    size: int = 320
    head: Head = "lite"
    extras: tuple[int, ...] = EXTRAS
    scales: tuple[float, float] = SCALES
    cells: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: choose {least} or more")
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"--lr {self.lr}: choose a number above 0, such as {DetectTraining.lr}")
        for name in ("weight_decay", "clip"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"--{name.replace('_', '-')} {getattr(self, name)}: choose 0 or more")
        for name in ("warmup", "momentum", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: choose 0 or more, and less than 1")

    def learning_rate(self, steps: int) -> Schedule:
        """By step, of `steps` in all."""
        return warmed_up(cosine(self.lr, 0.0, steps), round(self.warmup * steps))


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """What a training of a detector is told besides its settings.

    Args:
        backbone: a name of `nasarch models`, any of timm's, a genotype's .json file, or the folder of a training.
        data: a folder with train.json and val.json (or COCO's own layout), or a .json file with annotations in COCO's format.
        images: folder or tar file of the training images; by default it is looked for beside the annotations.
        val: annotations to evaluate on, a .json file; by default those of the data folder.
        val_images: folder or tar file of their images; by default as for the training images.
        workers: processes that decode and augment images; 0 does that in the training's own.
        pretrained: begin with the backbone's trained weights, if there are any.
        weights: begin with the backbone's weights in this .safetensors file.
        seed: of the first weights, the batches and everything else that is left to chance.
        device: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one.
        amp: bf16 arithmetic in the network; off is float32.
        tf32: let NVIDIA GPUs round the factors of float32 convolutions and matrix products to TF32: faster, but not exact.
        evaluate: compute COCO's twelve figures at the end; with --no-evaluate data need no val part.
        out: a new folder for the results; by default one below runs/.
        resume: go on with the training in this folder, with its own settings and data; no other flag counts then.
    """

    backbone: str = "pc_darts_imagenet"
    data: Path | None = None
    images: Path | None = None
    val: Path | None = None
    val_images: Path | None = None
    workers: int = 2
    pretrained: bool = True
    weights: Path | None = None
    seed: int = 0
    device: str = "auto"
    amp: Precision = "off"
    tf32: bool = False
    evaluate: bool = True
    out: Path | None = None
    resume: Path | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"--workers {self.workers}: choose 0 or more")
