"""The values of a data set: images in memory as uint8 or on disk, their labels, and class-balanced splits of them.

Reads no files: load.py says where images come from, loader.py how they are shuffled and augmented, split_files.py writes and reads the
lists of a split.
DARTS and PC-DARTS search on two halves of the training images (Liu et al. 2019, sec. 3.1; Xu et al. 2020, sec. 4.2), PC-DARTS and
FTSO on 10 % and 2.5 % of each ImageNet class, eDARTS on 5 % and 5 % of CIFAR-10: all of them are one `split`. The published code
cuts the unshuffled index list in two, so its halves depend on the order of the files and are not balanced; these are.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from .image_files import Files, Listing, numbered


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images: `pixels` uint8 [N, 3, H, W] and `labels` int64 [N].

    Batches show them whole, or their centre in the height and width `shown`; a random resized crop is taken of the whole instead.

    Raises:
        ValueError: another type or shape, different numbers of images and labels, or less than what is to be shown.
    """

    pixels: Tensor
    labels: Tensor
    shown: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        pixels, labels = self.pixels, self.labels
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(f"pixels are {pixels.dtype} {list(pixels.shape)}; pass torch.uint8 [N, 3, H, W]")
        if labels.dtype != torch.int64 or labels.shape != pixels.shape[:1]:
            raise ValueError(f"labels are {labels.dtype} {list(labels.shape)} for {len(pixels)} images; pass torch.int64 [{len(pixels)}]")
        if not (1 <= self.size[0] <= pixels.shape[2] and 1 <= self.size[1] <= pixels.shape[3]):
            raise ValueError(f"images of {list(pixels.shape[2:])} pixels can't show {list(self.size)}; pass at most their own size")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of what they show."""
        return self.shown or self.frame

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width in pixels of the images themselves."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def subset(self, indices: Tensor) -> Images:
        """The images at `indices` (int64 [M]), copied, in that order."""
        return Images(self.pixels[indices], self.labels[indices], self.shown)

    def to(self, device: str | torch.device) -> Images:
        """The same images on `device`; no copy if they are there."""
        return Images(self.pixels.to(device), self.labels.to(device), self.shown)

    def lines(self) -> Iterable[bytes | memoryview]:
        """What identifies the images: their shape, labels and pixels."""
        yield repr(tuple(self.pixels.shape)).encode()
        yield self.labels.cpu().numpy().astype("<i8").tobytes()
        yield self.pixels.cpu().contiguous().numpy().data


Part = TypeVar("Part", Images, Files)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What may be done to an image without changing what it shows; the default is nothing.

    `padding`: a crop of the image's own size at random from the image with so many black pixels around it; `crop_scale`: instead, a
    part of the image with a share of its area in this range and a ratio of width to height of 3/4 to 4/3, resized (torchvision's
    RandomResizedCrop; PC-DARTS' searches on ImageNet take 0.08 to 1 on both sides of the data); `flip`: left and right swapped in half
    of the cases; `cutout`: a square of so many pixels a side, its centre anywhere, set to the mean colour (DeVries and Taylor 2017,
    arXiv:1708.04552), partly outside at the border.
    """

    padding: int = 0
    flip: bool = False
    cutout: int = 0
    crop_scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.padding < 0 or self.cutout < 0:
            raise ValueError(f"{self}: padding and cutout are numbers of pixels; pass 0 for none")
        if self.crop_scale is None:
            return
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale={self.crop_scale}: pass the least and the largest share of the area, above 0 to 1")
        if self.padding:
            raise ValueError(f"padding={self.padding} and crop_scale={self.crop_scale}: an image is cropped in one way; leave one out")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A data set: its parts, in memory or on disk, its classes, and the augmentation that suits its images.

    `test` is None where there is no such part; no search looks at it. `source` says where the images are from, in words and
    without the machine's own paths, for the provenance of what is found. `names` are those of the training images, in order, each
    relative to the folder of its part ("cat/01.jpg"); None numbers them. `statistics` are mean and standard deviation of each channel
    that scale the images, where a benchmark or a trained model settles them; None measures them.

    Raises:
        ValueError: fewer than two classes, labels outside them, parts of different image sizes, or another number of names.
    """

    name: str
    train: Images | Files
    test: Images | Files | None
    class_names: tuple[str, ...]
    augmentation: Augmentation
    source: str
    names: tuple[str, ...] | None = None
    statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def __post_init__(self) -> None:
        if len(self.class_names) < 2:
            raise ValueError(f"data {self.name!r} has {len(self.class_names)} class(es); classification needs at least two")
        for part in self.parts:
            if not len(part) or not 0 <= int(part.labels.min()) <= int(part.labels.max()) < self.num_classes:
                raise ValueError(f"data {self.name!r}: every part needs images, with labels 0 to {self.num_classes - 1}")
            if part.size != self.size:
                raise ValueError(
                    f"data {self.name!r}: test images are {part.size}, training images {self.size} pixels; bring them to one size"
                )
        if self.names is not None and not len(self.names) == len(set(self.names)) == len(self.train):
            raise ValueError(
                f"data {self.name!r}: {len(self.names)} names for {len(self.train)} training images; each needs one of its own"
            )

    @property
    def parts(self) -> tuple[Images | Files, ...]:
        return (self.train,) if self.test is None else (self.train, self.test)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.train.size

    @property
    def crop_pct(self) -> float:
        """Side of the centre crop over the side that images are resized to, as timm counts it, rounded down to four places."""
        frame = self.parts[-1].frame or self.size
        return math.floor(min(self.size) / min(frame) * 10_000) / 10_000

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Preprocessing of the images in evaluation, as timm's `create_transform` takes it.

        The only source of these values: trained models, model cards, ONNX properties and calibration state them unchanged.
        """
        return {
            "input_size": (3, *self.size),
            "mean": self.mean,
            "std": self.std,
            "interpolation": "bilinear",
            "crop_pct": self.crop_pct,
            "crop_mode": "center",
        }

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training images, 0 to 1, to four places (CIFAR-10: 0.4914, 0.4822, 0.4465).

        Of images on disk it is ImageNet's (0.485, 0.456, 0.406, timm's constants), and so is `std`, so that they need not all be read.
        """
        return self._mean_and_std[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, likewise (CIFAR-10: 0.2470, 0.2435, 0.2616); at least 1/255."""
        return self._mean_and_std[1]

    @cached_property
    def _mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self.statistics is not None:
            return self.statistics
        if isinstance(self.train, Files):
            from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

            return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
        share = _histogram(self.train.pixels).double() / self.train.pixels[:, 0].numel()
        level = torch.arange(256, dtype=torch.float64) / 255
        mean = share @ level
        std = ((level - mean[:, None]).square() * share).sum(1).sqrt().clamp(min=1 / 255)
        return _rounded(mean), _rounded(std)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) that is equal where the data are, wherever they lie.

        Of images in memory it is that of shapes, labels and pixels; of images on disk, none of which is decoded for it, that of the
        sorted names, each with its number of bytes and its label.
        """
        sha = hashlib.sha256()
        for part in self.parts:
            for line in part.lines():
                sha.update(line)
        return sha.hexdigest()

    @property
    def listing(self) -> Listing:
        """Names and labels of the training images."""
        return Listing(self.name, self.names or numbered(len(self.train)), self.train.labels, self.source)


def _histogram(pixels: Tensor) -> Tensor:
    """How often each level occurs in each channel: [N, 3, H, W] -> int64 [3, 256]. Exact, so that no sum depends on its order."""
    counts = torch.zeros(3, 256, dtype=torch.int64)
    for chunk in pixels.cpu().split(4096):
        for channel in range(3):
            counts[channel] += torch.bincount(chunk[:, channel].reshape(-1), minlength=256)
    return counts


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in values.tolist())


def split(images: Part, fractions: Sequence[float], seed: int) -> tuple[Part, ...]:
    """Disjoint class-balanced parts of `images`, each with its fraction of every class, drawn by `seed`.

    Raises:
        ValueError: as `split_indices`.
    """
    return tuple(images.subset(indices) for indices in split_indices(images.labels, fractions, seed))


def halves(images: Part, seed: int) -> tuple[Part, Part]:
    """Two class-balanced halves: the weights' and the architecture's part of a bi-level search."""
    first, second = split(images, (0.5, 0.5), seed)
    return first, second


def split_indices(labels: Tensor, fractions: Sequence[float], seed: int) -> tuple[Tensor, ...]:
    """Disjoint sets of indices into `labels` (int64 [N]), ascending, one for each fraction.

    Each class is shuffled and cut by itself at the rounded cumulated fractions, so that every part has its share of every class to
    within one image. The same seed gives the same split on every machine.

    Raises:
        ValueError: fractions that are not positive or add up to more than 1, or too small for a class to be in every part.
    """
    if not fractions or not all(share > 0 for share in fractions) or not sum(fractions) <= 1 + 1e-9:
        raise ValueError(f"fractions {tuple(fractions)} of the images: each must be above 0, and all together at most 1")
    generator = torch.Generator().manual_seed(seed)
    labels = labels.cpu()
    by_class = [_cut(torch.nonzero(labels == label).flatten(), fractions, generator) for label in labels.unique().tolist()]
    return tuple(torch.cat(pieces).sort().values for pieces in zip(*by_class, strict=True))


def _cut(members: Tensor, fractions: Sequence[float], generator: torch.Generator) -> list[Tensor]:
    """The members of one class in pieces of the fractions, at random."""
    ends = [round(share * len(members)) for share in itertools.accumulate(fractions)]
    sizes = [end - start for start, end in itertools.pairwise([0, *ends])]
    if min(sizes) < 1:
        raise ValueError(
            f"fractions {tuple(fractions)} leave no image of a class that has {len(members)}; take larger fractions or more images"
        )
    shuffled = members[torch.randperm(len(members), generator=generator)]
    return list(shuffled[: ends[-1]].split(sizes))
