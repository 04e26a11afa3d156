"""Evaluation of a Core ML program (MIL) in PyTorch, operation by operation: Core ML itself runs on Apple's systems only.

Source: the operations of coremltools' MIL, https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nasarch.export.errors import ExportError


def evaluate(program: Any, image: Tensor, until: str) -> Tensor:
    """What the first operation of kind `until` takes, for the input `image` [1, C, H, W].

    Raises:
        ExportError: an operation is unknown here, or there is none of kind `until`.
    """
    (function,) = program.functions.values()
    (name,) = function.inputs
    values: dict[Any, Any] = {function.inputs[name]: image}

    def value(variable: Any) -> Any:
        if isinstance(variable, list | tuple):
            return [value(one) for one in variable]
        known = values.get(variable)
        if known is None:
            known = variable.val
        return torch.from_numpy(known.copy()) if isinstance(known, np.ndarray) and known.dtype == np.float32 else known

    for operation in function.operations:
        if operation.op_type == "const":
            continue
        given = {key: value(variable) for key, variable in operation.inputs.items() if variable is not None}
        given = {key: one for key, one in given.items() if one is not None}
        if operation.op_type == until:
            return given["x"]
        if operation.op_type not in OPERATIONS:
            raise ExportError(f"the Core ML program has an operation {operation.op_type}, which can't be compared here; report the model")
        values[operation.outputs[0]] = OPERATIONS[operation.op_type](given)
    raise ExportError(f"the Core ML program has no operation {until}; try another version of coremltools")


def _padded(given: dict[str, Any], fill: float) -> Tensor:
    """`x` with its padding [top, bottom, left, right], which MIL calls custom."""
    pad = given["pad"] if given["pad_type"] == "custom" else [0, 0, 0, 0]
    padded = functional.pad(given["x"], [*map(int, (*pad[2:], *pad[:2]))], value=fill)
    rounded_up = given.get("ceil_mode", False) and any(
        (size - kernel) % stride for size, kernel, stride in zip(padded.shape[2:], given["kernel_sizes"], given["strides"], strict=True)
    )
    if rounded_up or given["pad_type"] not in ("custom", "valid"):
        raise ExportError(f"the Core ML program pools or pads in a way that can't be compared here ({given['pad_type']}); report the model")
    return padded


def _convolution(given: dict[str, Any]) -> Tensor:
    strides, dilations = ([*map(int, given[key])] for key in ("strides", "dilations"))
    return functional.conv2d(_padded(given, 0.0), given["weight"], given.get("bias"), strides, 0, dilations, int(given["groups"]))


def _average(given: dict[str, Any]) -> Tensor:
    kernel, strides = ([*map(int, given[key])] for key in ("kernel_sizes", "strides"))
    total = functional.avg_pool2d(_padded(given, 0.0), kernel, strides)
    if not given.get("exclude_padding_from_average", False):
        return total
    return total / functional.avg_pool2d(_padded({**given, "x": torch.ones_like(given["x"])}, 0.0), kernel, strides)


def _slice(given: dict[str, Any]) -> Tensor:
    empty = [None] * given["x"].ndim
    bounds = (given["begin"], given["end"], *(given.get(key, empty) for key in ("stride", "begin_mask", "end_mask")))
    parts = [
        slice(None if first else int(begin), None if last else int(end), None if step is None else int(step))
        for begin, end, step, first, last in zip(*bounds, strict=True)
    ]
    return given["x"][tuple(parts)]


def _last_axis_first(pad: Any) -> list[int]:
    """MIL pads from the first axis on, PyTorch from the last."""
    pairs = [*zip(pad[::2], pad[1::2], strict=True)]
    return [int(one) for pair in reversed(pairs) for one in pair]


OPERATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "add": lambda given: given["x"] + given["y"],
    "sub": lambda given: given["x"] - given["y"],
    "mul": lambda given: given["x"] * given["y"],
    "real_div": lambda given: given["x"] / given["y"],
    "relu": lambda given: given["x"].relu(),
    "conv": _convolution,
    "avg_pool": _average,
    "max_pool": lambda given: functional.max_pool2d(
        _padded(given, -torch.inf), [*map(int, given["kernel_sizes"])], [*map(int, given["strides"])]
    ),
    "batch_norm": lambda given: functional.batch_norm(
        given["x"], given["mean"], given["variance"], given.get("gamma"), given.get("beta"), eps=float(given["epsilon"])
    ),
    "concat": lambda given: torch.cat(given["values"], int(given["axis"])),
    "slice_by_index": _slice,
    "reduce_mean": lambda given: given["x"].mean([*map(int, given["axes"])], keepdim=bool(given["keep_dims"])),
    "reshape": lambda given: given["x"].reshape([*map(int, given["shape"])]),
    "squeeze": lambda given: given["x"].squeeze([*map(int, given["axes"])]),
    "linear": lambda given: functional.linear(given["x"], given["weight"], given.get("bias")),
    "pad": lambda given: functional.pad(given["x"], _last_axis_first(given["pad"]), given["mode"], float(given["constant_val"])),
}
