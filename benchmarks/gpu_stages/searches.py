"""Searches of seconds, by all five methods through their public functions, for the stages smoke and resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

from nasarch.data.dataset import Dataset
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.options import Precision
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import SearchResult
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts

from .context import Context
from .images import two_parts


class Search(NamedTuple):
    """A method, its settings for shapes `(nodes, channels, batch_size)`, and whether loss scaling in fp16 is legal for it."""

    method: ModuleType
    settings: Callable[..., Any]
    fp16: bool = True


def _darts(order: Any) -> Callable[..., Any]:
    return lambda **shape: darts.Darts(order=order, epochs=1, layers=3, **shape)


def _edarts(attention: Any, order: Any = "second") -> Callable[..., Any]:
    def settings(**shape: Any) -> Any:
        path = "-".join(["01"] * shape["nodes"])
        return edarts.Edarts(attention=attention, order=order, path=path, epochs=1, layers=3, **shape)

    return settings


def _pc_darts(random_channels: bool) -> Callable[..., Any]:
    return lambda **shape: pc_darts.PcDarts(epochs=2, warmup=1, layers=3, random_channels=random_channels, **shape)


STAGES = {
    "operation": replace(dots.Dots().operation, epochs=2, warmup=1, layers=3),
    "topology": replace(dots.Dots().topology, epochs=2, warmup=1, layers=3),
}
SEARCHES = {
    "ftso": Search(ftso, lambda **shape: ftso.Ftso(epochs=2, layers=3, **shape)),
    "pc-darts": Search(pc_darts, _pc_darts(random_channels=False)),
    "pc-darts, random channels": Search(pc_darts, _pc_darts(random_channels=True)),
    "dots": Search(dots, lambda **shape: dots.Dots(**STAGES, **shape)),
    "darts, first order": Search(darts, _darts("first")),
    "darts, second order": Search(darts, _darts("second"), fp16=False),
    "darts, exact": Search(darts, _darts("exact"), fp16=False),
    "edarts, forward": Search(edarts, _edarts("forward"), fp16=False),
    "edarts, start": Search(edarts, _edarts("start"), fp16=False),
    "edarts, update": Search(edarts, _edarts("update"), fp16=False),
    "edarts, off": Search(edarts, _edarts("off"), fp16=False),
    "edarts, first order": Search(edarts, _edarts("forward", "first")),
    "ftso, operators": Search(ftso, lambda **shape: ftso.Ftso(epochs=2, layers=3, operator="gradient", operator_epochs=1, **shape)),
}
LARGE_SHAPE, LARGE_PART = {"nodes": 4, "channels": 16, "batch_size": 32}, 128
SMALL_SHAPE, SMALL_PART = {"nodes": 2, "channels": 4, "batch_size": 8}, 16


def start(context: Context, data: Dataset, name: str, amp: Precision, checkpoint: Checkpoint | None = None) -> Iterator[Progress]:
    """The search, to be followed by `finish`."""
    search = SEARCHES[name]
    shape, part = (SMALL_SHAPE, SMALL_PART) if context.small else (LARGE_SHAPE, LARGE_PART)
    context = SearchContext(
        data=data,
        device=context.device,
        amp=amp,
        parts=two_parts(data, part),
        checkpoint=checkpoint or Checkpoint(),
        capture=context.capture,
    )
    return search.method.search(context, search.settings(**shape))


def finish(
    running: Iterator[Progress], look: Callable[[Progress], None] = lambda progress: None
) -> tuple[list[Progress], SearchResult | None]:
    """All reports and what was found, or None of a search that was stopped; `look` sees each report when it comes."""
    reports: list[Progress] = []
    while True:
        try:
            reports.append(next(running))
        except StopIteration as end:
            return reports, end.value
        except KeyboardInterrupt:
            return reports, None
        look(reports[-1])
