"""Numerical check of an ONNX file: logits in onnxruntime against PyTorch's, within a measured tolerance."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import onnxruntime
import torch
from torch import Tensor, nn

from nasarch.export.errors import ExportError
from nasarch.export.samples import sample_images, sample_pixels

from .session import run

BATCHES = (1, 3)
RELATIVE_TOLERANCE = 1e-4  # of the amount by which a logit varies between images
NOISE_FACTOR = 10  # times PyTorch's own float32 rounding error
MIN_VARIATION = 0.01  # a variation of logits between images that is small beside the logits themselves
BRIGHTER, BRIGHTEST = 1e8, 1e24  # times an image, at once and in all; float32 ends at 3e38


class Agreement(NamedTuple):
    """How far onnxruntime's logits are from PyTorch's; the first four in units of the logits (see `compare`).

    `clear` is the number of images whose class rounding can't change, `other` of how many of them onnxruntime says another class.
    """

    difference: float
    tolerance: float
    scale: float
    noise: float
    clear: int = 0
    other: int = 0

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance and not self.other  # a NaN doesn't hold

    @property
    def relative(self) -> str:
        """The difference in words and in `scale`: the images may be brighter than any, and so may the logits' own unit mean nothing."""
        return f"{self.difference / (self.scale or 1.0):.1e} of how much PyTorch's vary between images"

    @property
    def allowed(self) -> str:
        return f"{self.tolerance / (self.scale or 1.0):.1e}"

    @property
    def classes(self) -> str:
        """What was found of the classes, in words; empty where no class is clear."""
        return f", the same class for {self.clear - self.other} of {self.clear} images that have a clear one" * bool(self.clear)


@torch.inference_mode()
def compare(
    reference: nn.Module,
    session: onnxruntime.InferenceSession,
    shape: Sequence[int] | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
    batches: Sequence[int] = BATCHES,
) -> Agreement:
    """The largest difference between the logits of `session` and of `reference` in batches of 1 and 3, and what is allowed.

    The unit is the `scale`: how much a logit varies from image to image (root mean square). In a fresh network images may
    die away, to 1e-7 beside the bias of the classifier, and any graph would pass: then brighter images are taken. A
    deep network with random weights amplifies rounding: PyTorch's float32 logits may be 1e-3 of the scale away from its own
    float64 logits (the `noise`), and no runtime can be asked for more. So the tolerance is the larger of 1e-4 of the
    scale and 10 times the noise. The class has to be the same wherever in float64 the best logit leads by more than
    20 times the noise, so that 10 times of it can't change the class.

    Args:
        shape: [C, H, W] of the images; by default what the file says.
        prepare: what makes the images that `reference` sees of the pixels, uint8 [B, H, W, C], that the file takes; None: it
            takes the images themselves. Pixels can't be made brighter.
        batches: how many images at once.

    Raises:
        ExportError: onnxruntime fails on a batch, or its logits have another shape.
    """
    shape = session.get_inputs()[0].shape[1:] if shape is None else shape
    double = copy.deepcopy(reference).double()
    if prepare is None:
        images, exact = _telling_images(double, sum(batches), shape)
        fed = images
    else:
        fed = sample_pixels(sum(batches), *shape)
        images = prepare(fed)
        exact = double(images.double())
    eager = torch.cat([reference(batch) for batch in images.split([*batches])]).double()
    outputs = torch.cat([run(session, batch) for batch in fed.split([*batches])]).double()
    if outputs.shape != eager.shape:
        raise ExportError(f"onnxruntime's logits have shape {list(outputs.shape)}, PyTorch's {list(eager.shape)}; report the model")
    scale = variation(exact)
    noise = max((eager - exact).abs().max().item(), torch.finfo(torch.float32).eps * exact.abs().max().item())
    tolerance = max(RELATIVE_TOLERANCE * scale, NOISE_FACTOR * noise)
    clear, other = clear_classes(exact, outputs, NOISE_FACTOR * noise)
    return Agreement((outputs - eager).abs().max().item(), tolerance, scale, noise, clear, other)


def clear_classes(exact: Tensor, approximate: Tensor, error: float) -> tuple[int, int]:
    """How many images have a class in `exact` [B, classes] that errors of logits up to `error` can't change; how many another in `seen`."""
    best = exact.topk(min(2, exact.shape[1]), 1).values
    clear = best[:, 0] - best[:, -1] > 2 * error
    return int(clear.sum()), int((exact.argmax(1) != approximate.argmax(1))[clear].sum())


def worst(agreements: Sequence[Agreement]) -> Agreement:
    """That which has images of another class, else that which comes closest to its tolerance, or exceeds it most."""
    return max(
        agreements, key=lambda one: (one.other, math.inf if math.isnan(one.difference) else one.difference / (one.tolerance or 1e-300))
    )


def _telling_images(exact: nn.Module, count: int, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images for a float64 model, and its logits; bright enough that the logits depend on them."""
    images, light = sample_images(count, *shape), 1.0
    logits = exact(images.double())
    while (scale := variation(logits)) < MIN_VARIATION * (largest := logits.abs().max().item()) and light < BRIGHTEST:
        light *= min(largest / scale, BRIGHTER) if scale else BRIGHTER  # float64, too, may lose them beside the bias
        logits = exact((images * light).double())
    return images * light, logits


def variation(logits: Tensor) -> float:
    """How much the logits [B, classes] vary from image to image: root mean square."""
    return (logits - logits.mean(0)).square().mean().sqrt().item()
