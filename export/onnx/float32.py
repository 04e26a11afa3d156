"""Export of a model to one ONNX file, checked against PyTorch before it gets its name.

| choice | value | reason |
|---|---|---|
| graph | see graph.py | opset 18, IR version 8, nothing of this machine |
| weights | inside the file | external tensors survive neither symbolic links (the Hub's cache) nor a new file name |
| input, output | `pixel_values` float32 [batch, C, H, W], `logits` [batch, classes] | what the Hub's ONNX clients expect; any batch |
| properties | see properties.py | a file that turns up in two years says what it is and what to feed it |

What export.py makes of the graph (preprocessing inside, float16, int8) begins with `checked`, too.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from nasarch.atomic import atomic_path
from nasarch.export.errors import ExportError, first_line
from nasarch.export.samples import sample_images
from nasarch.export.source.config import configuration, describe

from .check import BATCHES, Agreement, compare, worst
from .graph import INPUT, IR_VERSION, OPSET, OUTPUT, graph, opset_of, reduction, with_opset
from .properties import as_property, metadata
from .session import latencies, open_session, run

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class OnnxReport:
    """What was written and what the check measured; latencies are medians in milliseconds at batch 1 on `threads` CPU threads."""

    path: Path
    architecture: str
    input_size: Shape
    num_classes: int
    size_bytes: int
    agreement: Agreement
    torch_ms: float
    onnx_ms: float
    threads: int
    multiple: int | None = None
    opset: int = OPSET
    ir_version: int = IR_VERSION

    def lines(self) -> list[str]:
        """The report for a person, as lines of text."""
        channels, height, width = self.input_size
        agreement, noise = self.agreement, self.agreement.noise / (self.agreement.scale or 1.0)
        sizes, note = f"{height}, {width}", ""
        if self.multiple is not None:
            sizes, note = "height, width", f"; heights and widths are multiples of {self.multiple}, by which the network reduces its images"
        return [
            f"{self.path}: {self.architecture}, {self.size_bytes / 1e6:.1f} MB, opset {self.opset}, IR version {self.ir_version}",
            f"{INPUT} [batch, {channels}, {sizes}] -> {OUTPUT} [batch, {self.num_classes}]{note}",
            f"checked in onnxruntime {onnxruntime.__version__} with batches of {' and '.join(map(str, BATCHES))}: logits within"
            f" {agreement.relative} (allowed {agreement.allowed}; rounding in PyTorch itself {noise:.1e}){agreement.classes}",
            f"latency at batch 1 on {self.threads} CPU thread(s): PyTorch eager {self.torch_ms:.2f} ms,"
            f" onnxruntime {self.onnx_ms:.2f} ms ({self.torch_ms / self.onnx_ms:.1f}x)",
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


class Checked(NamedTuple):
    """A float32 graph that gives the logits of `reference`, and what its file says of itself; `multiple` is None for a fixed size."""

    reference: nn.Module
    shape: Shape
    multiple: int | None
    num_classes: int
    proto: onnx.ModelProto
    session: onnxruntime.InferenceSession
    agreement: Agreement
    properties: Mapping[str, str]

    def save(self, path: Path, proto: onnx.ModelProto | None = None, **properties: object) -> None:
        """Write the graph, or `proto` that was made of it, with its properties and those that differ."""
        proto = self.proto if proto is None else proto
        changes = {key: as_property(value) for key, value in properties.items() if value is not None}
        onnx.helper.set_model_props(proto, {**self.properties, **changes})
        onnx.save(proto, path)


def export_onnx(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    size: int | None = None,
    class_names: Sequence[str] | None = None,
    dynamic_size: bool = False,
    opset: int = OPSET,
) -> OnnxReport:
    """Write `model` to `path` as one checked ONNX file; the model itself isn't changed, whatever its mode, device or dtype.

    Args:
        model: maps images [B, C, H, W] to logits [B, classes]; the file computes in float32.
        size: height and width of the input in pixels; by default what the model's `pretrained_cfg` says.
        class_names: a name for each logit; by default `label_names` of `pretrained_cfg`, if it has them.
        dynamic_size: let the file take all heights and widths that are multiples of the factor by which the model reduces its images.
        opset: version of ONNX's operators, 13 to 22.

    The file is run in onnxruntime before it gets its name, see `check.compare`. An older file at `path` stays when that fails.

    Raises:
        ExportError: no input size, one that is too small or no multiple, class names that don't fit, a model without logits, one that
            torch can't export or not in this opset, or a file whose logits are not the model's.
        ValueError: `path` can't be written.
    """
    with atomic_path(path) as temporary:
        temporary.touch()  # a place that can't be written is known before the slow part
        checks = checked(model, size=size, class_names=class_names, dynamic_size=dynamic_size, opset=opset)
        checks.save(temporary)
        return report(checks, Path(path), temporary.stat().st_size)


def checked(
    model: nn.Module,
    *,
    size: int | None = None,
    class_names: Sequence[str] | None = None,
    dynamic_size: bool = False,
    opset: int = OPSET,
) -> Checked:
    """The graph of `model`, after it gave the model's logits in onnxruntime; arguments and errors as of `export_onnx`."""
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    multiple = reduction(model) if dynamic_size else None
    shape = input_size(model, size, multiple)
    with torch.autocast("cpu", enabled=False):
        twin = reference(model)
        num_classes = _count_classes(twin, shape)
        properties = metadata(model, shape, num_classes, class_names)
        if multiple is not None:
            properties["size_multiple"] = str(multiple)
        proto = with_opset(graph(twin, shape, multiple), opset)
        session = open_session(proto.SerializeToString())
        agreement = worst([compare(twin, session, one) for one in sizes(shape, multiple)])
    refuse(agreement, describe(twin))
    return Checked(twin, shape, multiple, num_classes, proto, session, agreement, properties)


