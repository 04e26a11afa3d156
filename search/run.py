"""A search that leaves a folder: settings, metrics, genotypes by epoch, the final cell and its picture. Knows files, no method.

| file | holds |
|---|---|
| config.json | method, settings, seed, data with digest, device, versions, command |
| metrics.jsonl | a line an epoch: loss, accuracy, images/s, learning rate, seconds |
| genotypes/epoch-N.json | the cell that epoch N would give |
| edges.json | for each node the weights of its edges, which were kept, and the lead of the last one kept |
| genotype.json, cell.png | what was found, with its provenance |

With several seeds every run has a folder of its own, and stability.json counts how often each edge was kept.
"""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nasarch.device import device_name
from nasarch.draw import draw
from nasarch.files import write_text

from .data import Dataset
from .discretize import Found
from .loop import Progress

Search = Generator[Progress, None, Found]
Report = Callable[[Progress], None]
PACKAGES = ("nasarch", "torch", "timm")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, how, and what the result is called. `begin(seed)` starts the search with that seed."""

    method: str
    paper: dict[str, Any]
    settings: Any  # the recipe's dataclass
    data: Dataset
    device: torch.device
    name: str
    command: str
    begin: Callable[[int], Search]


def check_unused(folder: Path) -> None:
    """Raise ValueError if there is something at `folder` that a run would mix with."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already: choose another folder with --out, or remove it first")


def new_folder(folder: Path) -> Path:
    """Make `folder`.

    Raises:
        ValueError: it is in use, or it can't be made.
    """
    check_unused(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"can't make the folder {folder}: {error.strerror}; choose one that you may write to with --out") from error
    return folder


def run(plan: Plan, seed: int, folder: Path, report: Report) -> Found:
    """Search once; `folder` exists and is empty. Returns what was found, its provenance filled in."""
    config = _config(plan, seed)
    write_text(folder / "config.json", as_json(config))
    start = time.perf_counter()
    found = _follow(plan.begin(seed), folder, report)
    seconds = time.perf_counter() - start
    found = found._replace(genotype=replace(found.genotype, provenance=_provenance(plan, config, seconds)))
    write_text(folder / "edges.json", as_json([margin._asdict() for margin in found.margins]))
    found.genotype.save(folder / "genotype.json")
    draw(found.genotype, folder / "cell.png")
    return found


def _follow(search: Search, folder: Path, report: Report) -> Found:
    """Drive the search to its end, writing down every epoch."""
    start = time.perf_counter()
    number = 0
    while True:
        try:
            progress = next(search)
        except StopIteration as stop:
            return stop.value
        report(progress)
        if progress.genotype is not None:
            number += 1
            progress.genotype.save(folder / "genotypes" / f"epoch-{number}.json")
            line = asdict(replace(progress, genotype=None)) | {"seconds": round(time.perf_counter() - start, 3)}
            del line["genotype"]
            with open(folder / "metrics.jsonl", "a", encoding="utf-8") as metrics:
                metrics.write(json.dumps(line) + "\n")


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
