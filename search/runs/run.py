"""A search that leaves a folder: settings, metrics, genotypes by epoch, the final cell and its picture. Knows files, no method.

| file | holds |
|---|---|
| config.json | method, settings, seed, data with digest, device, versions, command |
| metrics.jsonl | a line an epoch: loss, accuracy, images/s, learning rate, skip connections and multi-adds of the cell, memory, seconds |
| eigenvalues.jsonl | with `--hessian`: a line a measurement |
| weights.jsonl | a line an epoch: the weights of all operations and edges |
| checkpoint.pt | the state after the last epoch, or where it was stopped, to resume from; removed at the end |
| genotypes/epoch-N.json | the cell that epoch N would give |
| edges.json | for each node the weights of its edges, which were kept, and the lead of the last one kept |
| weights.json | the tables of operation and edge weights that the cell was derived from |
| genotype.json, cell.png | what was found, with its provenance |

With several seeds every run has a folder of its own, and stability.json counts how often each edge was kept. Of several processes the
first one writes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from nasarch.atomic import write_text
from nasarch.cells.genotype import Genotype
from nasarch.cells.space import Space
from nasarch.compute import device_name
from nasarch.drawing.draw import draw
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint, shared_checkpoint
from nasarch.runtime.options import to_dict
from nasarch.runtime.run_folder import JsonLines, as_json
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, Margin, SearchResult
from nasarch.search.recipes.methods import Method

from .metrics import epoch_line
from .options import SearchOptions

Search = Generator[Progress, None, SearchResult]
Report = Callable[[Progress], None]
PACKAGES = ("nasarch", "torch", "timm")
SAME = ("method", "settings", "seed", "name", "data", "space", "amp", "processes")  # of config.json, to go on from a checkpoint


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is searched, and how.

    Args:
        command: the method's name on the command line.
        method: title, paper and recipe.
        settings: the method's dataclass.
        bench: what it works with; seed and checkpoint are filled in for each run.
        words: the command line, for the provenance.
        job: what else the command was told, by which `--resume` repeats it.
        preset: name, row of the paper and reported result, if the settings come from one.
        remarks: warnings about the settings.
    """

    command: str
    method: Method
    settings: Any
    bench: SearchContext
    words: str
    job: SearchOptions
    preset: dict[str, str] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def space(self) -> Space:
        """Of the cells that are searched."""
        return self.bench.cells(self.settings.nodes)

    def begin(self, seed: int, checkpoint: Checkpoint) -> Search:
        """Start the search, or go on with it."""
        return self.method.search(replace(self.bench, seed=seed, checkpoint=checkpoint), self.settings)


def run(plan: Plan, seed: int, folder: Path, report: Report) -> SearchResult:
    """Search once, or finish what `folder` holds of it. Returns what was found, its provenance filled in.

    SIGINT and SIGTERM stop it after the present step with everything kept; a second signal stops it at once.

    Raises:
        ValueError: the checkpoint in the folder is damaged or of another search.
        KeyboardInterrupt: it was stopped; says how to go on.
    """
    finished = distributed.run_on_main(lambda: read_found(folder) if (folder / "genotype.json").exists() else None)
    if finished is not None:
        return finished
    config = distributed.run_on_main(lambda: _continued(_config(plan, seed), folder / "config.json"))
    if str(plan.bench.device) == "cpu":
        torch.set_num_threads(config["threads"])
    checkpoint = shared_checkpoint(folder / "checkpoint.pt", {key: config[key] for key in SAME})
    if distributed.is_main():
        write_text(folder / "config.json", as_json(config))
    with stopping_at_signals(checkpoint):
        found, seconds = _follow(plan.begin(seed, checkpoint), folder, report, checkpoint.epochs)
    found = found._replace(genotype=replace(found.genotype, provenance=_provenance(plan, config, seconds)))
    if distributed.is_main():
        _write_found(found, folder)
    return found


