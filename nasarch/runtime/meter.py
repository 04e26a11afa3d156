"""Running means of an epoch's losses, images per second, and the peak memory of this process. Knows no network and no files."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import distributed

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

REMEDY = "choose a smaller learning rate (--lr), in another folder"


class Meter:
    """Means over an epoch, summed on the device, so that a step never waits for the one before; read twice a second at most.

    `remedy` is what the error about a loss that is not finite advises.
    """

    def __init__(self, device: torch.device, remedy: str = REMEDY) -> None:
        self.device, self.remedy = device, remedy
        self.unchecked: list[Tensor] = []  # losses since the last check
        self.sums: Sequence[Tensor | float] = ()
        self.count = self.images = 0
        self.start = self.last_read = time.perf_counter()

    def add(self, loss: Tensor, sums: Sequence[Tensor], count: int, *, images: int) -> None:
        """Add a step: its loss, the sums of what is averaged over `count` items each, and how many images it has processed."""
        self.unchecked.append(loss)
        self.sums = [total + value for total, value in zip(self.sums, sums, strict=True)] if self.sums else sums
        self.count += count
        self.images += images

    def due(self, interval: float) -> bool:
        """Whether the means were last read `interval` seconds ago or more."""
        return time.perf_counter() - self.last_read >= interval

    def check(self, where: str, step: int) -> None:
        """Raise ValueError if a loss since the last check, up to step number `step`, is not finite: names the first one."""
        losses, self.unchecked = self.unchecked, []
        wrong = [i for i, loss in enumerate(torch.stack(losses).tolist() if losses else ()) if not math.isfinite(loss)]
        if wrong:
            first = step - len(losses) + 1 + wrong[0]
            raise ValueError(f"the loss is {losses[wrong[0]].item()} in {where}, step {first}: {self.remedy}")

    def means(self, where: str, *, all_processes: bool) -> list[float]:
        """Means of what was added, in this process or over all of them, which then have to call this at the same time.

        Raises:
            ValueError: they are not finite.
        """
        self.last_read = time.perf_counter()
        *sums, count = self._totals() if all_processes else self._local()
        if not math.isfinite(sum(sums)):
            raise ValueError(f"the loss is {sum(sums)} in {where}: {self.remedy}")
        return [value / count for value in sums]

    def images_per_second(self) -> float:
        """Of all processes together."""
        return distributed.world_size() * self.images / (time.perf_counter() - self.start)

    def state_dict(self) -> dict[str, Any]:
        """The sums over all processes, which have to call this at the same time."""
        *sums, count = self._totals()
        return {"sums": sums, "count": int(count)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from these sums; call it in one process only."""
        self.sums, self.count = state["sums"], state["count"]

    def _totals(self) -> list[float]:
        return distributed.all_reduce_sum(self._local(), self.device)

    def _local(self) -> list[float]:
        return [*map(float, self.sums), float(self.count)]


def peak_memory() -> float:
    """Peak memory so far in megabytes: of the GPU if one is in use, else of this process (0 on Windows, where it is not measured)."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    if resource is None:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
