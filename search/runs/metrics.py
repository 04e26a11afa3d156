"""Metrics of an epoch of a search: of the loop, of the current cell, and of the machine."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import NATS
from nasarch.models.cost import network_cost
from nasarch.runtime.meter import peak_memory
from nasarch.search.engine.loop import Progress


def epoch_line(progress: Progress) -> dict[str, Any]:
    """The end of an epoch as a line of metrics.jsonl."""
    cells, values = progress.genotype, {field.name: getattr(progress, field.name) for field in fields(progress)}
    assert cells is not None
    del values["result"], values["figures"], values["measured"]
    line = {"stage": values.pop("stage"), "warmup": values.pop("is_warmup")} | values | dict(progress.figures)
    return line | {"skips": skips(cells), "multi_adds": imagenet_multi_adds(cells), "memory": peak_memory()}


def skips(cells: Genotype) -> dict[str, int]:
    """Number of skip connections of each cell kind."""
    return {kind: sum(edge.operation == "skip_connect" for node in cell.nodes for edge in node) for kind, cell in cells.cells.items()}


def imagenet_multi_adds(cells: Genotype) -> float | None:
    """Millions, of the papers' ImageNet network of these cells (14 of them, 48 channels); None for NATS-Bench's."""
    if cells.space == NATS.name:
        return None
    return round(network_cost(cells, stem="imagenet", cells=14, channels=48, size=224, num_classes=1000).multi_adds / 1e6, 1)


def collapse(cells: Genotype) -> str:
    """A warning if half of the edges and more are skip connections, the collapse of DARTS (Chu et al. 2020; eDARTS sec. III-C), or "".

    Only of normal cells: the published reduction cell of DARTS- (Chu et al. 2021) has five skip connections of eight edges.
    """
    count, edges = skips(cells)["normal"], sum(map(len, cells.cells["normal"].nodes))
    if 2 * count < edges:
        return ""
    other = "" if cells.space == NATS.name else ", or with edarts"
    return (
        f"{count} of the {edges} edges of the normal cell are skip connections: such cells end in poor networks. Take the "
        f"cell of an earlier epoch (genotypes/), search for fewer epochs, with a longer warm-up (pc-darts, dots){other}"
    )


def expense(cells: Genotype, max_macs: float) -> str:
    """A warning if the ImageNet network, whose mobile setting allows 600 million multi-adds, has more than `max_macs` million, or ""."""
    cost = imagenet_multi_adds(cells)
    if cost is None or cost <= max_macs:
        return ""
    return (
        f"the cell's ImageNet network (14 cells, 48 channels) has {cost:.0f} M multi-adds, more than --max-macs {max_macs:g}: build it "
        f"with fewer channels (about {int(48 * (max_macs / cost) ** 0.5) // 2 * 2}), or search with another seed"
    )
