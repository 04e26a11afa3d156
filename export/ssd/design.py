"""The configuration of a detector, as a value that JSON holds: backbone, head, image size, classes, thresholds. Builds nothing.

| constant | value | source |
|---|---|---|
| channels of the extra maps | 512, 256, 256, 128 | torchvision's ssdlite320_mobilenet_v3_large |
| anchors' sides, as shares of the image's | 0.2 to 0.95 over six maps (anchors are built by `assemble` in detector.py) | the same |
| score, NMS threshold, candidates a class, detections | 0.001, 0.55, 300, 300 | the same; so low a score is right for COCO's figures |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from nasarch.strict_json import plain

FORMAT = "nasarch.detector/1"
Head = Literal["lite", "dense"]
HEADS = ("lite", "dense")
EXTRAS = (512, 256, 256, 128)
SCALES = (0.2, 0.95)
ARGUMENTS = ("genotype", "cells", "channels")  # of cell networks; others have none
LISTS = ("class_names", "category_ids", "extras", "scales", "mean", "std")  # tuples that JSON holds as lists


@dataclass(frozen=True, kw_only=True)
class Design:
    """A detector without its weights.

    Args:
        backbone: timm's name of the network that makes the maps.
        arguments: what timm needs to build it; of a cell network the genotype as plain JSON, cells and channels. None: not known.
        class_names: of the labels 1, 2, ...; label 0 is the background.
        category_ids: the numbers of the same classes in the data set's file.
        size: height and width to which images are resized, in pixels.
        head: "lite", depthwise separable (MobileNetV2), or "dense", 3x3 convolutions (Liu et al. 2016).
        extras: channels of the maps after the backbone's two, each half as large as the one before.
        scales: sides of the smallest and the largest anchor, as shares of the image's.
        mean: of the channels of images in 0 to 1, as the backbone was trained.
        std: likewise.
        score_threshold: detections have a score above it.
        nms_threshold: of two boxes of a class that overlap by more (intersection over union) the weaker goes.
        candidates: best boxes of a class that are looked at.
        detections: at most so many in an image.

    Raises:
        ValueError: a value that is not legal: names it.
    """

    backbone: str
    arguments: Mapping[str, Any] | None
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    size: int = 320
    head: Head = "lite"
    extras: tuple[int, ...] = EXTRAS
    scales: tuple[float, float] = SCALES
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    score_threshold: float = 0.001
    nms_threshold: float = 0.55
    candidates: int = 300
    detections: int = 300

    def __post_init__(self) -> None:
        classes = len(self.class_names)
        if not classes or len(set(self.category_ids)) != classes or len(self.category_ids) != classes:
            raise ValueError(
                f"{classes} class names and {len(self.category_ids)} category ids; give at least one class, and an id for each"
            )
        if ":" in self.backbone or not {*(self.arguments or {})} <= {*ARGUMENTS}:
            raise ValueError(
                f"backbone {self.backbone!r} with {[*(self.arguments or {})]}; legal are timm's names, and {', '.join(ARGUMENTS)}"
            )
        if not isinstance(self.size, int) or not 32 <= self.size <= 4096:
            raise ValueError(f"size {self.size!r}; choose 32 to 4096 pixels, such as 320")
        if self.head not in HEADS:
            raise ValueError(f"head {self.head!r}; legal are {', '.join(HEADS)}")
        if not 1 <= len(self.extras) <= 6 or not all(isinstance(c, int) and 2 <= c <= 4096 for c in self.extras):
            raise ValueError(f"extras {self.extras}; choose the channels of 1 to 6 maps, such as {EXTRAS}")
        if len(self.scales) != 2 or not 0 < self.scales[0] < self.scales[1] <= 1:
            raise ValueError(f"scales {self.scales}; choose two rising shares of the image's side, such as {SCALES}")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(value > 0 for value in self.std):
            raise ValueError(f"mean {self.mean}, std {self.std}; give a number for each of 3 channels, std above 0")
        for name in ("score_threshold", "nms_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name.replace('_', ' ')} {getattr(self, name)}; choose 0 or more, and less than 1")
        for name in ("candidates", "detections"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise ValueError(f"{name} {getattr(self, name)}; choose 1 to 10,000")

    @property
    def num_classes(self) -> int:
        """As torchvision counts them: the background is one."""
        return len(self.class_names) + 1

    @property
    def genotype(self) -> dict[str, Any] | None:
        """Of the backbone's cells, as plain JSON; None of a network without cells."""
        return (self.arguments or {}).get("genotype")

    @property
    def network(self) -> str:
        """The backbone in words: its name, or those of its cells and how many there are, and how wide."""
        if self.genotype is None:
            return self.backbone
        values = {key: (self.arguments or {}).get(key) for key in ("cells", "channels")}
        sizes = ", ".join(f"{value} {key}" for key, value in values.items() if value is not None)
        return " with ".join(filter(None, [f"{self.genotype.get('name', self.backbone)}", sizes]))

    def to_dict(self) -> dict[str, Any]:
        """The plain JSON object.

        Raises:
            ValueError: the backbone is a module of unknown make, which no file can name.
        """
        if self.arguments is None:
            raise ValueError(f"the backbone {self.backbone} was given as a module, which no file can name; give its timm name to ssd()")
        return {"format": FORMAT, **plain(asdict(self) | {"arguments": dict(self.arguments)})}

    @classmethod
    def from_dict(cls, value: Any) -> Design:
        """Back from `to_dict`.

        Raises:
            ValueError: it is of another format, or has unknown, missing or illegal values.
        """
        if not isinstance(value, Mapping) or value.get("format") != FORMAT:
            version = value.get("format") if isinstance(value, Mapping) else type(value).__name__
            raise ValueError(
                f"format {version!r} is no detector's; this version reads {FORMAT!r}: give a folder that `nasarch detect train` wrote"
            )
        values: dict[str, Any] = {
            key: tuple(item) if key in LISTS and isinstance(item, Sequence) else item for key, item in value.items() if key != "format"
        }
        unknown, missing = values.keys() - _NAMES, _NAMES - values.keys()
        if unknown or missing:
            raise ValueError(
                f"a detector's config.json has unknown keys {sorted(unknown)} and lacks {sorted(missing)}; take the one that was written"
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"a detector's config.json has a value of the wrong kind: {error}") from error


_NAMES = {field.name for field in fields(Design)}