def _write_found(found: SearchResult, folder: Path) -> None:
    write_text(folder / "edges.json", as_json([margin._asdict() for margin in found.margins]))
    write_text(folder / "weights.json", json.dumps(found.weights.to_lists()) + "\n")
    draw(found.genotype, folder / "cell.png")
    found.genotype.save(folder / "genotype.json")
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def read_found(folder: Path) -> SearchResult:
    """What a finished run in `folder` found.

    Raises:
        ValueError: the run is not finished, or one of its files is damaged.
    """
    try:
        rows = json.loads((folder / "edges.json").read_text(encoding="utf-8"))
        margins = [Margin(**row | {"weights": tuple(row["weights"]), "kept": tuple(row["kept"])}) for row in rows]
        weights = ArchitectureWeights.from_lists(json.loads((folder / "weights.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{folder} holds no finished search of this version ({error}); finish it with --resume, or search again"
        ) from error
    return SearchResult(Genotype.load(folder / "genotype.json"), margins, weights)


@contextmanager
def stopping_at_signals(checkpoint: Checkpoint) -> Iterator[None]:
    """SIGINT and SIGTERM ask the checkpoint for a stop; the handlers from before come back at once and after the block.

    One of several processes gets such signals twice, from the terminal and from torchrun, which ends those that don't stop: there the
    handlers come back after the block alone.
    """
    before: dict[signal.Signals, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        checkpoint.stop_requested = True
        if distributed.world_size() == 1:
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


def _follow(search: Search, folder: Path, report: Report, epochs: int) -> tuple[SearchResult, float]:
    """Drive the search to its end, writing down every epoch; `epochs` were over before, what was written of later ones is dropped.

    Returns what was found, and the seconds of all epochs, also of those before.
    """
    metrics, weights = JsonLines(folder / "metrics.jsonl", epochs), JsonLines(folder / "weights.jsonl", epochs)
    measured = JsonLines(folder / "eigenvalues.jsonl")
    start = time.perf_counter() - metrics.last.get("seconds", 0.0)
    while True:
        try:
            progress = next(search)
        except StopIteration as stop:
            return stop.value, time.perf_counter() - start
        if not distributed.is_main():
            continue
        report(progress)
        if progress.figures:
            _measured(measured, progress)
        if progress.found is not None:
            metrics.add(epoch_line(progress) | {"seconds": round(time.perf_counter() - start, 3)})
            weights.add({"stage": progress.stage, "epoch": progress.epoch} | progress.found.weights.to_lists())
            progress.found.genotype.save(folder / "genotypes" / f"epoch-{metrics.count}.json")


def _measured(lines: JsonLines, progress: Progress) -> None:
    """A line of what was measured in the middle or at the end of an epoch, in place of those of steps that were undone by a kill."""
    here = progress.stage, progress.epoch, progress.step
    lines.drop(lambda line: line["stage"] == here[0] and (line["epoch"], line["step"]) >= here[1:])
    lines.add({"stage": here[0], "epoch": here[1], "step": here[2], **progress.figures})


def _continued(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Of a search that goes on: the first command, its threads (on a CPU another number gives other sums), and with what it goes on."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        first = {key: before[key] for key in ("command", "threads", "device", "versions")}
    except (OSError, ValueError, TypeError, KeyError):  # it begins, or a file that `resumed` has refused already
        return config
    return config | first | {"resumed": [*before.get("resumed", []), {key: config[key] for key in first}]}


def _config(plan: Plan, seed: int) -> dict[str, Any]:
    return {
        "method": plan.method.title,
        "settings": asdict(plan.settings),
        "seed": seed,
        "name": plan.bench.name,
        "preset": plan.preset,
        "space": {"name": plan.space.name, "nodes": plan.space.nodes},
        "amp": plan.bench.amp,
        "tf32": plan.job.machine.tf32,
        "processes": distributed.world_size(),
        "job": to_dict(plan.job) | {"seed": seed, "runs": 1, "consensus": False},
        "data": _about(plan.bench),
        "device": device_name(torch.device(plan.bench.device)),
        "threads": torch.get_num_threads(),
        "versions": {package: version(package) for package in PACKAGES} | {"python": platform.python_version()},
        "command": plan.words,
    }


def _about(bench: SearchContext) -> dict[str, Any]:
    """Which images, and which of them on which side if a split says so."""
    data = bench.data
    known = {"name": data.name, "images": len(data.train), "size": list(data.size), "source": data.source, "sha256": data.digest}
    if bench.parts is None:
        return known
    indices = "/".join(" ".join(map(str, part.tolist())) for part in bench.parts)
    return known | {"split": [len(part) for part in bench.parts], "split_sha256": hashlib.sha256(indices.encode()).hexdigest()}


def _provenance(plan: Plan, config: dict[str, Any], seconds: float) -> dict[str, Any]:
    source = {key: config[key] for key in ("command", "seed", "data", "settings", "device", "versions")}
    if plan.preset is not None:
        source["preset"] = plan.preset
    if config["amp"] != "off" or config["processes"] > 1:
        source |= {"amp": config["amp"], "processes": config["processes"]}
    if config["tf32"]:
        source["tf32"] = True
    return {
        "method": plan.method.title,
        "paper": plan.method.paper,
        "searched_on": plan.bench.data.name,
        "kind": "found by nasarch",
        "source": source | {"seconds": round(seconds, 1)},
        "results": [],
    }
