"""Where a data set comes from: its name, or a path to images in class folders, becomes a `Dataset` in memory.

| name | images |
|---|---|
| `digits` | 1,797 handwritten digits, 8x8, of scikit-learn (Alpaydin and Kaynak 1998, UCI): enlarged to 32x32, no download |
| `cifar10`, `cifar100` | torchvision's files (Krizhevsky 2009): 50,000 + 10,000, 32x32 |
| a path | as `folders` describes it |
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .data import Augmentation, Dataset, Images
from .folders import LAYOUTS, check_memory, fit, read_folders

NAMES = ("digits", "cifar10", "cifar100")
SIZES = range(8, 1025)
TRAIN_DIGITS = 150  # of each class; the other 24 to 33 are the test part: 1,500 + 297


def load(
    name_or_path: str | os.PathLike[str],
    *,
    download: bool = False,
    root: str | os.PathLike[str] | None = None,
    size: int | None = None,
) -> Dataset:
    """The data set `name_or_path`, decoded into memory; a name comes before a path (write ./digits for a folder of that name).

    The augmentation is random crops of the image with an eighth of its side as padding and horizontal flips (CIFAR's 4 pixels of
    32, as in the papers), for digits only shifts of a sixteenth; `dataclasses.replace(data, augmentation=...)` changes it.

    Args:
        download: fetch CIFAR's files if they are missing.
        root: folder of CIFAR's files; `cache_folder()` if None.
        size: side in pixels of the square that all images are brought to; None keeps their own (digits: 32).

    Raises:
        ValueError: an unknown name or path, files that are missing or can't be fetched, or bad images (as `folders.read_folders`).
    """
    if size is not None and size not in SIZES:
        raise ValueError(f"size {size}: choose {SIZES[0]} to {SIZES[-1]} pixels")
    if name_or_path == "digits":
        return _digits(size or 32)
    if name_or_path in NAMES:
        return _cifar(str(name_or_path), Path(os.path.expanduser(root)) if root else cache_folder(), download, size)
    path = Path(os.path.expanduser(name_or_path))
    if not os.path.exists(path):
        raise ValueError(f"data {str(name_or_path)!r}: neither one of {', '.join(NAMES)} nor an existing path; a path holds {LAYOUTS}")
    train, test, class_names, source = read_folders(path, size)
    return Dataset(
        name=path.resolve().name.removesuffix(".tar"),
        train=train,
        test=test,
        class_names=class_names,
        augmentation=_crops_and_flips(train.size),
        source=source,
    )


def cache_folder() -> Path:
    """Where downloaded data are kept: nasarch in $XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nasarch"


def _crops_and_flips(size: tuple[int, int]) -> Augmentation:
    return Augmentation(padding=min(size) // 8, flip=True)


def _digits(size: int) -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ValueError("data 'digits' needs scikit-learn; run: pip install 'nasarch[demo]'") from error
    bunch = load_digits()
    gray = np.round(bunch.images * (255 / 16)).astype(np.uint8)  # levels 0..16
    images = Images(_resized([Image.fromarray(image) for image in gray], size), torch.from_numpy(bunch.target).long())
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
        source=f"scikit-learn's load_digits (8x8), enlarged bilinearly to {size}x{size}; the first {TRAIN_DIGITS} of each class to train",
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
    images = [Images(_cifar_pixels(part.data, size), torch.tensor(part.targets)) for part in (train, test)]
    return Dataset(
        name=name,
        train=images[0],
        test=images[1],
        class_names=tuple(train.classes),
        augmentation=_crops_and_flips(images[0].size),
        source=f"torchvision's {reader.__name__}, {reader.filename}, MD5 {reader.tgz_md5}",
    )


def _cifar_pixels(pixels: np.ndarray, size: int | None) -> torch.Tensor:
    """uint8 [N, 32, 32, 3] -> [N, 3, size, size]."""
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
