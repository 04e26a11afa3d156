"""Independent parts of a captured step side by side: streams of CUDA that fork and join again, branches of the graph.

Many kernels of a search step are too small to fill a GPU, and wait for nothing but the order in which they were started. In a CUDA graph
the branches run at the same time; kernels that are started one by one arrive too slowly for that, so eager steps have one stream.
PyTorch's backward pass computes on the streams of the forward pass, and waits where they meet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result", Tensor, Sequence[Tensor])
FORKS = False  # not measured yet: benchmarks compare with True
_SIDE: dict[tuple[int, int, int], torch.cuda.Stream] = {}  # by device, the stream that forks, and number


def is_forking(x: Tensor) -> bool:
    """Whether a step is being captured on the device of x, and parts of it may have streams of their own.

    Its autograd graph has to be kept until its gradients are there (`retain_graph`): memory that one stream gives back, another could use
    too early.
    """
    return FORKS and x.is_cuda and torch.cuda.is_current_stream_capturing()


def side_by_side(parts: Sequence[Callable[[], Result]], inputs: Sequence[Tensor]) -> list[Result]:
    """The results of all parts, which read `inputs`: the last on the current stream, the others on streams of their own."""
    if len(parts) == 1 or not is_forking(inputs[0]):
        return [part() for part in parts]
    current, results = torch.cuda.current_stream(inputs[0].device), list[Result]()
    others = [_side(current, number) for number in range(len(parts) - 1)]
    for part, stream in zip(parts, others, strict=False):
        stream.wait_stream(current)
        for x in inputs:
            x.record_stream(stream)
        with torch.cuda.stream(stream):
            results.append(part())
    results.append(parts[-1]())
    for stream, result in zip(others, results, strict=False):
        current.wait_stream(stream)
        for x in [result] if isinstance(result, Tensor) else result:
            x.record_stream(current)
    return results


def _side(stream: torch.cuda.Stream, number: int) -> torch.cuda.Stream:
    key = stream.device.index, stream.cuda_stream, number
    if key not in _SIDE:
        _SIDE[key] = torch.cuda.Stream(stream.device)
    return _SIDE[key]
