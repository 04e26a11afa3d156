"""Small data sets for tests: noise in memory, image files in folders and in tar files, and the real ones beside the project."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nasarch.data.dataset import Augmentation, Dataset, Images

SHARED = Path(__file__).parents[3] / "shared" / "data"
ALL = Augmentation(padding=3, flip=True, cutout=4)


def images(count: int = 30, classes: int = 3, size: tuple[int, int] = (10, 12), seed: int = 0) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, *size), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.arange(count) % classes)


def dataset(train: Images | None = None, **changes: Any) -> Dataset:
    fields = dict(
        name="noise", train=train or images(), test=images(9, seed=1), class_names=("a", "b", "c"), augmentation=ALL, source="noise"
    )
    return Dataset(**{**fields, **changes})


def encoded(seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (8, 8), format: str = "png") -> bytes:
    """A random image file of `size` (H, W)."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, format)
    return file.getvalue()


def as_tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def as_tar(path: Path, files: dict[str, bytes], *special: tarfile.TarInfo, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in special:
            tar.addfile(member)
    return path


def two_classes(prefix: str = "", count: int = 3) -> dict[str, bytes]:
    names = [f"{prefix}{name}/{number}.png" for name in ("cat", "dog") for number in range(count)]
    return {name: encoded(seed) for seed, name in enumerate(names)}


def same(first: Any, second: Any) -> bool:
    """Whether two rows of batches are equal to the last bit."""
    return all(torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True))


def real(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs the data folder {name} beside the project")
    return path
