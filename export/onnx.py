"""A model as one ONNX file, checked against PyTorch before it gets its name.

| choice | value | reason |
|---|---|---|
| opset, IR version | 18, 8 | onnxruntime 1.15 (2023) and later load it; what torch writes by itself (IR 10) needs 1.18 |
| weights | inside the file | external tensors survive neither symbolic links (the Hub's cache) nor a new file name |
| input, output | `pixel_values` float32 [batch, C, H, W], `logits` [batch, classes] | what the Hub's ONNX clients expect; any batch |
| notes of the exporter | removed | they carry local paths and lines of source code |
| properties | see metadata.py | a file that turns up in two years says what it is and what to feed it |
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from nasarch.files import atomic_path

from .check import BATCHES, Agreement, ExportError, compare, first_line, latency, open_session, run, sample_images
from .metadata import configuration, metadata
from .source import build_model, describe

OPSET = 18
IR_VERSION = 8
INPUT, OUTPUT = "pixel_values", "logits"


@dataclass(frozen=True, kw_only=True)
class OnnxReport:
    """What was written and what the check measured; latencies are medians in milliseconds at batch 1 on `threads` CPU threads."""

    path: Path
    architecture: str
    input_size: tuple[int, int, int]
    num_classes: int
    size_bytes: int
    agreement: Agreement
    torch_ms: float
    onnx_ms: float
    threads: int
    random_weights: bool = False

    def lines(self) -> list[str]:
        """The report for a person, as lines of text."""
        channels, height, width = self.input_size
        seen, unit = self.agreement, self.agreement.scale or 1.0
        lines = [
            f"{self.path}: {self.architecture}, {self.size_bytes / 1e6:.1f} MB, opset {OPSET}, IR version {IR_VERSION}",
            f"{INPUT} [batch, {channels}, {height}, {width}] -> {OUTPUT} [batch, {self.num_classes}]",
            f"checked in onnxruntime {onnxruntime.__version__} with batches of {' and '.join(map(str, BATCHES))}: logits within"
            f" {seen.difference:.1e} of PyTorch's, {seen.difference / unit:.1e} of how much they vary between images"
            f" (allowed {seen.tolerance / unit:.1e}; rounding in PyTorch itself {seen.noise / unit:.1e})",
            f"latency at batch 1 on {self.threads} CPU thread(s): PyTorch eager {self.torch_ms:.2f} ms,"
            f" onnxruntime {self.onnx_ms:.2f} ms ({self.torch_ms / self.onnx_ms:.1f}x)",
        ]
        return lines + ["the weights are random: --checkpoint W.safetensors exports trained ones"] * self.random_weights

    def __str__(self) -> str:
        return "\n".join(self.lines())


def export_model(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    size: int | None = None,
    class_names: Sequence[str] | None = None,
) -> OnnxReport:
    """Export a model by its timm name, or a genotype by its .json file, with the weights of `checkpoint` (.safetensors).

    Classes, input channels, cells and width follow the checkpoint. Without one the weights are random (always the
    same ones) and the report says so. `size`, `class_names` and what is written: see `export_onnx`.

    Raises:
        ValueError: an unknown name, a bad genotype, a checkpoint that doesn't fit, or what `export_onnx` refuses.
    """
    report = export_onnx(build_model(source, checkpoint), path, size=size, class_names=class_names)
    return replace(report, random_weights=checkpoint is None)


def export_onnx(
    model: nn.Module, path: str | os.PathLike[str], *, size: int | None = None, class_names: Sequence[str] | None = None
) -> OnnxReport:
    """Write `model` to `path` as one checked ONNX file; the model itself isn't changed, whatever its mode, device or dtype.

    Args:
        model: maps images [B, C, H, W] to logits [B, classes]; the file computes in float32.
        size: height and width of the input in pixels; by default what the model's `pretrained_cfg` says.
        class_names: a name for each logit; by default `label_names` of `pretrained_cfg`, if it has them.

    The file is run in onnxruntime before it gets its name, see `check.compare`. An older file at `path` stays when that fails.

    Raises:
        ExportError: no input size, one that is too small, class names that don't fit, a model without logits, one that
            torch can't export, or a file whose logits are not the model's.
        ValueError: `path` can't be written.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    shape = _input_size(model, size)
    reference = _reference(model)
    num_classes = _count_classes(reference, shape)
    properties = metadata(model, shape, num_classes, class_names)
    with atomic_path(path) as temporary, torch.autocast("cpu", enabled=False):
        temporary.touch()  # a place that can't be written is known before the slow part
        proto = _graph(reference, shape)
        onnx.helper.set_model_props(proto, properties)
        onnx.save(proto, temporary)
        return replace(_measure(reference, temporary, shape, num_classes), path=Path(path))


