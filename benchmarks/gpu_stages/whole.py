"""Stage whole: searches of nasarch as users start them, on the images given.

FTSO for an epoch and for one iteration, twice each, since the first search of a process chooses kernels; PC-DARTS as 2 epochs of weights
and 3 of both, from which follow the seconds of its 15 + 35; and those 50 themselves where the time is left, in float32 if they fit, else in
bf16. Seconds are by the clock. `steps_s` leaves out the split of the images, their way to the device and the building of the network.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import median
from types import ModuleType
from typing import Any

import torch

from benchmarks.search import Watched
from nasarch.data.dataset import Dataset
from nasarch.runtime.options import Precision
from nasarch.search.engine.context import SearchContext
from nasarch.search.recipes import ftso, pc_darts

from .context import Context
from .formats import in_format
from .images import read, two_parts
from .searches import SMALL_PART, SMALL_SHAPE

PAPER = pc_darts.PcDarts()
SHORT = replace(PAPER, epochs=5, warmup=2)
SEARCHES: dict[str, tuple[ModuleType, Any, Precision]] = {
    "ftso, one epoch, captured, bf16": (ftso, ftso.Ftso(), "bf16"),
    "ftso, one epoch, captured, bf16, again": (ftso, ftso.Ftso(), "bf16"),
    "ftso, one epoch, captured": (ftso, ftso.Ftso(), "off"),
    "ftso, one epoch, captured, again": (ftso, ftso.Ftso(), "off"),
    "ftso, one epoch": (ftso, ftso.Ftso(), "off"),
    "ftso, one iteration": (ftso, ftso.Ftso(iterations=1), "off"),
    "pc-darts, 2 + 3 epochs, captured, bf16": (pc_darts, SHORT, "bf16"),
    "pc-darts, 2 + 3 epochs, captured": (pc_darts, SHORT, "off"),
    "pc-darts, 2 + 3 epochs, bf16": (pc_darts, SHORT, "bf16"),
}
ALL = "pc-darts, all epochs, captured"
MARGIN = 1.15  # times the seconds that the 50 epochs are thought to take


def run(context: Context) -> None:
    """The short searches, then the long one."""
    data, form = read(context), "NCHW" if context.contiguous else "channels_last"
    with in_format(form):
        for name, (method, settings, amp) in SEARCHES.items():
            if name in (context.cases or SEARCHES):
                context.attempt(name, partial(searched, context, data, name, method, settings, amp))
        if not context.cases or ALL in context.cases:
            context.attempt(ALL, partial(whole, context, data))


def searched(context: Context, data: Dataset, name: str, method: ModuleType, settings: Any, amp: Precision) -> dict[str, Any]:
    """A search; what it has shown so far is kept after every epoch."""
    parts = two_parts(data, SMALL_PART) if context.small else None
    settings = replace(settings, layers=3, **SMALL_SHAPE) if context.small else settings
    watched = Watched(SearchContext(data=data, device=context.device, amp=amp, parts=parts, capture="captured" in name))
    begin, ends, found = time.perf_counter(), list[float](), dict[str, Any]()
    for progress in method.search(watched, settings):
        if progress.ends_epoch:
            ends.append(now(context.device) - begin)
            apart = watched.seconds if context.device == "cuda" else {}  # of a CPU they are seconds of its own time
            spent = {"seconds": ends[-1], "steps_s": ends[-1] - sum(apart.values()) if apart else ends[-1], **apart}
            epochs = [end - start for start, end in pairwise([spent["seconds"] - spent["steps_s"], *ends])]
            found = spent | {"amp": amp, "steps": progress.steps * len(ends), "epochs_s": epochs, "loss": progress.loss}
            found |= {"accuracy": progress.accuracy, "genotype": progress.result.genotype.to_dict()["cells"], **forecast(settings, epochs)}
            context.note(name, found)
    return found


def forecast(settings: Any, epochs: list[float]) -> dict[str, float]:
    """Of a short PC-DARTS: the seconds of the 50 epochs of its paper."""
    if getattr(settings, "warmup", 0) != SHORT.warmup or len(epochs) < SHORT.epochs:
        return {}
    weights, both = min(epochs[: SHORT.warmup]), median(epochs[SHORT.warmup :])
    return {"paper_s": PAPER.warmup * weights + (PAPER.epochs - PAPER.warmup) * both}


def whole(context: Context, data: Dataset) -> dict[str, Any]:
    """The 50 epochs in the first precision in which they fit; in bf16 if no short search was asked for."""
    settings = replace(PAPER, epochs=3, warmup=1) if context.small else PAPER
    if not context.found.keys() & {name for name in SEARCHES if name.startswith("pc-darts")}:
        return searched(context, data, ALL, pc_darts, settings, "bf16")
    for short, amp in (("pc-darts, 2 + 3 epochs, captured", "off"), ("pc-darts, 2 + 3 epochs, captured, bf16", "bf16")):
        seconds = context.found.get(short, {}).get("paper_s")
        if seconds is not None and seconds * MARGIN * settings.epochs / PAPER.epochs < context.left:
            return searched(context, data, ALL, pc_darts, settings, amp)  # type: ignore[arg-type]
    return {"left_out": f"{context.left:.0f} s left are too few for {settings.epochs} epochs"}


def now(device: str) -> float:
    """Seconds by the clock, when everything is computed."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
