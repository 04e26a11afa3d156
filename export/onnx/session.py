"""ONNX files in onnxruntime on the CPU: opening a session, running a batch, latency."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor

from nasarch.export.errors import ExportError, first_line


def open_session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """onnxruntime on the CPU with as many threads as PyTorch uses; `model` is a file, or what stands in one.

    Raises:
        ExportError: onnxruntime can't load the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
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
    try:
        return torch.from_numpy(outputs[0])
    except (TypeError, IndexError) as error:
        kind = ", ".join(one.type for one in session.get_outputs()) or "nothing"
        raise ExportError(f"the file gives {kind}, no tensor of numbers first; give one whose first output are logits") from error


@torch.inference_mode()
def latencies(*calls: Callable[[], Any], seconds: float = 1.0) -> list[float]:
    """Median milliseconds of each of `calls`, one after the other in turn: 3 turns to warm up, then 5 to 50, as many as `seconds` allow."""
    for call in 3 * calls:
        call()
    turns: list[list[float]] = []
    while len(turns) < 5 or (len(turns) < 50 and sum(map(sum, turns)) < seconds * len(calls)):
        turns.append([_seconds(call) for call in calls])
    return [1e3 * statistics.median(times) for times in zip(*turns, strict=True)]


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
