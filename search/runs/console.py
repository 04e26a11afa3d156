"""Progress of a search, on a terminal, in a file and for experiment loggers."""

from __future__ import annotations

from nasarch.cells.genotype import Genotype
from nasarch.runtime.loggers import RunLog
from nasarch.runtime.progress import ProgressDisplay
from nasarch.search.engine.loop import Progress

from .metrics import imagenet_multi_adds, skips

LOGGED = ("loss", "accuracy", "learning_rate", "temperature", "images_per_second")


def report(display: ProgressDisplay, title: str, progress: Progress) -> None:
    """Show stage, epoch, step and metrics of a search, and at an epoch's end its cell."""
    where = f"{title}, {stage_name(progress)}, epoch {progress.epoch} of {progress.epochs}"
    figures = f"loss {progress.loss:.4f}, accuracy {progress.accuracy:.3f}, {progress.images_per_second:,.0f} images/s"
    display.say(
        where,
        figures,
        (progress.epoch - 1) * progress.steps + progress.step,
        progress.steps * progress.epochs,
        ends=progress.ends_epoch,
        step=f", step {progress.step} of {progress.steps}",
        note="" if progress.genotype is None else f"; {cell_figures(progress.genotype)}",
        stage=stage_name(progress),
    )


def log_epoch(log: RunLog, progress: Progress) -> None:
    """Log the metrics of an epoch's end, and the number of skip connections of each cell."""
    if progress.result is None:
        return
    scalars = {name: getattr(progress, name) for name in LOGGED} | dict(progress.figures)
    scalars |= {f"skip connections, {kind}": count for kind, count in skips(progress.result.genotype).items()}
    log.log(progress.stage, progress.epoch, scalars)


def stage_name(progress: Progress) -> str:
    """The stage for people to read, with a note during the warm-up."""
    return f"{progress.stage} (warm-up: only weights)" if progress.is_warmup else progress.stage


def cell_figures(cells: Genotype) -> str:
    """Skip connections and cost of a cell."""
    counts = ", ".join(f"{count} {kind}" for kind, count in skips(cells).items())
    cost = imagenet_multi_adds(cells)
    return f"skip connections: {counts}" + ("" if cost is None else f"; {cost:.0f} M multi-adds on ImageNet")
