"""Top-1 agreement of a float16 or int8 file with float32: the share of images that both put into the same class.

| images | compared | enough |
|---|---|---|
| real ones | the share that both put into the same class | 95 % |
| none at hand: synthetic ones | correlation of the logits, of each less its mean over the images | 0.9 |

Synthetic images have no classes, so no share of them means anything; but a file of other weights gives other logits for them, too.
Trained int8 networks had 0.99 and more; with noise of a third of the weights' spread in their tensors, 0.5 to 0.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nasarch.export.samples import sample_pixels

from .check import MIN_VARIATION, variation
from .uint8_input import Scaling

MIN_AGREEMENT = 0.95  # of the images; below it a file is refused
MIN_CORRELATION = 0.9  # likewise the correlation
SYNTHETIC = 32  # images
BATCH = 8

Logits = Callable[[Tensor], Tensor]  # images [B, C, H, W] -> [B, classes]


class Top1Agreement(NamedTuple):
    """What was found on `images` images from `source`; accuracies, of float32 and of the file, in 0..1 where labels are known."""

    source: str
    images: int
    agreement: float
    before: float | None = None
    after: float | None = None

    @property
    def holds(self) -> bool:
        return self.agreement >= MIN_AGREEMENT

    def __str__(self) -> str:
        same = f"the class that float32 says for {100 * self.agreement:.1f} % of {self.images} images of {self.source}"
        if self.before is None or self.after is None:
            return same
        return f"{same}, accuracy {100 * self.after:.1f} % (float32 {100 * self.before:.1f} %)"

    def properties(self) -> dict[str, Any]:
        """As a property of the file holds it."""
        known = {"images": self.images, "of": self.source, "same_class_as_float32": round(self.agreement, 4)}
        accuracy = {"float32_accuracy": self.before, "accuracy": self.after}
        return {**known, **{key: round(value, 4) for key, value in accuracy.items() if value is not None}}


def batches(pixels: Tensor, scaling: Scaling) -> Iterator[Tensor]:
    """What the network sees of `pixels`, uint8 [N, H, W, C], in batches of 8."""
    return (scaling.images(part) for part in pixels.split(BATCH))


@torch.inference_mode()
def measure_top1(exact: Logits, file: Logits, images: Iterable[Tensor], source: str, labels: Tensor | None = None) -> Top1Agreement:
    """How often `file` says the class that `exact` says, on batches of `images` (float32 [B, C, H, W])."""
    pairs = [(exact(batch).argmax(1), file(batch).argmax(1)) for batch in images]
    one, other = (torch.cat(answers) for answers in zip(*pairs, strict=True))
    accuracies = (None, None) if labels is None else (_share(one == labels), _share(other == labels))
    return Top1Agreement(source, len(one), _share(one == other), *accuracies)


@torch.inference_mode()
def correlation(exact: Logits, file: Logits, shape: Sequence[int], scaling: Scaling) -> float | None:
    """Of the logits of `exact` and `file` for synthetic images [C, H, W]; None where those of `exact` hardly depend on the image."""
    pixels = [*batches(sample_pixels(SYNTHETIC, *shape), scaling)]
    one, other = (torch.cat([side(batch) for batch in pixels]).double() for side in (exact, file))
    if not variation(one) >= MIN_VARIATION * one.abs().max().item():
        return None
    one, other = one - one.mean(0), other - other.mean(0)
    return ((one * other).sum() / (one.norm() * other.norm()).clamp(min=torch.finfo(torch.float64).tiny)).item()


def _share(right: Tensor) -> float:
    return right.double().mean().item()
