"""A whole search from images in memory to a cell, each of its costs apart, and one of its steps against the literal twin.

| search | preset | at most | aim |
|---|---|---|---|
| pc-darts | `nasarch search pc-darts --preset cifar10`: 50 epochs | 5 min | 2.5 min |
| ftso-epoch | `nasarch search ftso --preset skip-1ep`: one epoch | 3 s | 1.5 s |
| ftso-iteration | `nasarch search ftso --preset skip-1it`: one step | 50 ms | 15 ms |

The bounds are for CIFAR-10 on one H200 in fp32 without TF32, in a process that has searched before. They leave out what is shown apart:
`before`, by the clock: a process that starts and imports (one of its own), the first tensor on the device, reading the images, their
digest and mean colours; and of every search `data`, the split into two sides and their way to the device. `without_data` is what they
bound: building the network, the steps, deriving the cell. The files of a run's folder are not written. Seconds of searches and steps are
CPU seconds of this process on one thread, so that other load disturbs little, or on a GPU seconds until it has finished.

A step is an architecture gradient and a weight gradient of one batch (benchmarks/supernet.py), the sides taking turns; FTSO's twin has
skip connections alone, too. Images of 64 pixels and more are refused, since the twin has CIFAR's stem.

With --out the figures are written after each search, so that a run that is ended leaves what it has measured.

    python benchmarks/search.py pc-darts --data ../shared/data/cifar10-jpeg --device cuda --out benchmarks/results/search-pc-darts.json
    python benchmarks/search.py ftso-iteration --data ../shared/data/cifar10-jpeg --device cuda --rounds 20
    python benchmarks/search.py pc-darts --scale 0.02 --layers 3 --channels 4 --batch-size 64    (digits, on a CPU)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

if not __package__:
    import checkout  # noqa: F401

from benchmarks.measure import keep, seconds_of, setting, show
from benchmarks.supernet import Side
from nasarch.cells.space import Space
from nasarch.compute import keep_freed_memory, pick_device, set_tf32
from nasarch.data.dataset import Dataset
from nasarch.data.load import load
from nasarch.search.engine.context import IMAGENET_STEM_SIZE, SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.recipes.methods import METHODS
from nasarch.search.settings.fields import scaled
from nasarch.search.settings.presets import find
from nasarch.search.supernet.candidates import all_candidates, only
from tests.helpers.reference import TwinSupernet


class Case(NamedTuple):
    """A search, its candidates, and the seconds that bound it: at most, and the aim."""

    method: str
    preset: str
    candidates: Callable[[Space], Tensor]
    bounds: tuple[float, float]


def skips(space: Space) -> Tensor:
    return only(space, "skip_connect")


CASES = {
    "pc-darts": Case("pc-darts", "cifar10", all_candidates, (300, 150)),
    "ftso-epoch": Case("ftso", "skip-1ep", skips, (3, 1.5)),
    "ftso-iteration": Case("ftso", "skip-1it", skips, (0.05, 0.015)),
}
PARTS = {"train_val_loaders": "data", "supernet": "network", "relaxation": "network"}  # what a recipe asks its bench for
TWINS = {"twin": torch.contiguous_format, "twin, channels_last": torch.channels_last}
CIFAR = (50_000, (32, 32))
IMPORTS = [sys.executable, "-P", "-c", "import nasarch.search.runs.command"]  # -P: of what is installed, not of the present folder
Seconds = dict[str, float]


class Watched:
    """A bench that notes the seconds of what a recipe asks it for, as far as PARTS names it."""

    def __init__(self, context: SearchContext) -> None:
        self.context, self.seconds = context, dict.fromkeys(PARTS.values(), 0.0)

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self.context, name)
        return partial(self._timed, PARTS[name], asked) if name in PARTS else asked

    def _timed(self, part: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        results: list[Any] = []
        self.seconds[part] += seconds_of(lambda: results.append(call(*args, **kwargs)), torch.device(self.context.device))
        return results[0]


def one_search(case: Case, context: SearchContext, settings: Any) -> tuple[Progress, Seconds]:
    """What a search reports last, and its seconds."""
    watched, last = Watched(context), deque[Progress](maxlen=1)
    running = METHODS[case.method].search(watched, settings)
    whole = seconds_of(lambda: last.extend(running), torch.device(context.device))
    print(f"a search: {whole:.4g} s", file=sys.stderr)
    steps = whole - sum(watched.seconds.values())
    return last[0], {"whole": whole, "without_data": whole - watched.seconds["data"], **watched.seconds, "steps_and_cell": steps}


def searches(case: Case, context: SearchContext, settings: Any, rounds: int) -> Iterator[dict[str, Any]]:
    """The first search of this process, and the same again: the median of every part over the rounds so far, after each of them."""
    end, first = one_search(case, context, settings)
    found = {"steps": end.epoch * end.steps, "first": rounded(first), "again": None, "rounds": [], "last_loss": end.loss}
    yield found
    others: list[Seconds] = []
    for _ in range(rounds):
        others.append(one_search(case, context, settings)[1])
        again = rounded({part: median(seconds[part] for seconds in others) for part in first})
        yield found | {"again": again, "rounds": [round(seconds["without_data"], 5) for seconds in others]}


def rounded(seconds: Seconds) -> Seconds:
    return {name: round(value, 5) for name, value in seconds.items()}


def sides(case: Case, context: SearchContext, settings: Any) -> dict[str, Side]:
    """The network of the search, and the twin of its shape in two memory formats."""
    space = context.cells(settings.nodes)
    mask = case.candidates(space)
    shape = {"channels": settings.channels, "layers": settings.layers, "partial": settings.partial}
    arch, net = context.relaxation(space, mask, subset=1, init_std=1e-3), context.supernet(space, mask, **shape)
    found = {"nasarch": Side(net, lambda x: net(x, arch()), arch, separate=True)}
    for name, form in TWINS.items():
        twin = TwinSupernet(space, mask, num_classes=context.data.num_classes, **shape).to(context.device).to(memory_format=form)

        def call(x: Tensor, twin: TwinSupernet = twin, form: torch.memory_format = form) -> Tensor:
            return twin(x.contiguous(memory_format=form), arch.operations(), arch.edges())

        found[name] = Side(twin, call, arch, separate=False)
    return found


def steps(case: Case, context: SearchContext, settings: Any, turns: int) -> dict[str, Any]:
    """The median step of every side, and the twins' over that of nasarch."""
    device, contestants = torch.device(context.device), sides(case, context, settings)
    batch = next(iter(context.train_val_loaders(settings.batch_size, settings.fractions)[0]))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(turns + 1):
        for name, side in contestants.items():
            seconds = seconds_of(partial(side.step, batch), device)
            if turn:  # the first one warms up
                times[name].append(seconds)
    middle = {name: median(seconds) for name, seconds in times.items()}
    over = {name: round(middle[name] / middle["nasarch"], 2) for name in TWINS}
    return {"turns": turns, "seconds": rounded(middle), "twin_over_nasarch": over}


