"""Profile of a model: parameters, multi-adds, memory of activations, latency on this machine.

| figure | is |
|---|---|
| parameters | numbers that are trained |
| multi-adds | those of convolutions and linear layers for one image in evaluation mode, as fvcore counts them |
| peak bytes | most bytes of images and activations at once in a forward pass without gradients |
| saved bytes | what autograd keeps for the backward pass of a training step |
| latency | median and quartiles of the time of a forward pass without gradients, after a warm-up |
| channels_last | its median with the model and the images in channels_last memory format (`model.to(memory_format=torch.channels_last)`) |

All measuring is done on a copy: the model keeps its mode, device and statistics.
"""

from __future__ import annotations

import copy
import statistics
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nasarch.compute import device_name, pick_device

WARMUP = 3


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Profile of a model by `profile_model`; bytes and milliseconds are those of a whole batch of `batch` images."""

    model: str
    input_size: tuple[int, int, int]
    batch: int
    device: str
    threads: int
    parameters: int
    multi_adds: int
    peak_bytes: int
    saved_bytes: int | None  # None: the last map has one pixel, on which batch normalisation can't train with one image
    latency_ms: float
    latency_quartiles_ms: tuple[float, float]
    channels_last_ms: float
    runs: int


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def multi_adds(model: nn.Module, input_size: tuple[int, int, int]) -> int:
    """Multi-adds of convolutions and linear layers for one image [C, H, W], in evaluation mode, counted by fvcore.

    Other layers (batch normalisation, pooling, sums) are not counted, so figures of papers that count them are higher.

    Raises:
        ValueError: the model can't run on such an image.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.* is deprecated")  # by fvcore, as it is imported
        from fvcore.nn import FlopCountAnalysis

    twin = copy.deepcopy(model).float().eval()
    image = torch.zeros(1, *input_size, device=_device_of(twin))
    with torch.no_grad(), _runs(input_size, 1):
        count = FlopCountAnalysis(twin, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_operator = count.by_operator()
    return round(by_operator["conv"] + by_operator["linear"])


def profile_model(
    model: nn.Module,
    *,
    size: int | None = None,
    batch: int = 1,
    runs: int = 20,
    threads: int | None = None,
    device: str | None = None,
) -> Profile:
    """Measure `model` on random images [batch, C, size, size] in float32.

    Args:
        size: by default that of the model's configuration.
        runs: timed forward passes.
        threads: of the CPU; by default PyTorch's choice.
        device: for all of it, see `pick_device`; by default the one where the model is.

    Raises:
        ValueError: a number is below 1, there is no such device, or the model can't run on such images.
    """
    check_positive(size=size, batch=batch, runs=runs, threads=threads)
    target = _device_of(model) if device is None else pick_device(device)
    twin = copy.deepcopy(model).to(target).float()
    shape = _input_size(twin, size)
    with threads_set(threads) as used, _runs(shape, batch):
        images = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0)).to(target)
        times = _latencies(twin.eval(), images, runs)
        layout = torch.channels_last
        in_layout = _latencies(twin.to(memory_format=layout), images.contiguous(memory_format=layout), runs)
        twin.to(memory_format=torch.contiguous_format)
        peak = peak_bytes(twin, images)
        with torch.random.fork_rng([target] if target.type == "cuda" else []):  # drop path draws
            saved = saved_bytes(twin.train(), images)
    return Profile(
        model=_config(model).get("architecture") or type(model).__name__,
        input_size=shape,
        batch=batch,
        device="cpu" if target.type == "cpu" else f"{target} ({device_name(target)})",
        threads=used,
        parameters=count_parameters(model),
        multi_adds=multi_adds(twin, shape),
        peak_bytes=peak,
        saved_bytes=saved,
        latency_ms=statistics.median(times),
        latency_quartiles_ms=quartiles(times),
        channels_last_ms=statistics.median(in_layout),
        runs=runs,
    )


def check_positive(**numbers: int | None) -> None:
    """Raise ValueError for a number below 1, or of more than 31 bits."""
    for name, number in numbers.items():
        if number is not None and not 1 <= number < 2**31:
            raise ValueError(f"{name} {number}; it has to be at least 1{', and below 2^31' * (number > 1)}")


def _device_of(model: nn.Module) -> torch.device:
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    if device.type == "meta":
        raise ValueError("the model is on device 'meta', which holds no numbers to compute with; create it without device='meta'")
    return device


def _config(model: nn.Module) -> dict[str, Any]:
    return dict(getattr(model, "pretrained_cfg", None) or {})


def _input_size(model: nn.Module, size: int | None) -> tuple[int, int, int]:
    stated = _config(model).get("input_size", (3, None, None))
    channels = getattr(model, "in_chans", stated[0])
    if size is None and stated[1] is None:
        raise ValueError(f"{type(model).__name__} states no input size; pass size=, the height and width of its images in pixels")
    return (channels, size or stated[1], size or stated[2])


@contextmanager
def threads_set(count: int | None) -> Iterator[int]:
    """PyTorch with `count` threads, and then as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield count or before
    finally:
        torch.set_num_threads(before)


@contextmanager
def _runs(shape: tuple[int, int, int], batch: int) -> Iterator[None]:
    """Say in one line what a model can't do."""
    try:
        yield
    except RuntimeError as error:
        what = f"{batch} image{'s' if batch > 1 else ''} of {'x'.join(map(str, shape))}"
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"the model can't run on {what}: {reason}; choose another size or batch") from error


def quartiles(times: Sequence[float]) -> tuple[float, float]:
    """The first and the third quartile; of a single time twice that."""
    if len(times) < 2:
        return times[0], times[0]
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return low, high


@torch.inference_mode()
def _latencies(model: nn.Module, images: Tensor, runs: int) -> list[float]:
    """Milliseconds of each of `runs` forward passes."""
    wait: Callable[[], None] = torch.accelerator.synchronize if images.device.type != "cpu" else lambda: None
    times = []
    for _ in range(WARMUP + runs):
        wait()
        start = time.perf_counter()
        model(images)
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return times[WARMUP:]


# ---- memory of activations: storages of tensors, each once, without weights and buffers; what kernels and allocators add is not seen


@torch.no_grad()
def peak_bytes(model: nn.Module, images: Tensor) -> int:
    """The most bytes that `images` and activations hold at once in a forward pass without gradients, in the model's mode."""
    with _LiveBytes(_addresses(model) | {images.data_ptr()}, images.nbytes) as counter:
        model(images)
    return counter.peak


def saved_bytes(model: nn.Module, images: Tensor) -> int | None:
    """The bytes that autograd keeps between a forward pass and its backward pass, in the model's mode.

    None: a map has one pixel, on which batch normalisation can't train with a single image.
    """
    weights = _addresses(model)
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = model(images)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            return None
        raise
    total = sum(saved.values())
    del output  # its graph kept every storage alive, and so its address unique, until they were counted
    return total


def _addresses(model: nn.Module) -> set[int]:
    """Addresses of the parameters and buffers."""
    return {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations made and that still live, and the most there were at once; `start`
    are there before, at the addresses `known`."""

    def __init__(self, known: Iterable[int], start: int) -> None:
        super().__init__()
        self.live = self.peak = start
        self.known = set(known)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().nbytes():
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        pointer, size = storage.data_ptr(), storage.nbytes()
        if pointer not in self.known:
            self.known.add(pointer)
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._forget, pointer, size)

    def _forget(self, pointer: int, size: int) -> None:
        self.known.discard(pointer)
        self.live -= size