def report(checks: Checked, path: Path, size_bytes: int) -> OnnxReport:
    """What was written to `path`."""
    image = sample_images(1, *checks.shape)
    torch_ms, onnx_ms = latencies(lambda: checks.reference(image), lambda: run(checks.session, image))
    return OnnxReport(
        path=path,
        architecture=describe(checks.reference),
        input_size=checks.shape,
        num_classes=checks.num_classes,
        size_bytes=size_bytes,
        agreement=checks.agreement,
        torch_ms=torch_ms,
        onnx_ms=onnx_ms,
        threads=torch.get_num_threads(),
        multiple=checks.multiple,
        opset=opset_of(checks.proto),
        ir_version=checks.proto.ir_version,
    )


def refuse(agreement: Agreement, name: str) -> None:
    """Raise ExportError unless `agreement` holds."""
    if not agreement.holds:
        difference = f"by {agreement.relative} (allowed {agreement.allowed}){agreement.classes}"
        remedy = "try other versions of torch, onnxscript or onnxruntime, and report the model"
        raise ExportError(f"refused: onnxruntime's logits of {name} differ from PyTorch's {difference}; {remedy}")


def sizes(shape: Shape, multiple: int | None) -> list[Shape]:
    """The shapes of images [C, H, W] that a file is checked with: its own, and where others are legal one that is no square."""
    channels, height, width = shape
    return [shape] if multiple is None else [shape, (channels, height + multiple, max(multiple, width - multiple))]


def input_size(model: nn.Module, size: int | None, multiple: int | None = None) -> Shape:
    """[C, H, W] of the input: `size`, or what the model says of itself; multiples of `multiple`, if that is given.

    Raises:
        ExportError: there is none, it is too small, or no multiple.
    """
    channels, *stated = configuration(model).get("input_size") or (3,)
    channels, name = getattr(model, "in_chans", channels), describe(model)
    if size is None and not stated:
        raise ExportError(f"{name} states no input size; pass size=, its height and width in pixels")
    height, width = stated if size is None else (size, size)
    smallest = reduction(model)
    if size is not None and size < smallest:  # of anything smaller less than a pixel is left
        raise ExportError(f"size {size} is too small for {name}; choose {smallest} or more pixels")
    if multiple is not None and (height % multiple or width % multiple):
        below = max(multiple, height // multiple * multiple)
        raise ExportError(
            f"size {height} is no multiple of {multiple}, by which {name} reduces its images; with --dynamic-size choose {below} or"
            f" {below + multiple}"
        )
    return channels, height, width


def reference(model: nn.Module) -> nn.Module:
    """A copy to work with: float32 on the CPU, in evaluation mode, without gradients."""
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise ExportError(f"{describe(model)} is on the meta device and has no weights; load some before the export")
    twin = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    checkpointing = getattr(twin, "set_grad_checkpointing", None)
    if checkpointing is not None:
        checkpointing(False)
    return twin


@torch.inference_mode()
def _count_classes(reference: nn.Module, shape: Shape) -> int:
    """The number of finite logits that `reference` gives for an image of `shape`, or a clear refusal."""
    name = describe(reference)
    try:
        logits = reference(sample_images(2, *shape))
    except Exception as error:  # any module may be given, so any error
        raise ExportError(f"{name} doesn't run on images of {list(shape)}: {first_line(error)}; choose another size") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or getattr(reference, "num_classes", None) == 0:
        output = f"a tensor {list(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ExportError(f"{name} gives {output} and no logits [batch, classes]; make it with a classifier (num_classes of 1 or more)")
    if not logits.isfinite().all():
        raise ExportError(f"the logits of {name} are not finite, so nothing can be checked; look for NaN or huge values in its weights")
    return logits.shape[1]
