"""A search that leaves a folder: settings, metrics, genotypes by epoch, the final cell and its picture. Knows files, no method.

| file | holds |
|---|---|
| config.json | method, settings, seed, data with digest, device, versions, command |
| metrics.jsonl | a line an epoch: loss, accuracy, images/s, learning rate, seconds |
| checkpoint.pt | the state after the last epoch, or where it was stopped, to resume from; removed at the end |
| genotypes/epoch-N.json | the cell that epoch N would give |
| edges.json | for each node the weights of its edges, which were kept, and the lead of the last one kept |
| genotype.json, cell.png | what was found, with its provenance |

With several seeds every run has a folder of its own, and stability.json counts how often each edge was kept.
"""

from __future__ import annotations

import json
import platform
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from nasarch.device import device_name
from nasarch.draw import draw
from nasarch.files import write_text
from nasarch.genotype import Genotype

from .checkpoint import Checkpoint
from .data import Dataset
from .discretize import Found, Margin
from .loop import Progress

Search = Generator[Progress, None, Found]
Report = Callable[[Progress], None]
PACKAGES = ("nasarch", "torch", "timm")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, how, and what the result is called. `begin(seed, checkpoint)` starts the search, or goes on with it."""

    method: str
    paper: dict[str, Any]
    settings: Any  # the recipe's dataclass
    data: Dataset
    device: torch.device
    name: str
    command: str
    job: dict[str, Any]  # the other arguments of the command, by which `--resume` repeats it
    begin: Callable[[int, Checkpoint], Search]


def check_unused(folder: Path) -> None:
    """Raise ValueError if there is something at `folder` that a run would mix with."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already: choose another folder with --out, or remove it first")


def make_folder(folder: Path) -> Path:
    """`folder`, made if it is not there.

    Raises:
        ValueError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"can't make the folder {folder}: {error.strerror}; choose one that you may write to with --out") from error
    return folder


def run(plan: Plan, seed: int, folder: Path, report: Report) -> Found:
    """Search once, or finish what `folder` holds of it. Returns what was found, its provenance filled in.

    SIGINT and SIGTERM stop it after the present step with everything kept; a second signal stops it at once.

    Raises:
        ValueError: the checkpoint in the folder is damaged or of another search.
        KeyboardInterrupt: it was stopped; says how to go on.
    """
    if (folder / "genotype.json").exists():
        return _read_found(folder)
    config = _config(plan, seed)
    checkpoint = Checkpoint(folder / "checkpoint.pt", {key: config[key] for key in ("method", "settings", "seed", "name", "data")})
    write_text(folder / "config.json", as_json(config))
    start = time.perf_counter()
    with _stopping_at_signals(checkpoint):
        found = _follow(plan.begin(seed, checkpoint), folder, report, checkpoint.epochs)
    seconds = time.perf_counter() - start
    found = found._replace(genotype=replace(found.genotype, provenance=_provenance(plan, config, seconds)))
    write_text(folder / "edges.json", as_json([margin._asdict() for margin in found.margins]))
    draw(found.genotype, folder / "cell.png")
    found.genotype.save(folder / "genotype.json")
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return found


def _read_found(folder: Path) -> Found:
    """What a finished run in `folder` found."""
    rows = json.loads((folder / "edges.json").read_text(encoding="utf-8"))
    margins = [Margin(**row | {"weights": tuple(row["weights"]), "kept": tuple(row["kept"])}) for row in rows]
    return Found(Genotype.load(folder / "genotype.json"), margins)


@contextmanager
def _stopping_at_signals(checkpoint: Checkpoint) -> Iterator[None]:
    """SIGINT and SIGTERM ask the checkpoint for a stop; the handlers from before come back at once and after the block."""
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        checkpoint.stop_requested = True
        _set_handlers(before)

    _set_handlers(dict.fromkeys(before, ask))
    try:
        yield
    finally:
        _set_handlers(before)


def _set_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
    if threading.current_thread() is threading.main_thread():  # only there Python lets a signal be handled
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _follow(search: Search, folder: Path, report: Report, epochs: int) -> Found:
    """Drive the search to its end, writing down every epoch; `epochs` were over before, what was written of later ones is dropped."""
    start = time.perf_counter()
    metrics = folder / "metrics.jsonl"
    lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True)[:epochs] if metrics.exists() else []
    while True:
        try:
            progress = next(search)
        except StopIteration as stop:
            return stop.value
        report(progress)
        if progress.genotype is not None:
            line = asdict(replace(progress, genotype=None)) | {"seconds": round(time.perf_counter() - start, 3)}
            del line["genotype"]
            lines.append(json.dumps(line) + "\n")
            write_text(metrics, "".join(lines))
            progress.genotype.save(folder / "genotypes" / f"epoch-{len(lines)}.json")


def stability(found: Sequence[Found]) -> list[dict[str, Any]]:
    """For each node how often each source was kept, over runs of the same search."""
    rows = []
    for same_node in zip(*(run.margins for run in found), strict=True):
        kind, node = same_node[0][:2]
        counts = Counter(source for margin in same_node for source in margin.kept)
        rows.append({"kind": kind, "node": node, "kept": {str(i): counts[i] for i in range(node)}, "runs": len(found)})
    return rows


def _config(plan: Plan, seed: int) -> dict[str, Any]:
    data = plan.data
    return {
        "method": plan.method,
        "settings": asdict(plan.settings),
        "seed": seed,
        "name": plan.name,
        "job": plan.job | {"seed": seed, "runs": 1},
        "data": {"name": data.name, "images": len(data.train), "size": list(data.size), "source": data.source, "sha256": data.digest},
        "device": device_name(plan.device),
        "threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
        "command": plan.command,
    }


def _provenance(plan: Plan, config: dict[str, Any], seconds: float) -> dict[str, Any]:
    source = {key: config[key] for key in ("command", "seed", "data", "settings", "device", "versions")}
    return {
        "method": plan.method,
        "paper": plan.paper,
        "searched_on": plan.data.name,
        "kind": "found by nasarch",
        "source": source | {"seconds": round(seconds, 1)},
        "results": [],
    }


def as_json(value: Any) -> str:
    """For people to read."""
    return json.dumps(value, indent=2) + "\n"
