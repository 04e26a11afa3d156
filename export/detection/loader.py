"""Data loader of detection: decoding, augmentation and resizing of annotated images; seed, epoch and image alone decide order and draws.

| augmentation | is | source |
|---|---|---|
| ssd | zoom out, IoU crop, flip, photometric distortion | Liu et al. 2016, sec. 2.2; torchvision's reference for ssd300_vgg16 |
| ssdlite | IoU crop, flip | torchvision's reference for ssdlite320_mobilenet_v3_large |
| flip, none | flip; nothing | - |

Images are resized bilinearly without antialiasing, as torchvision's SSD resizes what it detects in.

Note: torchvision's reference distorts colours first; here that comes last, on the resized image: the same but for the rim that zooming out
adds, which is distorted too.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from nasarch.data.decoding import open_image, tensor
from nasarch.data.image_files import File
from nasarch.data.workers import forking, ignore_interrupts

from .coco import Scene, Scenes
from .settings import Augmentation


class Batch(NamedTuple):
    """uint8 images [B, 3, size, size], and for each its boxes [N, 4] (corners, pixels) and labels [N]."""

    images: Tensor
    targets: list[dict[str, Tensor]]

    def to(self, device: torch.device) -> Batch:
        """The same on `device`, by three copies for which nobody waits: the images, all boxes, all labels."""
        if device.type == "cpu":
            return self
        counts = [len(target["labels"]) for target in self.targets]
        joined = {name: torch.cat([target[name] for target in self.targets]) for name in self.targets[0]}
        parts = {name: values.to(device, non_blocking=True).split(counts) for name, values in joined.items()}
        targets = [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]
        return Batch(self.images.to(device, non_blocking=True), targets)


def check_images(part: Scenes) -> None:
    """Look at the head of every image file.

    Raises:
        ValueError: one is no image, or has another size than its annotations say.
    """
    for scene, head in zip(part.scenes, part.heads, strict=True):
        if (head.height, head.width) == (scene.height, scene.width):
            continue
        stated, turned = f"{scene.width}x{scene.height}", head.orientation >= 5 and (head.width, head.height) == (scene.height, scene.width)
        reason = (
            f"they are those of the image as its EXIF orientation {head.orientation} turns it; save such images turned, without EXIF"
            if turned
            else "their boxes are of another image"
        )
        raise ValueError(f"{scene.file} has {head.width}x{head.height} pixels, its annotations say {stated}: {reason}")


def transforms(augmentation: Augmentation, size: int, mean: Sequence[float]) -> v2.Transform:
    """From an image with boxes of any size to one of size x size pixels; boxes that left the image are gone."""
    fill = {tv_tensors.Image: [round(255 * value) for value in mean], "others": 0}
    resize: list[v2.Transform] = [v2.Resize((size, size), antialias=False)]
    flip, clean = [v2.RandomHorizontalFlip()], [v2.SanitizeBoundingBoxes(min_size=1)]
    steps = {
        "ssd": [v2.RandomZoomOut(fill=fill), v2.RandomIoUCrop(), *resize, *flip, v2.RandomPhotometricDistort(), *clean],
        "ssdlite": [v2.RandomIoUCrop(), *resize, *flip, *clean],
        "flip": [*resize, *flip, *clean],
        "none": [*resize, *clean],
    }
    return v2.Compose(steps[augmentation])


class Draw(NamedTuple):
    """Image number `image` in epoch `epoch`."""

    epoch: int
    image: int


class Drawn(torch.utils.data.Dataset[Any]):
    """The samples: a draw gives the image with its boxes as the seed, the epoch and its number decide. Errors are values, see `batches`."""

    def __init__(self, scenes: Sequence[Scene], transform: v2.Transform, seed: int) -> None:
        self.scenes, self.transform, self.seed = scenes, transform, seed

    def __getitem__(self, draw: Draw) -> Any:
        scene = self.scenes[draw.image]
        try:
            pixels = tensor(open_image(scene.file))
        except ValueError as error:
            return error
        boxes = tv_tensors.BoundingBoxes(scene.boxes, format="XYXY", canvas_size=(scene.height, scene.width))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random.Random(f"{self.seed} {draw.epoch} {draw.image}").getrandbits(63))
            return self.transform({"image": tv_tensors.Image(pixels), "boxes": boxes, "labels": scene.labels})


def together(samples: Sequence[Any]) -> Batch | ValueError:
    """Samples as a batch of plain tensors, or the first error."""
    for sample in samples:
        if isinstance(sample, ValueError):
            return sample
    images = torch.stack([sample["image"].as_subclass(Tensor) for sample in samples])
    return Batch(images, [{"boxes": sample["boxes"].as_subclass(Tensor), "labels": sample["labels"]} for sample in samples])


class Epochs:
    """Which images are in which step: every epoch in a new order, a last smaller batch left out; of each batch this process' share."""

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, ranks: int = 1) -> None:
        if batch_size > count or batch_size < 2 * ranks or batch_size % ranks:
            shared = f" and {ranks} processes, a multiple of which it has to be" if ranks > 1 else ""
            raise ValueError(
                f"batch size {batch_size}: there are {count} images with boxes{shared}; choose {2 * ranks} to {count} (batch normalisation "
                "needs two images)"
            )
        self.count, self.batch_size, self.seed, self.rank, self.ranks = count, batch_size, seed, rank, ranks

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return self.count // self.batch_size

    def draws(self, epochs: range, step: int) -> Iterator[list[Draw]]:
        """The batches of the epochs, the first one from `step` on."""
        for epoch in epochs:
            order = list(range(self.count))
            random.Random(f"{self.seed} {epoch}").shuffle(order)
            for number in range(step if epoch == epochs.start else 0, self.steps):
                share = order[number * self.batch_size : (number + 1) * self.batch_size][self.rank :: self.ranks]
                yield [Draw(epoch, image) for image in share]


def batches(
    scenes: Sequence[Scene], transform: v2.Transform, seed: int, draws: Iterable[list[Draw]], workers: int
) -> Generator[Batch, None, None]:
    """A batch for each list of draws, prepared by `workers` processes ahead of time; 0 prepares them here.

    Raises:
        ValueError: an image can't be decoded, or a process died.
    """
    return _loaded(Drawn(scenes, transform, seed), workers, batch_sampler=draws, collate_fn=together)


def pictures(files: Sequence[File], workers: int) -> Iterator[tuple[Image.Image, Tensor]]:
    """Each image as it is, and as torchvision's detectors take it: float [3, H, W], levels 0 to 1.

    Raises:
        ValueError: one can't be decoded, or a process died.
    """
    for image in _loaded(_Opened(files), workers, batch_size=None):
        yield image, tensor(image).float() / 255


class _Opened(torch.utils.data.Dataset[Any]):
    def __init__(self, files: Sequence[File]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Image.Image | ValueError:
        try:
            return open_image(self.files[index])
        except ValueError as error:
            return error


def _loaded(dataset: torch.utils.data.Dataset[Any], workers: int, **how: Any) -> Generator[Any, None, None]:
    """Batches of torch's loader; errors that are values are raised here."""
    with forking():
        loader = iter(DataLoader(dataset, num_workers=workers, worker_init_fn=ignore_interrupts, **how))
    while True:
        try:
            value = next(loader)
        except StopIteration:
            return
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ValueError(
                f"a process that prepares images died; see that memory is free, or choose fewer --workers than {workers}"
            ) from error
        if isinstance(value, ValueError):
            raise value
        yield value
