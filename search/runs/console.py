"""What a search says of itself while it runs."""

from __future__ import annotations

from nasarch.cells.genotype import Genotype
from nasarch.runtime.progress import ProgressDisplay
from nasarch.runtime.tensorboard import TensorBoardLogger
from nasarch.search.engine.loop import Progress

from .metrics import imagenet_multi_adds, skips

LOGGED = ("loss", "accuracy", "learning_rate", "temperature", "images_per_second")


def report(live: ProgressDisplay, title: str, place: Progress) -> None:
    """Where the search is, its figures, and at an epoch's end its cell."""
    where = f"{title}, {stage_name(place)}, epoch {place.epoch} of {place.epochs}"
    figures = f"loss {place.loss:.4f}, accuracy {place.accuracy:.3f}, {place.images_per_second:,.0f} images/s"
    live.say(
        where,
        figures,
        (place.epoch - 1) * place.steps + place.step,
        place.steps * place.epochs,
        ends=place.ends_epoch,
        step=f", step {place.step} of {place.steps}",
        note="" if place.genotype is None else f"; {cell_figures(place.genotype)}",
        stage=stage_name(place),
    )


def log_epoch(logger: TensorBoardLogger, progress: Progress) -> None:
    """Write the metrics of an epoch's end, and the number of skip connections of each cell, as TensorBoard events."""
    if progress.result is None:
        return
    scalars = {name: getattr(progress, name) for name in LOGGED} | dict(progress.figures)
    scalars |= {f"skip connections, {kind}": count for kind, count in skips(progress.result.genotype).items()}
    logger.log(progress.stage, scalars, progress.epoch)


def stage_name(progress: Progress) -> str:
    """The stage for people to read, with a note during the warm-up."""
    return f"{progress.stage} (warm-up: only weights)" if progress.is_warmup else progress.stage


def cell_figures(cells: Genotype) -> str:
    """Skip connections and cost of a cell."""
    counts = ", ".join(f"{count} {kind}" for kind, count in skips(cells).items())
    cost = imagenet_multi_adds(cells)
    return f"skip connections: {counts}" + ("" if cost is None else f"; {cost:.0f} M multi-adds on ImageNet")