def prepared(name_of_data: str, name_of_device: str) -> tuple[Dataset, torch.device, Seconds]:
    """Data and device, and seconds by the clock."""
    seconds: Seconds = {}

    def clocked(name: str, call: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = call()
        seconds[name] = time.perf_counter() - start
        return result

    clocked("start_and_imports", lambda: subprocess.run(IMPORTS, check=True))
    clocked("first_tensor", lambda: torch.zeros(1, device=pick_device(name_of_device)).item())
    data = clocked("reading", lambda: load(name_of_data))
    clocked("digest", lambda: data.digest)
    clocked("mean_colours", lambda: data.mean)
    return data, torch.device(name_of_device), rounded(seconds)


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The figures so far, after each search and when all are there.

    Raises:
        ValueError: settings, data or device that can't be used.
    """
    case = CASES[options.search]
    usual = find(case.method, case.preset).settings()
    asked = {name: getattr(options, name) for name in ("batch_size", "layers", "channels") if getattr(options, name)}
    settings = replace(usual if options.scale == 1 else scaled(usual, options.scale), **asked)
    data, device, before = prepared(options.data, options.device)
    if min(data.size) >= IMAGENET_STEM_SIZE:
        raise ValueError(f"--data {options.data}: images of {min(data.size)} pixels; the twin has CIFAR's stem, choose smaller ones")
    if device.type == "cpu":
        torch.set_num_threads(1)
        keep_freed_memory()
    context = SearchContext(data=data, device=device)
    about = {"search": options.search, "settings": asdict(settings), "data": [data.name, len(data.train), *data.size], "tf32": options.tf32}
    applies = settings == usual and (len(data.train), data.size) == CIFAR and not options.tf32
    result: dict[str, Any] = {**setting(device), **about, "before": before}
    for found in searches(case, context, settings, options.rounds):
        kept = [found["again"]["without_data"] <= bound for bound in case.bounds] if applies and found["again"] else None
        result = {**result, **found, "at_most_and_aim": case.bounds, "kept": kept}  # none where the search is another one
        yield result
    yield result | {"step": steps(case, context, settings, options.turns)}


def count(text: str) -> int:
    """A number on the command line."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: choose 1 or more")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", choices=CASES)
    parser.add_argument("--data", default="digits", help="a name or a path, as for nasarch search")
    parser.add_argument("--device", default="cpu", choices=("cuda", "cpu"))
    parser.add_argument("--scale", type=float, default=1.0, help="times the epochs")
    for name in ("--batch-size", "--layers", "--channels"):
        parser.add_argument(name, type=count, help="the preset's by default")
    parser.add_argument("--rounds", type=count, default=3, help="searches after the first")
    parser.add_argument("--turns", type=count, default=10, help="steps of every side")
    parser.add_argument("--tf32", action="store_true", help="let a GPU round the factors of products to 10 bits")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    set_tf32(options.tf32)
    try:
        for result in measure(options):
            keep(result, options.out)
        show(result)
    except ValueError as error:
        parser.exit(2, f"search.py: error: {error}\n")


if __name__ == "__main__":
    main()
