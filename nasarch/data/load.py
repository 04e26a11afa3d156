"""Where a data set comes from: its name, or a path to images in class folders, becomes a `Dataset`.

| name | images |
|---|---|
| `digits` | 1,797 handwritten digits, 8x8, in this package (Alpaydin and Kaynak 1998, UCI; digits.py): enlarged to 32x32, no download |
| `cifar10`, `cifar100` | torchvision's files (Krizhevsky 2009): 50,000 + 10,000, 32x32 |
| `imagenet16-120` | the downsampled ImageNet's files, 120 classes (imagenet16.py): 151,700 + 6,000, 16x16 |
| a path | as `folders` describes it; in memory if they fit, else left on disk |

| images of a path | brought to | augmentation |
|---|---|---|
| all of one size, none asked for | stay as they are | by that size, as below |
| below 64 pixels | the size asked for: shorter side resized, centre cut out | crops with an eighth of the side as padding, flips |
| 64 pixels and more | shorter side about 8/7 of the size asked for (256 for 224), the centre shown | random resized crops, flips |
| of different sizes, most above 64 pixels, none asked for | 224 | likewise |

In memory a random resized crop is taken of the centre square (256x256 for 224), on disk of the whole image. Images with an EXIF
orientation are shown as they are stored, as by timm's readers, and counted in the source text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nasarch.models.labels import IMAGENET16_CLASSES, data_name
from nasarch.models.stem import IMAGENET_STEM_SIZE
from nasarch.models.zoo import IMAGENET16
from nasarch.strict_json import shown

from . import digits, imagenet16
from .dataset import Augmentation, Dataset, Images
from .decoding import DIFFERENT, check_memory, decode, fit, fits_memory, head_of, shape_of
from .folders import LAYOUTS, Members, find_parts
from .image_files import Files, Listing

NAMES = ("digits", "cifar10", "cifar100", imagenet16.NAME)
SIZES = range(8, 1025)
LARGE_SIZE = 224  # of what they show, if nothing else is said
CROP_SCALE = (0.08, 1.0)  # of the area; torchvision's, and that of the published ImageNet searches
PROBED = 100  # images whose sizes are looked at
TRAIN_DIGITS = 150  # of each class; the other 24 to 33 are the test part: 1,500 + 297


def load(
    name_or_path: str | os.PathLike[str],
    *,
    download: bool = False,
    root: str | os.PathLike[str] | None = None,
    size: int | None = None,
    in_memory: bool | None = None,
) -> Dataset:
    """The data set `name_or_path`; a name comes before a path (write ./digits for a folder of that name).

    The augmentation is random crops of the image with an eighth of its side as padding and horizontal flips (CIFAR's 4 pixels of
    32, as in the papers), for digits only shifts of a sixteenth; from 64 pixels a side on it is random resized crops and flips, as in
    the ImageNet searches. `dataclasses.replace(data, augmentation=...)` changes it.

    Args:
        download: fetch CIFAR's files if they are missing.
        root: folder of the files of CIFAR or ImageNet16; `cache_folder()` if None.
        size: side in pixels of the square that all images are brought to; None keeps their own (digits: 32), or takes 224 for large
            images of different sizes.
        in_memory: decode all images of a path into memory (True), or leave them on disk and decode them in every epoch (False); None
            does the first if they fit into 8 GiB.

    Raises:
        ValueError: an unknown name or path, files that are missing or can't be fetched, bad images or folders (as
            `folders.find_parts` and `decoding.decode`), small images of different sizes and no size, or more than memory should hold.
    """
    if size is not None and size not in SIZES:
        raise ValueError(f"size {size}: choose {SIZES[0]} to {SIZES[-1]} pixels")
    if name_or_path in NAMES and in_memory is False:
        raise ValueError(f"data {name_or_path!r} is no set of image files, so it can't stay on disk; leave in_memory=False out")
    if name_or_path == "digits":
        return _digits(size or 32)
    if name_or_path == imagenet16.NAME:
        return _imagenet16(_root(root), size)
    if name_or_path in NAMES:
        return _cifar(str(name_or_path), _root(root), download, size)
    path = _existing(name_or_path)
    parts, class_names, source = find_parts(path)
    shape, frame, remark = _sizes(parts, size)
    if in_memory is None:
        in_memory = fits_memory(sum(len(part.names) for part in parts), frame or shape)
    read = [_in_memory(part, shape, frame, parts) if in_memory else _on_disk(part, shape, frame) for part in parts]
    images = [part for part, _ in read]
    return Dataset(
        name=_name(path, class_names, parts),
        train=images[0],
        test=images[1] if images[1:] else None,
        class_names=class_names,
        augmentation=_crops_and_flips(shape),
        source=source + remark + _not_upright([orientations for _, orientations in read]),
        names=parts[0].names,
    )


def listing(name_or_path: str | os.PathLike[str], *, download: bool = False, root: str | os.PathLike[str] | None = None) -> Listing:
    """Names and labels of the training images of `load(name_or_path)`, without decoding files; arguments and errors as there."""
    if name_or_path in NAMES:
        return load(name_or_path, download=download, root=root).listing
    path = _existing(name_or_path)
    parts, class_names, source = find_parts(path)
    return Listing(_name(path, class_names, parts), parts[0].names, parts[0].labels, source)


def cache_folder() -> Path:
    """Where downloaded data are kept: nasarch in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nasarch"