def _measure(reference: nn.Module, file: Path, shape: tuple[int, int, int], num_classes: int) -> OnnxReport:
    """What `file` is, how well it agrees with `reference` and how fast both are; refuses it if its logits are others."""
    session = open_session(file)
    agreement = compare(reference, session)
    if not agreement.holds:
        raise ExportError(
            f"refused: onnxruntime's logits of {describe(reference)} differ from PyTorch's by {agreement.difference:.1e}, more than"
            f" {agreement.tolerance:.1e}; try other versions of torch, onnxscript or onnxruntime, and report the model"
        )
    image = sample_images(1, *shape)
    return OnnxReport(
        path=file,
        architecture=describe(reference),
        input_size=shape,
        num_classes=num_classes,
        size_bytes=file.stat().st_size,
        agreement=agreement,
        torch_ms=latency(lambda: reference(image)),
        onnx_ms=latency(lambda: run(session, image)),
        threads=torch.get_num_threads(),
    )


def _input_size(model: nn.Module, size: int | None) -> tuple[int, int, int]:
    """[C, H, W] of the input: `size`, or what the model says of itself."""
    channels, *stated = configuration(model).get("input_size") or (3,)
    channels = getattr(model, "in_chans", channels)
    if size is None:
        if not stated:
            raise ExportError(f"{describe(model)} states no input size; pass size=, its height and width in pixels")
        return channels, stated[0], stated[1]
    smallest = _smallest_size(model)
    if size < smallest:
        raise ExportError(f"size {size} is too small for {describe(model)}; choose {smallest} or more pixels")
    return channels, size, size


def _smallest_size(model: nn.Module) -> int:
    """The factor by which the model reduces its input: of anything smaller less than a pixel is left."""
    levels = getattr(model, "feature_info", None)
    return max((level.get("reduction", 1) for level in levels), default=1) if isinstance(levels, list) else 1


def _reference(model: nn.Module) -> nn.Module:
    """A copy to work with: float32 on the CPU, in evaluation mode, without gradients."""
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise ExportError(f"{describe(model)} is on the meta device and has no weights; load some before the export")
    twin = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    checkpointing = getattr(twin, "set_grad_checkpointing", None)
    if checkpointing is not None:
        checkpointing(False)
    return twin


@torch.inference_mode()
def _count_classes(reference: nn.Module, shape: tuple[int, int, int]) -> int:
    """The number of finite logits that `reference` gives for an image of `shape`, or a clear refusal."""
    name = describe(reference)
    try:
        logits = reference(sample_images(2, *shape))
    except Exception as error:  # any module may be given, so any error
        raise ExportError(f"{name} doesn't run on images of {list(shape)}: {first_line(error)}; choose another size") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or getattr(reference, "num_classes", None) == 0:
        found = f"a tensor {list(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ExportError(f"{name} gives {found} and no logits [batch, classes]; make it with a classifier (num_classes of 1 or more)")
    if not logits.isfinite().all():
        raise ExportError(f"the logits of {name} are not finite, so nothing can be checked; look for NaN or huge values in its weights")
    return logits.shape[1]


def _graph(reference: nn.Module, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """The ONNX model of `reference` for any batch, in the form of the table above."""
    try:
        proto = _translate(reference, sample_images(2, *shape))
        opsets = {opset.domain: opset.version for opset in proto.opset_import}
        if opsets != {"": OPSET}:  # the exporter may quietly keep another version or add operators of its own
            raise ExportError(f"its operators are {opsets}, not plain ONNX {OPSET}")
        onnx.checker.check_model(proto, full_check=True)
    except (torch.onnx.OnnxExporterError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ExportError) as error:
        reason = first_line(error.__cause__ or error)
        raise ExportError(f"torch can't export {describe(reference)}: {reason}; simplify its forward") from error
    return proto


def _translate(reference: nn.Module, example: Tensor) -> onnx.ModelProto:
    """What torch's exporter makes of `reference`, without the notes that it leaves on each node."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            reference,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: "batch"},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    _uncount_padding(proto)
    del proto.graph.value_info[:]
    proto.ir_version = IR_VERSION
    return proto


def _uncount_padding(proto: onnx.ModelProto) -> None:
    """Let average poolings without padding leave out what lies beyond the edge of an odd map, as PyTorch does.

    There `count_include_pad` should mean nothing, but with `ceil_mode` onnxruntime 1.15 to 1.23 counts that too.
    """
    for node in proto.graph.node:
        padded = any(any(attribute.ints) for attribute in node.attribute if attribute.name == "pads")
        for attribute in node.attribute:
            if attribute.name == "count_include_pad" and not padded:
                attribute.i = 0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress lines, and without a warning that torch 2.11 gives about itself."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)
        yield


def _strip(message: Any) -> None:
    """Remove every `metadata_props` and `doc_string` inside a protobuf message: stack traces with local paths and lines of source."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)
