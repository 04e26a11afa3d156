"""`nasarch export verify`: read an untrusted ONNX file, then compare it with the PyTorch classifier or detector that it says it is.

1. onnx/untrusted.py reads it: structure, no tensors outside, no foreign operators, onnx.checker.
2. A detector is compared by detection/verify.py, a classifier by onnx/verify.py.

A file of others says nothing of its model: of it only the first is known, and with a model named the second.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import NamedTuple

from nasarch.console import printable_line

from .detection.verify import is_detector, verify_detector
from .errors import ExportError, first_line
from .onnx.untrusted import UntrustedModel, read_onnx
from .onnx.verify import verify_classifier


class Verified(NamedTuple):
    """An ONNX file, and the findings, a line each."""

    file: UntrustedModel
    found: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([str(self.file), *map(printable_line, self.found)])


def verify(
    path: str | os.PathLike[str],
    *,
    model: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    images: str | None = None,
    timeout: float | None = None,
) -> Verified:
    """Repeat the check of the export on the file at `path`, in this process: `verify_isolated` is for files of others.

    Args:
        model: what it should be, as `find_model` takes it, of a detector as `ssd.load` does; by default what its properties say.
        checkpoint: weights of a classifier (.safetensors), unless they are random, shipped, or in the folder `model`.
        data: data set of a classifier, for labels, mean and std, as `find_model` takes it beside `model`.
        images: for an int8 file images to compare classes on, as `calibration.calibration` takes them; for a detector, see
            detection/verify.py.
        timeout: seconds after which a step ends the process.

    Raises:
        ValueError: the file is refused (see `read_onnx`), its weights can't be had or are others, or it gives other outputs than the model.
    """
    file = read_onnx(path, timeout)
    compare = verify_detector if is_detector(file) else verify_classifier
    return Verified(file, compare(file, model, checkpoint, data, images))


# ---- in a child process


def verify_isolated(
    path: str | os.PathLike[str],
    *,
    model: str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | None = None,
    images: str | None = None,
    timeout: float = 20.0,
    memory: float = 4.0,
) -> str:
    """What `verify` finds, printable; it runs in a child process, so that a file may neither hang nor fill nor crash this one.

    Args:
        model: as for `verify`, and so are `checkpoint`, `data` and `images`.
        timeout: seconds that each step may take: reading the file, building its model, each batch.
        memory: GiB that the child may use beyond what Python and its libraries take (on Linux).

    Raises:
        ValueError: as `verify`, or a limit was exceeded.
    """
    if not 0 < timeout <= 1e6 or not 0 < memory <= 1e6:
        raise ValueError(f"--timeout {timeout:g}, --memory {memory:g}: choose more than 0 seconds and GiB")
    weights = None if checkpoint is None else os.fspath(checkpoint)
    names = {"model": model, "checkpoint": weights, "data": data, "images": images}
    paths = [entry or os.getcwd() for entry in sys.path]
    code = f"import sys; sys.path[:] = {paths!r}; from nasarch.export.verify import answer; answer()"
    request = json.dumps([os.fspath(path), names, timeout, memory])
    done = subprocess.run([sys.executable, "-c", code], input=request.encode(), capture_output=True, check=False)
    if hasattr(signal, "SIGALRM") and done.returncode == -signal.SIGALRM:
        raise ExportError(f"{path}: a step took more than {timeout:g} s and was stopped; --timeout SECONDS allows more")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = printable_line((done.stderr.decode(errors="replace").strip().splitlines() or [f"status {done.returncode}"])[-1][:200])
        reason = f"{signal.Signals(-done.returncode).name}" if done.returncode < 0 else last
        raise ExportError(f"{path}: the process that read it ended ({reason}); --memory GIB allows more than {memory:g} GiB") from None
    if "error" in answer:
        raise ExportError(answer["error"])
    return str(answer["text"])


def answer() -> None:
    """The child process of `verify_isolated`: a request in JSON on standard input, what was found in JSON on standard output."""
    path, names, timeout, memory = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever libraries print
        _limit_memory(int(memory * 2**30))
        try:
            answers = {"text": str(verify(path, **names, timeout=timeout))}
        except ValueError as error:
            answers = {"error": printable_line(str(error))}
        except Exception as error:  # of torch or onnxruntime, most often without memory
            reason = printable_line(first_line(error)[:200])
            answers = {"error": f"{path} can't be verified with {memory:g} GiB ({reason}); --memory GIB allows more"}
        output.write(json.dumps(answers))


def _limit_memory(extra: int) -> None:
    """Let this process allocate `extra` bytes beyond what it has."""
    try:
        import resource

        with open("/proc/self/status", encoding="ascii") as status:
            used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (used + extra, used + extra))
    except (ImportError, OSError, StopIteration):  # no Linux
        return