def _root(root: str | os.PathLike[str] | None) -> Path:
    return Path(os.path.expanduser(root)) if root else cache_folder()


def _existing(name_or_path: str | os.PathLike[str]) -> Path:
    path = Path(os.path.expanduser(name_or_path))
    if not os.path.exists(path):
        raise ValueError(f"data {str(name_or_path)!r}: neither one of {', '.join(NAMES)} nor an existing path; a path holds {LAYOUTS}")
    return path


def _name(path: Path, class_names: Sequence[str], parts: Sequence[Members]) -> str:
    return data_name(path.resolve().name.removesuffix(".tar"), class_names, [len(part.names) for part in parts])


def _crops_and_flips(size: tuple[int, int]) -> Augmentation:
    if min(size) >= IMAGENET_STEM_SIZE:
        return Augmentation(crop_scale=CROP_SCALE, flip=True)
    return Augmentation(padding=min(size) // 8, flip=True)


# ---- image files


def _sizes(parts: list[Members], size: int | None) -> tuple[tuple[int, int], tuple[int, int] | None, str]:
    """What images show (H, W), the frame that they are brought to before (None: they have that size), and a remark if it was chosen here.

    Raises:
        ValueError: small images of different sizes and no `size`.
    """
    if size is not None:
        return (size, size), _frame(size), ""
    entries = parts[0].entries
    probed = entries[:: -(-len(entries) // PROBED)]
    shapes = [shape_of(place) for place in probed]
    if len(set(shapes)) == 1:
        return shapes[0], None, ""
    if sorted(map(min, shapes))[len(shapes) // 2] <= IMAGENET_STEM_SIZE:
        other = next(i for i, shape in enumerate(shapes) if shape != shapes[0])
        raise ValueError(DIFFERENT.format(probed[other], *shapes[other], *shapes[0]))
    frame = _frame(LARGE_SIZE)
    return (LARGE_SIZE, LARGE_SIZE), frame, f"; of different sizes, so shorter side to {frame[0]} and centre of {LARGE_SIZE}x{LARGE_SIZE}"


def _frame(size: int) -> tuple[int, int]:
    """About 8/7 of a large `size`, 256 for 224; larger by a multiple of 4, so that its centre crop is that of the image to the pixel."""
    side = size + 4 * round(size / 28) if size >= IMAGENET_STEM_SIZE else size
    return side, side


def _in_memory(part: Members, shape: tuple[int, int], frame: tuple[int, int] | None, parts: list[Members]) -> tuple[Images, dict[str, int]]:
    """All images of `part` decoded, as many as in all `parts` together fitting into memory; and their EXIF orientations by name."""
    check_memory(sum(len(one.names) for one in parts), frame or shape)
    pixels, orientations = decode(part.entries, frame or shape, resize=frame is not None)
    return Images(pixels, part.labels, None if frame in (None, shape) else shape), dict(zip(part.names, orientations, strict=True))


def _on_disk(part: Members, shape: tuple[int, int], frame: tuple[int, int] | None) -> tuple[Files, dict[str, int]]:
    """All images of `part` left on disk; and the EXIF orientations of those whose head is read.

    Without a frame that is each, as it has to have the `shape`, as in memory; with one only some are looked at.
    """
    step = 1 if frame is None else -(-len(part.entries) // PROBED)
    heads = {name: head_of(file) for name, file in zip(part.names[::step], part.entries[::step], strict=True)}
    if frame is None:
        for file, head in zip(part.entries, heads.values(), strict=True):
            if head[:2] != shape:
                raise ValueError(DIFFERENT.format(file, *head[:2], *shape))
    return Files(part.entries, part.labels, part.names, shape, frame), {name: head.orientation for name, head in heads.items()}


def _not_upright(orientations: Sequence[dict[str, int]]) -> str:
    """A remark on the images with an EXIF orientation, "" if there are none among those whose head was read."""
    turned = [(name, number) for part in orientations for name, number in part.items() if number != 1]
    if not turned:
        return ""
    name, number = turned[0]
    count = f"{len(turned):,} of {sum(map(len, orientations)):,} images read have" if len(turned) > 1 else "1 image has"
    return f"; {count} an EXIF orientation, which is not applied (the first is {shown(name)}, orientation {number})"


# ---- by name


def _digits(size: int) -> Dataset:
    gray, labels = digits.read()
    images = Images(_resized([Image.fromarray(image) for image in gray], size), torch.from_numpy(labels))
    rank = torch.empty_like(images.labels)  # of an image among those of its class
    for label in range(10):
        members = images.labels == label
        rank[members] = torch.arange(int(members.sum()))
    return Dataset(
        name="digits",
        train=images.subset(torch.nonzero(rank < TRAIN_DIGITS).flatten()),
        test=images.subset(torch.nonzero(rank >= TRAIN_DIGITS).flatten()),
        class_names=tuple("0123456789"),
        augmentation=Augmentation(padding=size // 16),  # a mirrored digit is none
        source=f"UCI's optical digits (8x8), enlarged bilinearly to {size}x{size}; the first {TRAIN_DIGITS} of each class to train",
    )


def _cifar(name: str, root: Path, download: bool, size: int | None) -> Dataset:
    from torchvision.datasets import CIFAR10, CIFAR100

    reader = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    try:
        train, test = (reader(root, train=part, download=download) for part in (True, False))
    except (OSError, RuntimeError) as error:
        if download:
            raise ValueError(
                f"data {name!r} can't be fetched into {root} ({error}); check the network and the folder, or use --root"
            ) from error
        raise ValueError(
            f"data {name!r}: no undamaged {reader.base_folder} in {root}; add --download to fetch it, or --root FOLDER that holds it"
        ) from error
    images = [Images(_squares(part.data, size), torch.tensor(part.targets)) for part in (train, test)]
    return Dataset(
        name=name,
        train=images[0],
        test=images[1],
        class_names=tuple(train.classes),
        augmentation=_crops_and_flips(images[0].size),
        source=f"torchvision's {reader.__name__}, {reader.filename}, MD5 {reader.tgz_md5}",
    )


def _imagenet16(root: Path, size: int | None) -> Dataset:
    parts, source = imagenet16.read_parts(root)
    images = [Images(_squares(pixels, size), torch.from_numpy(labels)) for pixels, labels in parts]
    return Dataset(
        name=data_name(imagenet16.NAME, IMAGENET16_CLASSES, [len(part) for part in images]),
        train=images[0],
        test=images[1],
        class_names=IMAGENET16_CLASSES,
        augmentation=_crops_and_flips(images[0].size),
        source=source,
        statistics=(IMAGENET16.mean, IMAGENET16.std),
    )


def _squares(pixels: np.ndarray, size: int | None) -> torch.Tensor:
    """uint8 [N, S, S, 3] -> [N, 3, size, size]."""
    if size in (None, pixels.shape[1]):
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return _resized([Image.fromarray(image) for image in pixels], size)


def _resized(images: list[Image.Image], size: int) -> torch.Tensor:
    """The images as RGB in one size: uint8 [N, 3, size, size]."""
    check_memory(len(images), (size, size))
    pixels = torch.empty(len(images), 3, size, size, dtype=torch.uint8)
    for row, image in zip(pixels, images, strict=True):
        row[:] = torch.from_numpy(np.array(fit(image, (size, size)).convert("RGB"))).permute(2, 0, 1)
    return pixels
