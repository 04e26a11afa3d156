"""SSD detectors (Liu et al. 2016) on found cells or any network of timm's: torchvision's machinery, by a backbone's name.

PC-DARTS, sec. 4.5: the network found is the backbone of an SSD at 320x320. Its maps at 1/16 and 1/32 of the image's side and four
smaller ones behind them, each half as large as the one before, carry six anchors a location: 20, 10, 5, 3, 2, 1 of them a side at 320,
which are 3,234 anchors. Training, losses and decoding are those of `torchvision.models.detection.ssd.SSD`.

Note: the paper says neither which maps and heads it took nor what it counted; its 1.2 B multi-adds are those of the backbone alone at
320x320 (597 M at 224x224 times (320/224)^2 are 1.22 B). `cost` gives both: backbone, and whole detector.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation

from nasarch.cells.genotype import Genotype
from nasarch.console import command_line
from nasarch.export.source.config import configuration
from nasarch.models.cost import measured
from nasarch.models.weight_files import check_fit, read_weights, write_folder

from .backbone import Backbone, body_of, build_body, find_backbone, silent_retries
from .design import EXTRAS, SCALES, Design, Head

NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)  # of torchvision's SSDLite, for extra maps and heads
FLAT, LONG = 2, 3  # proportions of the anchors besides squares (Liu et al. 2016, sec. 2.2)
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class Pyramid(nn.Module):
    """Images [B, 3, H, W] -> maps "0", "1", ... : the two of the body, then the extra ones."""

    def __init__(self, body: nn.Module, channels: Sequence[int], extras: Sequence[int]) -> None:
        super().__init__()
        self.body = body
        self.extra = nn.ModuleList(_extra(before, after) for before, after in zip([channels[-1], *extras], extras, strict=False))
        self.out_channels = [*channels, *extras]

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        maps = list(self.body(x))
        for block in self.extra:
            maps.append(block(maps[-1]))
        return OrderedDict((str(i), level) for i, level in enumerate(maps))


def _extra(before: int, after: int) -> nn.Sequential:
    """Half the channels, a depthwise convolution of stride 2, then all channels (Sandler et al. 2018, as torchvision has it)."""
    half, layer = after // 2, partial(Conv2dNormActivation, norm_layer=NORM, activation_layer=nn.ReLU6)
    block = nn.Sequential(layer(before, half, 1), layer(half, half, 3, stride=2, groups=half), layer(half, after, 1))
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.03)
    return block


def ssd(
    backbone: str | os.PathLike[str] | nn.Module,
    num_classes: int,
    *,
    size: int = 320,
    head: Head = "lite",
    class_names: Sequence[str] | None = None,
    extras: Sequence[int] = EXTRAS,
    scales: tuple[float, float] = SCALES,
    pretrained: bool = False,
) -> SSD:
    """A detector with random heads; images [3, H, W] in 0 to 1, of any size, in a list, as torchvision's detectors take them.

    Args:
        backbone: see backbone.py; or a cell network, or a timm network made with features_only=True, of which a copy is taken.
        num_classes: as torchvision counts them: the background is one.
        size: images are resized to size x size pixels; any from 32.
        head: "lite" or "dense", see `Design`.
        class_names: of the labels 1, 2, ...
        extras: channels of the maps behind the backbone's.
        scales: sides of the smallest and largest anchor, as shares of the image's.
        pretrained: take the backbone's weights, if there are any; a module keeps its own anyway.

    Raises:
        ValueError: no such backbone, or an illegal value.
    """
    names = tuple(class_names or (f"class {i}" for i in range(1, num_classes)))
    if num_classes < 2 or len(names) != num_classes - 1:
        raise ValueError(f"{num_classes} classes and {len(names)} class names; the background counts as a class and has no name")
    if isinstance(backbone, nn.Module):
        body, source = body_of(backbone)
        known = source or Backbone(type(backbone).__name__, {})
    else:
        source = known = find_backbone(backbone)
        body = build_body(known, pretrained=pretrained)
    design = Design(
        backbone=known.name,
        arguments=None if source is None else known.arguments,
        class_names=names,
        category_ids=tuple(range(1, num_classes)),
        size=size,
        head=head,
        extras=tuple(extras),
        scales=scales,
        **normalization(body),
    )
    return assemble(design, body)


def normalization(body: nn.Module) -> dict[str, Any]:
    """Mean and standard deviation by which the backbone's images are normalised: its own; ImageNet's if it has none."""
    config: Any = configuration(body) or configuration(getattr(body, "model", body))
    return {
        "mean": tuple(config.get("mean") or IMAGENET_DEFAULT_MEAN),
        "std": tuple(config.get("std") or IMAGENET_DEFAULT_STD),
    }


def assemble(design: Design, body: nn.Module) -> SSD:
    """Body, extra maps, anchors and heads as one detector, which has `design` as an attribute."""
    info: Any = body.feature_info
    pyramid = Pyramid(body, info.channels(), design.extras)
    anchors = DefaultBoxGenerator([[FLAT, LONG] for _ in pyramid.out_channels], *design.scales)
    counts = anchors.num_anchors_per_location()
    if design.head == "lite":
        head: nn.Module = SSDLiteHead(pyramid.out_channels, counts, design.num_classes, NORM)
    else:
        head = SSDHead(pyramid.out_channels, counts, design.num_classes)
    model = SSD(
        pyramid,
        anchors,
        (design.size, design.size),
        design.num_classes,
        image_mean=list(design.mean),
        image_std=list(design.std),
        head=head,
        score_thresh=design.score_threshold,
        nms_thresh=design.nms_threshold,
        detections_per_img=design.detections,
        topk_candidates=design.candidates,
    )
    model.design = design
    return model


@torch.no_grad()
def default_boxes(model: SSD) -> Tensor:
    """The anchors [N, 4] of an image, as corners in pixels of the resized image: they depend on the sizes of the maps alone."""
    size, mode = model.design.size, model.training
    parameter = next(model.parameters())
    image = torch.zeros(1, 3, size, size, device=parameter.device, dtype=parameter.dtype)
    maps = [*model.eval().backbone(image).values()]
    model.train(mode)
    return model.anchor_generator(ImageList(image, [(size, size)]), maps)[0]


class DetectorCost(NamedTuple):
    """Multi-adds of convolutions and linear layers for one image, and numbers that are trained: backbone alone, whole detector."""

    backbone_multi_adds: int
    multi_adds: int
    backbone_parameters: int
    parameters: int

    def __str__(self) -> str:
        adds = f"multi-adds: backbone {millions(self.backbone_multi_adds)}, whole detector {millions(self.multi_adds)}"
        return f"{adds}; parameters: {self.backbone_parameters / 1e6:.2f} M, {self.parameters / 1e6:.2f} M"


def millions(number: int) -> str:
    """To the million, or to three digits where there are few."""
    return f"{number / 1e6:,.0f} M" if number >= 1e8 else f"{number / 1e6:.3g} M"


@torch.no_grad()
def cost(model: SSD) -> DetectorCost:
    """What `model` costs for one image, as nasarch.models.cost counts."""
    mode, parameter = model.training, next(model.parameters())
    image = torch.zeros(1, 3, model.design.size, model.design.size, device=parameter.device, dtype=parameter.dtype)
    model.eval()
    body = measured(model.backbone.body, image)
    with FlopCounterMode(display=False) as counter:
        model.head([*model.backbone(image).values()])
    model.train(mode)
    return DetectorCost(body.multi_adds, counter.get_total_flops() // 2, body.parameters, sum(p.numel() for p in model.parameters()))


def save(model: SSD, folder: Path) -> None:
    """config.json, model.safetensors and of found cells genotype.json, into `folder`, which is there.

    Raises:
        ValueError: no file can name the backbone.
    """
    design: Design = model.design
    write_folder(folder, model.state_dict(), {"architecture": "ssd", "library": "nasarch", "detector": design.to_dict()})
    if design.genotype is not None:
        Genotype.from_dict(design.genotype).save(folder / "genotype.json")


def load(source: str | os.PathLike[str], **thresholds: float) -> SSD:
    """The detector in a folder: of `nasarch detect train`, of `nasarch export ssd --out`, or on the Hub as "hf-hub:OWNER/NAME".

    Args:
        thresholds: other values of the design's `score_threshold`, `nms_threshold`, `candidates` or `detections`.

    Raises:
        ValueError: there is none, it can't be read, or its weights don't fit.
    """
    folder = find_folder(source)
    design = read_design(folder, **thresholds)
    weights = read_weights(folder / WEIGHTS)
    model = assemble(design, build_body(Backbone(design.backbone, dict(design.arguments or {}))))
    check_fit(model.state_dict(), weights, f"{folder / WEIGHTS} doesn't fit its {CONFIG}", "give the weights of this very network")
    model.load_state_dict(weights)
    return model.eval()


def find_folder(source: str | os.PathLike[str]) -> Path:
    """The folder with config.json and model.safetensors that `source` means.

    Raises:
        ValueError: there is none.
    """
    text = os.fspath(source)
    if text.startswith("hf-hub:"):
        return _from_hub(text.removeprefix("hf-hub:"))
    for folder in (Path(text) / "model", Path(text)):
        if (folder / WEIGHTS).is_file():
            return folder
    if (Path(text) / "checkpoint.pt").is_file():
        raise ValueError(f"{text} holds a training that is not finished: `{command_line('detect', 'train', '--resume', text)}` finishes it")
    raise ValueError(f"{text} holds no detector ({CONFIG}, {WEIGHTS}): give the folder of `nasarch detect train` or `nasarch export ssd`")


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        with silent_retries():
            return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # it has many
        raise ValueError(f"can't load {name} from the Hub: {str(error).splitlines()[0]}; check the name and the connection") from error


def read_design(folder: Path, **changes: float) -> Design:
    """What config.json in `folder` says, with other thresholds.

    Raises:
        ValueError: it can't be read or is no detector's.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        value = config.get("detector") if isinstance(config, dict) else None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"can't read {folder / CONFIG}: {error}") from error
    if value is None:
        raise ValueError(
            f"{folder} holds no detector but something else: give the folder of `nasarch detect train` or `nasarch export ssd`"
        )
    design = Design.from_dict({**value, **changes})
    if design.genotype is not None:
        Genotype.from_dict(design.genotype)  # refuses what is no genotype before anything is built
    return design
