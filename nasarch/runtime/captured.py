"""Captured steps: a step of training recorded once as a CUDA graph and replayed, which costs one launch instead of thousands.

A step is a function of tensors whose other state (weights, optimizer, running statistics) changes in place, and which returns tensors.
It may use no Python number that changes from step to step: learning rates and temperatures are tensors on the device, and what is
drawn on the CPU arrives by its arguments. Random numbers of the device's generator are safe: a replay goes on where the generator is.

A graph works on the addresses it was recorded with. The arguments are therefore copied to buffers, and the results out of them. On a
CPU, and where capturing failed, the same step runs on its arguments without a graph.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakSet

import torch
from torch import Tensor

from . import distributed

WARM_UP = 2  # real steps before a step is recorded, in which kernels are chosen and the optimizer's state is allocated
Step = Callable[..., Sequence[Tensor]]


class Captured:
    """The step `step(*tensors)`, captured for each combination of shapes that it meets.

    Args:
        step: returns tensors; it is called for the first steps of a combination of shapes, and once more while it is recorded.
        enabled: record and replay where the tensors are on CUDA and this is the only process.
    """

    def __init__(self, step: Step, *, enabled: bool = True) -> None:
        self.step, self.enabled = step, enabled and distributed.world_size() == 1
        if enabled and not self.enabled:
            warnings.warn(f"steps are captured in one process alone: these {distributed.world_size()} run kernel by kernel", stacklevel=2)
        self.graphs: dict[tuple[torch.Size, ...], _Graph] = {}
        self.calls: Counter[tuple[torch.Size, ...]] = Counter()
        self.constant: float | None = None

    def __call__(self, *tensors: Tensor) -> Sequence[Tensor]:
        if not (self.enabled and _can_capture(tensors)):
            return self.step(*tensors)
        with _capturing():
            return self._captured(tensors)

    def _captured(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        shapes = tuple(tensor.shape for tensor in tensors)
        self.calls[shapes] += 1
        if self.calls[shapes] <= WARM_UP:
            return _beside(self.step, tensors)
        if shapes not in self.graphs:
            try:
                self.graphs[shapes] = _Graph(self.step, tensors)
            except RuntimeError as error:
                self.enabled = False
                torch.cuda.synchronize()
                warnings.warn(f"the step can't be captured and runs kernel by kernel, which is slower: {_first_line(error)}", stacklevel=2)
                return self.step(*tensors)
        return self.graphs[shapes].replay(tensors)

    def set_constant(self, value: float) -> None:
        """State a number that is part of the step, such as the rate of drop path: when it changes, the graphs are recorded anew."""
        if value != self.constant:
            self.graphs.clear()
            self.constant = value


def is_captured() -> bool:
    """Whether a step runs that is captured, or will be: what is slow to start but fast to compute may be used."""
    return _RUNNING[0] > 0


_RUNNING = [0]


@contextmanager
def _capturing() -> Iterator[None]:
    _RUNNING[0] += 1
    try:
        yield
    finally:
        _RUNNING[0] -= 1


class _Graph:
    """A recorded step with its buffers.

    All graphs of a device share their memory: no two are replayed at a time, and nothing of one is read after another has run. A pool
    of memory ends with the last of its graphs.
    """

    def __init__(self, step: Step, tensors: Sequence[Tensor]) -> None:
        self.buffers = [tensor.clone() for tensor in tensors]
        self.graph = torch.cuda.CUDAGraph()
        others = [other for other in _ALIVE if other.buffers[0].device == tensors[0].device]
        with torch.cuda.graph(self.graph, pool=others[0].graph.pool() if others else None):
            self.results = step(*self.buffers)
        _ALIVE.add(self)

    def replay(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        for buffer, tensor in zip(self.buffers, tensors, strict=True):
            buffer.copy_(tensor)
        self.graph.replay()
        return [result.clone() for result in self.results]


_ALIVE: WeakSet[_Graph] = WeakSet()


def _can_capture(tensors: Sequence[Tensor]) -> bool:
    return tensors[0].is_cuda


def _beside(step: Step, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """A step on a stream of its own, as capturing wants it before."""
    stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        results = step(*tensors)
    current.wait_stream(stream)
    for argument in tensors:
        argument.record_stream(stream)
    for result in results:
        result.record_stream(current)
    return results


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
