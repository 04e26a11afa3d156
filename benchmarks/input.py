"""Images a second of `BatchLoader` against torchvision's loader, on the same cores in one run.

Small images: both crop with padding 4, flip and normalise 32x32 images that lie in memory, in batches of 256. torchvision's side is
what the published code does: `Image.fromarray`, RandomCrop, RandomHorizontalFlip, ToTensor, Normalize in a DataLoader; with no worker
process and with one for each core (kept alive, the start of the epoch counted), the better of the two taken. The three are
interleaved, wall-clock medians. What the images show does not matter here, so they are noise.

Large images, with --data: the training images of a folder (with train/ or train.tar), unpacked, in batches of 64 of 224x224.
torchvision's side is ImageFolder, RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize in a DataLoader; nasarch reads the same
files with as many workers, one for each core, and once has the images in memory; this process uses one thread. Every turn is an epoch
that is not counted and two that are, so that what workers decoded ahead of time is paid for. Then all that again with every fourth
image enlarged to 1024x1024, as photographs are.

    python benchmarks/input.py [--images 10000] [--rounds 5] [--cores 1] [--out results/input.json]
    python benchmarks/input.py --data imagenette-subset [--rounds 3] [--cores 2] [--out results/input-large.json]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms

from nasarch.atomic import write_text
from nasarch.compute import keep_freed_memory
from nasarch.data.dataset import Augmentation, Dataset, Images
from nasarch.data.load import load
from nasarch.data.loader import BatchLoader

BATCH = 256
LARGE_BATCH = 64
PHOTOGRAPH = 1024  # pixels a side


class PilImages(torch.utils.data.Dataset[Any]):
    """The images as torchvision's CIFAR10 gives them: a PIL image made and transformed at each access."""

    def __init__(self, images: Images, data: Dataset) -> None:
        self.pixels = np.ascontiguousarray(images.pixels.permute(0, 2, 3, 1).numpy())
        self.labels = images.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean, data.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def noise(count: int) -> Dataset:
    pixels = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train = Images(pixels, torch.arange(count) % 10)
    names = tuple(map(str, range(10)))
    return Dataset(name="noise", train=train, test=None, class_names=names, augmentation=Augmentation(padding=4, flip=True), source="noise")


def speed(epoch: Iterable[Any]) -> float:
    """Images a second of one pass."""
    start, count = time.perf_counter(), 0
    for _, y in epoch:
        count += len(y)
    return count / (time.perf_counter() - start)


def measure(data: Dataset, cores: int, rounds: int) -> dict[str, float]:
    """Median images a second of each loader; the first round warms up and is not counted."""
    pil = PilImages(data.train, data)
    loader: Callable[..., Any] = torch.utils.data.DataLoader
    loaders: dict[str, Iterable[Any]] = {
        "torchvision, no workers": loader(pil, batch_size=BATCH, shuffle=True),
        f"torchvision, {cores} worker(s)": loader(pil, batch_size=BATCH, shuffle=True, num_workers=cores, persistent_workers=True),
        "nasarch": BatchLoader(data.train, data, batch_size=BATCH, seed=0),
    }
    speeds = [{name: speed(epoch) for name, epoch in loaders.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(one[name] for one in speeds) for name in loaders}


def unpacked(path: Path, folder: Path, side: int | None) -> Path:
    """The images below `path` in class folders below `folder`: as they are, or every fourth enlarged to a square of `side` pixels."""
    train, step = load(path, in_memory=False).train, 1 if side is None else 4
    for name, place in zip(train.names[::step], train.places[::step], strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(place.read())
        if side is not None:
            Image.open(target).convert("RGB").resize((side, side), Image.Resampling.BICUBIC).save(target, "jpeg", quality=90)
    return folder


def folder_loader(folder: Path, data: Dataset, workers: int) -> Iterable[Any]:
    """What ImageNet training scripts do."""
    steps = [
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(data.mean, data.std),
    ]
    images = torchvision.datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return torch.utils.data.DataLoader(images, LARGE_BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def turn(loader: Iterable[Any]) -> float:
    """Images a second of the second and third epoch of three."""
    speed(loader)
    return statistics.harmonic_mean([speed(loader), speed(loader)])


def measure_large(path: Path, cores: int, rounds: int, side: int | None) -> dict[str, float]:
    """Median images a second of each loader."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = unpacked(path, Path(temporary), side)
        data, held = (load(folder, in_memory=in_memory, size=size) for in_memory, size in ((False, None), (True, 224 if side else None)))
        augmentation = Augmentation(crop_scale=(0.08, 1.0), flip=True)
        files = replace(data.train, size=(224, 224), frame=(256, 256))
        loaders = {
            "torchvision": folder_loader(folder, data, cores),
            "nasarch, on disk": BatchLoader(files, data, batch_size=LARGE_BATCH, seed=0, augmentation=augmentation, workers=cores),
            "nasarch, in memory": BatchLoader(held.train, held, batch_size=LARGE_BATCH, seed=0, augmentation=augmentation),
        }
        turns = [{name: turn(loader) for name, loader in loaders.items()} for _ in range(rounds)]
        del loaders
    return {name: statistics.median(one[name] for one in turns) for name in turns[0]}


def machine(cores: int) -> dict[str, Any]:
    return {
        "date": datetime.date.today().isoformat(),
        "processor": platform.processor() or platform.machine(),
        "cores": cores,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
    }


def report_small(images: int, cores: int, rounds: int) -> dict[str, Any]:
    speeds = measure(noise(images), cores, rounds)
    ratio = speeds["nasarch"] / max(speed for name, speed in speeds.items() if name != "nasarch")
    return {"images_per_second": {name: round(speed) for name, speed in speeds.items()}, "ratio": round(ratio, 1)}


def report_large(path: Path, cores: int, rounds: int) -> dict[str, Any]:
    torch.set_num_threads(1)  # the other cores are the workers'
    report: dict[str, Any] = {"workers": cores, "batch": LARGE_BATCH}
    for name, side in (("as they are", None), (f"enlarged to {PHOTOGRAPH}x{PHOTOGRAPH}", PHOTOGRAPH)):
        speeds = measure_large(path, cores, rounds, side)
        report[name] = {
            "images_per_second": {loader: round(speed) for loader, speed in speeds.items()},
            "ratio": {loader: round(speed / speeds["torchvision"], 2) for loader, speed in speeds.items()},
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a second of nasarch's batches against torchvision's loader.")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--data", type=Path, help="folder with large images; without it small ones in memory are measured")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="threads of torch and worker processes")
    parser.add_argument("--out", help="JSON file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.cores)
    keep_freed_memory()  # as a search on a CPU does
    if options.data is None:
        figures = report_small(options.images, options.cores, options.rounds)
    else:
        figures = report_large(options.data, options.cores, options.rounds)
    report = {**machine(options.cores), **figures}
    for name, value in report.items():
        print(f"{name:22} {value}")
    if options.out:
        write_text(options.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
