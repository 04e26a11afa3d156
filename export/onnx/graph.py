"""Translation of a PyTorch model to a plain ONNX graph: opset 18, IR version 8, any batch, and on request any height and width, or
another opset.

| choice | value | reason |
|---|---|---|
| opset, IR version | 18, 8 | onnxruntime 1.15 (2023) and later load it; what torch writes by itself (IR 10) needs 1.18 |
| notes of the exporter | removed | they carry local paths and lines of source code |
| average pooling without padding | counts none | at odd edges some runtimes count it all the same, see `_uncount_padding` |
| height and width | fixed, or multiples of the factor by which the model reduces its images | at others maps differ by a pixel |
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from nasarch.export.errors import ExportError, first_line
from nasarch.export.samples import sample_images
from nasarch.export.source.config import describe

OPSET = 18
IR_VERSION = 8
OPSETS = range(13, 23)  # from scales by channel, which int8 needs, to the last that is tested
NEWER = ("allowzero", "noop_with_empty_axes")  # attributes of later opsets, for shapes and axes that are empty or zero
INPUT, OUTPUT = "pixel_values", "logits"
BATCH, HEIGHT, WIDTH = "batch", "height", "width"


def reduction(model: nn.Module) -> int:
    """The factor by which the model reduces height and width: 4 of a CIFAR network, 32 of an ImageNet one; 1 if it doesn't say so."""
    levels = getattr(model, "feature_info", None)
    return max((level.get("reduction", 1) for level in levels), default=1) if isinstance(levels, list) else 1


def graph(reference: nn.Module, shape: Sequence[int], multiple: int | None = None) -> onnx.ModelProto:
    """The ONNX model of `reference` for images of `shape` [C, H, W] in any batch.

    With `multiple` height and width may be any multiples of it, and H and W of `shape` are only an example.

    Raises:
        ExportError: torch can't export it, or not in plain ONNX of this opset.
    """
    axes: dict[int, Any] = {0: BATCH}
    if multiple is not None:
        axes |= {axis: multiple * torch.export.Dim(name, min=1) for axis, name in ((2, HEIGHT), (3, WIDTH))}
    try:
        proto = translated(reference, sample_images(2, *shape), INPUT, [OUTPUT], axes)
    except ExportError as error:
        what = describe(reference) + ("" if multiple is None else f" with heights and widths in multiples of {multiple}")
        raise ExportError(f"torch can't export {what}: {error}; simplify its forward") from error
    if multiple is not None:  # the exporter calls them 32*height
        for dimension, name in zip(proto.graph.input[0].type.tensor_type.shape.dim[2:], (HEIGHT, WIDTH), strict=True):
            dimension.dim_param = name
    return proto


def translated(
    module: nn.Module,
    example: Tensor,
    takes: str,
    gives: Sequence[str],
    axes: Mapping[int, Any],
    operators: Mapping[Any, Callable[..., Any]] | None = None,
) -> onnx.ModelProto:
    """What torch's exporter makes of `module`, in the form of the table above, checked by onnx.

    Args:
        example: an input of `module`; its `axes` may have other sizes, which are called so.
        takes: name of the input.
        gives: names of the outputs.
        operators: what operators of torch that it doesn't know are in ONNX.

    Raises:
        ExportError: it can't, or not in plain ONNX of this opset; says only why.
    """
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (example,),
                input_names=[takes],
                output_names=[*gives],
                dynamic_shapes=(dict(axes),),
                opset_version=OPSET,
                custom_translation_table=None if operators is None else dict(operators),
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        proto = plain(program.model_proto)
        strip(proto)
        _uncount_padding(proto)
        opsets = {opset.domain: opset.version for opset in proto.opset_import}
        if opsets != {"": OPSET}:  # the exporter may quietly keep another version or add operators of its own
            raise ExportError(f"its operators are {opsets}, not plain ONNX {OPSET}")
        onnx.checker.check_model(proto, full_check=True)
    except (torch.onnx.OnnxExporterError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(first_line(error.__cause__ or error)) from error
    return proto


def plain(proto: onnx.ModelProto) -> onnx.ModelProto:
    """`proto` without inferred shapes, which any reader infers again, and in the IR version that old runtimes load."""
    del proto.graph.value_info[:]
    proto.ir_version = IR_VERSION if opset_of(proto) >= 15 else 7
    return proto


def opset_of(proto: onnx.ModelProto) -> int:
    return next((opset.version for opset in proto.opset_import if opset.domain in ("", "ai.onnx")), OPSET)


def with_opset(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """`proto`, which is of opset 18, in another opset.

    Raises:
        ExportError: it isn't one of 13 to 22, or the graph has an operator that means something else there.
    """
    if opset not in OPSETS:
        raise ExportError(f"opset {opset}; choose one from {OPSETS[0]} to {OPSETS[-1]}")
    if opset == OPSET:
        return proto
    try:
        if opset > OPSET:
            result = onnx.version_converter.convert_version(proto, opset)
        else:
            result = _older(proto, opset)
        onnx.checker.check_model(plain(result), full_check=True)
    except (RuntimeError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the graph can't be converted to opset {opset}: {first_line(error)}; choose {OPSET}") from error
    return result


def _older(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """A copy in an opset before 18, in which the axes of ReduceMean are an attribute; onnx's converter doesn't know that."""
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in result.graph.initializer}
    for node in result.graph.node:
        for attribute in [one for one in node.attribute if one.name in NEWER]:
            node.attribute.remove(attribute)
        if node.op_type == "ReduceMean" and len(node.input) == 2:
            node.attribute.append(onnx.helper.make_attribute("axes", constants[node.input.pop()].tolist()))
    read = {name for node in result.graph.node for name in node.input}
    unread = [tensor for tensor in result.graph.initializer if tensor.name not in read]
    for tensor in unread:
        result.graph.initializer.remove(tensor)
    next(one for one in result.opset_import if one.domain in ("", "ai.onnx")).version = opset
    return result


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


def strip(message: Any) -> None:
    """Remove every `metadata_props` and `doc_string` inside a protobuf message: stack traces with local paths and lines of source."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                strip(part)
