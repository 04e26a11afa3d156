"""Options that commands share (device, output folder), and how options are written to config.json: flat, whatever they are composed of.

Flags are parsed into options before PyTorch is imported (`--help` and mistakes are answered at once), so `start` imports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_type_hints

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Precision = Literal["off", "bf16", "fp16"]  # of mixed precision; off is float32


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """Options of the hardware.

    Args:
        device: Device: cpu, cuda, cuda:1, ...; auto is the first accelerator, or the CPU.
        tf32: TF32 on NVIDIA GPUs: float32 convolutions and matrix products round their factors to 10 bits; faster, but less exact.
        capture: Steps recorded as CUDA graphs and replayed: the same results without the time to launch thousands of kernels a step;
            one process on CUDA alone.
        deterministic: Deterministic algorithms alone (PyTorch's switch): on a GPU, too, a seed gives the same bits in every run on the same
            GPU, driver and versions. Slower; an operation without such an algorithm ends the run. Other GPUs, versions, numbers of
            processes and --capture may give other bits.
    """

    device: str = "auto"
    tf32: bool = False
    capture: bool = False
    deterministic: bool = False

    @contextmanager
    def started(self) -> Iterator[torch.device]:
        """In the block, join the processes that torchrun started, if it did, and set TF32 and determinism; yields this process's device.

        Raises:
            ValueError: there is no such device, or it is one device for several processes.
        """
        from nasarch.compute import deterministic, pick_device, set_tf32

        from . import distributed

        try:
            with deterministic(self.deterministic):
                device = pick_device(distributed.init(self.device))
                set_tf32(self.tf32)
                yield device
        finally:
            distributed.destroy()


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Options of the run folder.

    Args:
        out: New folder for the results (default: runs/NAME-DATE-TIME).
        resume: Resume the run in this folder; other flags are ignored, but for --data (and --root), where the same images are now.
    """

    out: Path | None = None
    resume: Path | None = None


def to_dict(options: Any) -> dict[str, Any]:
    """Fields of a dataclass for JSON, those of dataclasses in it beside them, paths as text."""
    values: dict[str, Any] = {}
    for field in fields(options):
        value = getattr(options, field.name)
        values |= to_dict(value) if is_dataclass(value) else {field.name: str(value) if isinstance(value, Path) else value}
    return values


def updated(options: T, values: Mapping[str, Any]) -> T:
    """The options with these values in place of theirs, flat as `to_dict` writes them.

    Raises:
        TypeError: unknown fields.
        ValueError: values that the dataclass refuses.
    """
    changes = dict(values)
    for name, hint in get_type_hints(type(options)).items():
        if is_dataclass(part := getattr(options, name)):
            changes[name] = updated(part, {field.name: changes.pop(field.name) for field in fields(part) if field.name in changes})
        elif changes.get(name) and Path in get_args(hint):
            changes[name] = Path(changes[name])
        elif isinstance(changes.get(name), list):  # of JSON
            changes[name] = tuple(changes[name])
    return replace(options, **changes)  # type: ignore[type-var]
