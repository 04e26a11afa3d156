"""A search's figures as TensorBoard events."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from nasarch.search.engine.loop import Progress
from nasarch.search.runs.metrics import skips


class TensorBoardLogger:
    """A context; called with every `Progress` of the loop, it writes the ends of epochs.

    Raises:
        ValueError: the package tensorboard is not there.
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

    def __call__(self, progress: Progress) -> None:
        if progress.found is None:
            return
        stage = progress.stage.split(":")[0]
        for name in ("loss", "accuracy", "learning_rate", "temperature", "images_per_second"):
            self.writer.add_scalar(f"{stage}/{name}", getattr(progress, name), progress.epoch)
        for name, value in progress.figures.items():
            self.writer.add_scalar(f"{stage}/{name}", value, progress.epoch)
        for kind, count in skips(progress.found.genotype).items():
            self.writer.add_scalar(f"{stage}/skip connections, {kind}", count, progress.epoch)
