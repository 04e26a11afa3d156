"""Scalars of a run as TensorBoard events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType


class TensorBoardLogger:
    """Writer of TensorBoard events into a folder; a context.

    Raises:
        ValueError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ValueError("--tensorboard needs the package tensorboard; run: pip install 'nasarch[tensorboard]'") from error
        self.writer = SummaryWriter(folder)

    def __enter__(self) -> TensorBoardLogger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.writer.close()

    def log(self, group: str, scalars: Mapping[str, float], epoch: int) -> None:
        """Write each scalar as GROUP/NAME of the epoch."""
        for name, value in scalars.items():
            self.writer.add_scalar(f"{group}/{name}", value, epoch)
