"""Safe reading of an untrusted ONNX file: its structure, and a session to run it.

| refused | because |
|---|---|
| tensors outside the file | a path in a foreign file may name any file of this machine; nothing outside is ever opened |
| operators of domains other than ONNX's and onnxruntime's own, unless the file defines them | they would need code from elsewhere |
| what is no ONNX, is damaged, or fails onnx.checker | it would compute anything, or crash |

The file is read once, and what was looked at is what is run. With a `timeout` a step that takes longer ends the process by SIGALRM, since
nothing else stops a computation inside of onnxruntime: only for a child process, see export/verify.py.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from nasarch.console import printable_line
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
    timeout: float | None = None

    def start_step(self) -> None:
        """Begin a step that may take `timeout` seconds."""
        start_timer(self.timeout)

    def stop_timer(self) -> None:
        """Let what follows, on the user's own data, take any time."""
        start_timer(None if self.timeout is None else 0)

    def __str__(self) -> str:
        ends = [
            ", ".join(printable_line(f"{name[:100]} {kind} {str(shape)[:200]}") for name, (kind, shape) in [*end.items()][:20])
            for end in (self.inputs, self.outputs)
        ]
        return (
            f"{self.path}: {self.size_bytes / 1e6:.1f} MB, opset {self.opset}, IR version {self.ir_version}, {self.nodes} nodes, one file\n"
            f"{ends[0]} -> {ends[1]}"
        )


class TimedSession:
    """A session of onnxruntime each of whose runs, and what follows until the next one, is a step of `timeout` seconds."""

    def __init__(self, session: onnxruntime.InferenceSession, timeout: float) -> None:
        self._session, self._timeout = session, timeout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        start_timer(self._timeout)
        outputs = self._session.run(*arguments)
        start_timer(self._timeout)
        return outputs


def start_timer(seconds: float | None) -> None:
    """Let SIGALRM end this process in so many seconds; 0 stops the timer, None leaves it alone."""
    if seconds is not None and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def read_onnx(path: str | os.PathLike[str], timeout: float | None = None) -> UntrustedModel:
    """Read, look through, check and open a file.

    Args:
        timeout: seconds after which a step ends the process.

    Raises:
        ExportError: it can't be read, or one of the table's reasons.
    """
    start_timer(timeout)
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
        session=session if timeout is None else TimedSession(session, timeout),
        timeout=timeout,
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
