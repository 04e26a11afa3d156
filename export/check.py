"""Whether an ONNX file computes what a PyTorch model computes, and how fast both are: measured in onnxruntime on the CPU."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnxruntime
import torch
from torch import Tensor, nn

BATCHES = (1, 3)
RELATIVE_TOLERANCE = 1e-4  # of the amount by which a logit varies between images
NOISE_FACTOR = 10  # times PyTorch's own float32 rounding error
FAINT = 0.01  # a variation of logits between images that is small beside the logits themselves


class ExportError(ValueError):
    """The model can't become a file that gives its outputs; nothing was written."""


class Agreement(NamedTuple):
    """How far onnxruntime's logits are from PyTorch's; all four in units of the logits (see `compare`)."""

    difference: float
    tolerance: float
    scale: float
    noise: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance  # a NaN doesn't hold


@torch.inference_mode()
def compare(reference: nn.Module, session: onnxruntime.InferenceSession) -> Agreement:
    """The largest difference between the logits of `session` and of `reference` in batches of 1 and 3, and what is allowed.

    The unit is the `scale`: how much a logit varies from image to image (root mean square). In a fresh network images may
    die away, to 1e-7 beside the bias of the classifier, and any graph would pass: then brighter images are taken. A
    deep network with random weights amplifies rounding: PyTorch's float32 logits may be 1e-3 of the scale away from its own
    float64 logits (the `noise`), and no runtime can be asked for more. So the tolerance is the larger of 1e-4 of the
    scale and 10 times the noise. Within it both predict the same class wherever the best logit leads by more than
    twice the tolerance.

    Raises:
        ExportError: onnxruntime fails on a batch, or its logits have another shape.
    """
    (model_input,) = session.get_inputs()
    images, exact = _telling_images(copy.deepcopy(reference).double(), model_input.shape[1:])
    eager = torch.cat([reference(batch) for batch in images.split(BATCHES)]).double()
    seen = torch.cat([run(session, batch) for batch in images.split(BATCHES)]).double()
    if seen.shape != eager.shape:
        raise ExportError(f"onnxruntime's logits have shape {list(seen.shape)}, PyTorch's {list(eager.shape)}; report the model")
    scale = _scale(exact)
    noise = max((eager - exact).abs().max().item(), torch.finfo(torch.float32).eps * exact.abs().max().item())
    tolerance = max(RELATIVE_TOLERANCE * scale, NOISE_FACTOR * noise)
    return Agreement((seen - eager).abs().max().item(), tolerance, scale, noise)


def _telling_images(exact: nn.Module, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images for a float64 model, and its logits; bright enough that the logits depend on them."""
    images = sample_images(sum(BATCHES), *shape)
    logits = exact(images.double())
    largest, scale = logits.abs().max().item(), _scale(logits)
    if 0 < scale < FAINT * largest:
        images = images * (largest / scale)
        logits = exact(images.double())
    return images, logits


def _scale(logits: Tensor) -> float:
    """How much the logits [B, classes] vary from image to image: root mean square."""
    return (logits - logits.mean(0)).square().mean().sqrt().item()


def sample_images(count: int, channels: int, height: int, width: int) -> Tensor:
    """Normalised images [count, C, H, W], always the same: large shapes and some grain (white noise alone looks all alike to a network)."""
    generator = torch.Generator(device="cpu").manual_seed(0)
    coarse = torch.randn(count, channels, 4, 4, generator=generator, device="cpu", dtype=torch.float32)
    grain = torch.randn(count, channels, height, width, generator=generator, device="cpu", dtype=torch.float32)
    return nn.functional.interpolate(coarse, size=(height, width), mode="bilinear") + 0.25 * grain


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """onnxruntime on the CPU with as many threads as PyTorch uses.

    Raises:
        ExportError: onnxruntime can't load the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no other base
        raise ExportError(f"onnxruntime can't load the file: {first_line(error)}; try another version of it") from error


def run(session: onnxruntime.InferenceSession, batch: Tensor) -> Tensor:
    """The first output of `session` for `batch`.

    Raises:
        ExportError: onnxruntime fails.
    """
    try:
        outputs = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
    except Exception as error:
        images = list(batch.shape)
        raise ExportError(f"onnxruntime can't run the file on images {images}: {first_line(error)}; try another version of it") from error
    return torch.from_numpy(outputs[0])


@torch.inference_mode()
def latency(call: Callable[[], Any], seconds: float = 1.0) -> float:
    """Median milliseconds of `call` after 3 warm-up calls: 5 to 50 calls, as many as `seconds` allow."""
    for _ in range(3):
        call()
    times: list[float] = []
    while len(times) < 5 or (len(times) < 50 and sum(times) < seconds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
