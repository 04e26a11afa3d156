"""Safe reading of an untrusted ONNX file: its structure, and a session to run it.

| refused | because |
|---|---|
| tensors outside the file | a path in a foreign file may name any file of this machine; nothing outside is ever opened |
| operators of domains other than ONNX's and onnxruntime's own, unless the file defines them | they would need code from elsewhere |
| what is no ONNX, is damaged, or fails onnx.checker | it would compute anything, or crash |

The file is read once, and what was looked at is what is run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from nasarch.export.errors import ExportError, first_line

from .session import open_session

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
LARGEST = 2**31 - 1  # bytes; protobuf's own limit


@dataclass(frozen=True, kw_only=True)
class UntrustedModel:
    """A file that may be run; shapes hold a number or a name for each dimension."""

    path: Path
    size_bytes: int
    opset: int
    ir_version: int
    nodes: int
    inputs: dict[str, tuple[str, list[Any]]]
    outputs: dict[str, tuple[str, list[Any]]]
    properties: dict[str, str]
    session: onnxruntime.InferenceSession

    def __str__(self) -> str:
        ends = [", ".join(f"{name} {kind} {shape}" for name, (kind, shape) in end.items()) for end in (self.inputs, self.outputs)]
        return (
            f"{self.path}: {self.size_bytes / 1e6:.1f} MB, opset {self.opset}, IR version {self.ir_version}, {self.nodes} nodes, one file\n"
            f"{ends[0]} -> {ends[1]}"
        )


def read_onnx(path: str | os.PathLike[str]) -> UntrustedModel:
    """Read, look through, check and open a file.

    Raises:
        ExportError: it can't be read, or one of the table's reasons.
    """
    content = _content(path)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception as error:  # protobuf's own
        raise ExportError(f"{path} is no ONNX file, or a damaged one ({first_line(error)}); export or copy it again") from error
    _check_tensors(path, proto)
    _check_domains(path, proto)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:  # of the checker, of shape inference, and where it is not even a graph
        raise ExportError(f"{path} is not legal ONNX: {first_line(error)}; export or copy it again") from error
    session = open_session(content)
    opsets = {opset.domain: opset.version for opset in proto.opset_import}
    return UntrustedModel(
        path=Path(path),
        size_bytes=len(content),
        opset=opsets.get("", opsets.get("ai.onnx", 0)),
        ir_version=proto.ir_version,
        nodes=len(proto.graph.node),
        inputs={one.name: (one.type, one.shape) for one in session.get_inputs()},
        outputs={one.name: (one.type, one.shape) for one in session.get_outputs()},
        properties={one.key: one.value for one in proto.metadata_props},
        session=session,
    )


def _content(path: str | os.PathLike[str]) -> bytes:
    try:
        if os.path.getsize(path) > LARGEST:
            raise ExportError(f"{path} has more than 2 GB, which no ONNX file in one piece has; give another file")
        return Path(path).read_bytes()
    except OSError as error:
        raise ExportError(f"can't read {path}: {error.strerror or error}; give the path of an .onnx file") from error


def _check_tensors(path: str | os.PathLike[str], proto: onnx.ModelProto) -> None:
    for tensor in _inside(proto, onnx.TensorProto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "another file")
            raise ExportError(
                f"{path} keeps the tensor {tensor.name!r} in {location!r}, outside itself, and nothing outside is opened; save it as"
                " one file: onnx.save(model, FILE, save_as_external_data=False)"
            )


def _check_domains(path: str | os.PathLike[str], proto: onnx.ModelProto) -> None:
    own = {(function.domain, function.name) for function in proto.functions}
    for node in _inside(proto, onnx.NodeProto):
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise ExportError(
                f"{path} has the operator {node.op_type} of domain {node.domain!r}, which needs code from elsewhere; legal are ONNX's own"
                " operators: export the model with them"
            )


def _inside(message: Any, kind: type) -> Iterator[Any]:
    """All messages of type `kind` in a protobuf message, however deep: in attributes, in graphs of branches, in functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            if isinstance(part, kind):
                yield part
            yield from _inside(part, kind)
