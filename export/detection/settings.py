"""Settings and options of a detector's training (`nasarch detect train`). Trains nothing.

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
from typing import Annotated, Literal

from tyro.conf import arg

from nasarch.export.ssd.design import EXTRAS, SCALES, Head
from nasarch.ranges import Count, Fraction, NonNegative, Positive, Seed, Workers, at_least, check_ranges
from nasarch.runtime.options import MachineOptions, OutputOptions
from nasarch.runtime.schedules import Schedule, cosine, warmed_up

Augmentation = Literal["ssd", "ssdlite", "flip", "none"]


@dataclass(frozen=True, kw_only=True)
class DetectTraining:
    """Settings of a detector's training.

    Args:
        epochs: Number of epochs, over which the schedule of the learning rate is stretched.
        batch_size: Number of images in a step, over all processes.
        lr: Peak learning rate of SGD; it falls to 0 along a cosine.
        warmup: Share of the steps in which the learning rate rises linearly to its peak.
        momentum: Momentum of SGD.
        weight_decay: L2 penalty of all weights.
        clip: Maximum norm of the gradient; 0 for no limit, as in torchvision's reference.
        augmentation: Augmentation: ssd (zoom out, IoU crop, flip, colour jitter), ssdlite (IoU crop, flip), flip or none.
        ema: Decay of the moving average of the weights, which is then evaluated and saved; shorter at first. 0 for none.
        size: Side in pixels of the squares that images are resized to.
        head: Prediction heads: lite (depthwise separable) or dense (3x3 convolutions).
        extras: Numbers of channels of the feature maps behind the backbone's two.
        scales: Sides of the smallest and the largest anchor, as shares of the image's.
        cells: Number of cells of the backbone, if it is made of cells (default: as the model has).
        channels: Number of channels of the backbone's first cells, likewise.

    Raises:
        ValueError: a value out of its range.
    """

    epochs: Count = 120
    batch_size: Annotated[int, at_least(2)] = 24
    lr: Positive = 0.01875
    warmup: Fraction = 0.01
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 4e-5
    clip: NonNegative = 0.0
    augmentation: Augmentation = "ssdlite"
    ema: Fraction = 0.0
    size: int = 320
    head: Head = "lite"
    extras: tuple[int, ...] = EXTRAS
    scales: tuple[float, float] = SCALES
    cells: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)

    def learning_rate(self, steps: int) -> Schedule:
        """By step, of `steps` in all."""
        return warmed_up(cosine(self.lr, 0.0, steps), round(self.warmup * steps))


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """Run options of a detector's training, beside its settings.

    Args:
        machine: Options of the hardware.
        output: Options of the run folder.
        backbone: Backbone: a name of `nasarch models`, any model of timm, a genotype's .json file, or the folder of a training.
        data: Folder with train.json and val.json (or COCO's own layout), or a .json file with annotations in COCO's format.
        also: Second annotation file to train on, such as COCO's instances_valminusminival2014.json beside train2014.
        exclude: Annotation file of images to leave out of the training, such as COCO's instances_minival2014.json.
        images: Folder or tar file of the training images (default: beside the annotations).
        val: Annotations to evaluate on, a .json file (default: those of the data folder).
        val_images: Folder or tar file of the validation images (default: beside their annotations).
        workers: Number of image-decoding worker processes; 0 decodes in the main process.
        pretrained: Pretrained weights of the backbone, if there are any.
        weights: Weights of the backbone to start from, a .safetensors file.
        seed: Random seed of weight initialization, batch order and augmentation.
        amp: Mixed precision: bf16 autocast; off is float32.
        evaluate: COCO's twelve metrics at the end; with --no-evaluate no validation part is needed.

    Raises:
        ValueError: a negative number of workers.
    """

    machine: Annotated[MachineOptions, arg(name="")] = MachineOptions()
    output: Annotated[OutputOptions, arg(name="")] = OutputOptions()
    backbone: str = "pc_darts_imagenet"
    data: Path | None = None
    also: Path | None = None
    exclude: Path | None = None
    images: Path | None = None
    val: Path | None = None
    val_images: Path | None = None
    workers: Workers = 2
    pretrained: bool = True
    weights: Path | None = None
    seed: Seed = 0
    amp: Literal["off", "bf16"] = "off"
    evaluate: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, flags=True)
        if self.machine.capture:
            raise ValueError("--capture: a detector's step can't be recorded, as its loss has other shapes for other boxes; leave it out")
