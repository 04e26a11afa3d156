"""Images a second of `Batches` against torchvision's loader of PIL images, on the same cores in one run.

Both crop with padding 4, flip and normalise 32x32 images that lie in memory, in batches of 256. torchvision's side is what the
published code does: `Image.fromarray`, RandomCrop, RandomHorizontalFlip, ToTensor, Normalize in a DataLoader; with no worker
process and with one for each core (kept alive, the start of the epoch counted), the better of the two taken. The three are
interleaved, wall-clock medians. What the images show does not matter here, so they are noise.

    python benchmarks/input.py [--images 10000] [--rounds 5] [--cores 1] [--out results/input.json]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms

from nasarch.files import write_text
from nasarch.search.batches import Batches
from nasarch.search.data import Augmentation, Dataset, Images

BATCH = 256


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
        "nasarch": Batches(data.train, data, batch_size=BATCH, seed=0),
    }
    speeds = [{name: speed(epoch) for name, epoch in loaders.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(one[name] for one in speeds) for name in loaders}


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


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a second of nasarch's batches against torchvision's PIL loader.")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="threads of torch and worker processes")
    parser.add_argument("--out", help="JSON file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.cores)
    speeds = measure(noise(options.images), options.cores, options.rounds)
    ratio = speeds["nasarch"] / max(speed for name, speed in speeds.items() if name != "nasarch")
    report = {
        **machine(options.cores),
        "images_per_second": {name: round(speed) for name, speed in speeds.items()},
        "ratio": round(ratio, 1),
    }
    for name, value in report.items():
        print(f"{name:18} {value}")
    if options.out:
        write_text(options.out, json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
