"""What a search says of itself while it runs."""

from __future__ import annotations

from nasarch.cells.genotype import Genotype
from nasarch.runtime.progress import ProgressDisplay
from nasarch.search.engine.loop import WARM, Progress

from .metrics import imagenet_multi_adds, skips


def report(live: ProgressDisplay, title: str, place: Progress) -> None:
    """Where the search is, its figures, and at an epoch's end its cell."""
    where = f"{title}, {stage_name(place.stage)}, epoch {place.epoch} of {place.epochs}"
    figures = f"loss {place.loss:.4f}, accuracy {place.accuracy:.3f}, {place.images_per_second:,.0f} images/s"
    live.say(
        where,
        figures,
        (place.epoch - 1) * place.steps + place.step,
        place.steps * place.epochs,
        ends=place.ends_epoch,
        step=f", step {place.step} of {place.steps}",
        note="" if place.genotype is None else f"; {cell_figures(place.genotype)}",
        stage=place.stage,
    )


def stage_name(stage: str) -> str:
    """For people to read."""
    return f"{stage.removesuffix(WARM)} (warm-up: only weights)" if stage.endswith(WARM) else stage


def cell_figures(cells: Genotype) -> str:
    """Skip connections and cost of a cell."""
    counts = ", ".join(f"{count} {kind}" for kind, count in skips(cells).items())
    cost = imagenet_multi_adds(cells)
    return f"skip connections: {counts}" + ("" if cost is None else f"; {cost:.0f} M multi-adds on ImageNet")
