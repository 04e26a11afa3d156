"""Run of a search in a folder: settings, metrics, genotypes by epoch, the final cell and its picture. Knows files, no method.

| file | holds |
|---|---|
| config.json | method, settings, seed, data with digest, device, versions, command |
| settings.toml | method, settings and run options, for `nasarch search --config` |
| metrics.jsonl | a line an epoch: loss, accuracy, images/s, learning rate, skip connections and multi-adds of the cell, memory, seconds |
| eigenvalues.jsonl | with `--hessian`: a line a measurement |
| weights.jsonl | a line an epoch: the weights of all operations and edges; pairs of edges, and operations without annealing (DOTS) |
| checkpoint.pt | the state after the last epoch, or where it was stopped, to resume from; removed at the end |
| genotypes/epoch-N.json | the cell that epoch N would give |
| genotypes/epoch-N-step-S.json | with `--hessian-every`: the cell that step S of epoch N would give (FTSO Fig. 3c, 4d; not in fp16) |
| edges.json | for each node the weights of its edges, which were kept, and the lead of the last one kept |
| weights.json | the tables of operation and edge weights that the cell was derived from |
| genotype.json, cell.png | derived cell, with its provenance |

With several seeds every run has a folder of its own; what they have in common is beside them (gather.py). Of several processes the first
one writes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nasarch.atomic import write_text
from nasarch.cells.genotype import Genotype
from nasarch.cells.space import Space
from nasarch.compute import environment
from nasarch.drawing.draw import draw
from nasarch.runtime import distributed
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.runtime.json_files import SETTINGS, JsonLines
from nasarch.runtime.options import to_dict
from nasarch.runtime.recorded_data import with_absolute_paths
from nasarch.runtime.run_folder import RunFolder, as_json, finished, returned
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.recipes.methods import Method

from .metrics import epoch_line
from .options import SearchOptions
from .reader import read_margins
from .settings_file import as_toml

Search = Generator[Progress, None, SearchResult]
Report = Callable[[Progress], None]
SAME = ("method", "settings", "seed", "name", "data", "space", "amp", "processes")  # of config.json, to go on from a checkpoint


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Plan of a search.

    Args:
        command: the method's name on the command line.
        method: title, paper and recipe.
        settings: the method's dataclass.
        context: search context; seed and checkpoint are filled in for each run.
        words: the command line, for the provenance.
        job: run options, by which `--resume` repeats it.
        preset: name, row of the paper and reported result, if the settings come from one.
        remarks: warnings about the settings.
    """

    command: str
    method: Method
    settings: Any
    context: SearchContext
    words: str
    job: SearchOptions
    preset: dict[str, str] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def space(self) -> Space:
        """Of the cells that are searched."""
        return self.context.cells(self.settings.nodes)

    def begin(self, seed: int, checkpoint: Checkpoint) -> Search:
        """Start the search, or go on with it."""
        return self.method.search(replace(self.context, seed=seed, checkpoint=checkpoint), self.settings)


def run(plan: Plan, seed: int, path: Path, report: Report) -> SearchResult:
    """Search once in the folder `path`, or finish what it holds of that, as `epochs` does."""
    return returned(epochs(plan, seed, path, report))


def epochs(plan: Plan, seed: int, path: Path, report: Report) -> Search:
    """Search once in the folder `path`, or finish what it holds of that, and yield the progress at the end of each epoch.

    Returns the result, its provenance filled in.

    SIGINT and SIGTERM stop it after the present step with its state saved; a second signal stops it at once.

    Raises:
        ValueError: the checkpoint in the folder is damaged or of another search, or another process is running there.
        KeyboardInterrupt: it was stopped.
    """
    result = finished(path / "genotype.json", lambda: read_search_result(path))
    if result is not None:
        return result
    with RunFolder.begin(path, config_of(plan, seed), SAME, {SETTINGS: settings_of(plan, seed)}) as folder:
        result = yield from _follow(plan.begin(seed, folder.checkpoint), folder, report)
        result = result._replace(
            genotype=replace(result.genotype, provenance=_provenance(plan, folder.config, folder.last.get("seconds", 0.0)))
        )

        def write() -> None:
            write_text(path / "edges.json", as_json([margin._asdict() for margin in result.margins]))
            write_text(path / "weights.json", json.dumps(result.weights.to_lists()) + "\n")
            draw(result.genotype, path / "cell.png")
            result.genotype.save(path / "genotype.json")

        folder.finish(write)
    return result


def read_search_result(folder: Path) -> SearchResult:
    """The result of a finished search in `folder`.

    Raises:
        ValueError: the search is not finished, or one of its files is damaged.
    """
    remedy = "finish it with --resume, or search again"
    if missing := [name for name in ("edges.json", "weights.json", "genotype.json") if not (folder / name).is_file()]:
        raise ValueError(f"{folder} holds no finished search of this version (no {missing[0]}); {remedy}")
    margins, weights = read_margins(folder / "edges.json", remedy), ArchitectureWeights.load(folder / "weights.json", remedy)
    return SearchResult(Genotype.load(folder / "genotype.json"), margins, weights)


def _follow(search: Search, folder: RunFolder, report: Report) -> Search:
    """Drive the search to its end, writing down every epoch."""
    weights, measured = folder.lines("weights.jsonl"), JsonLines(folder.path / "eigenvalues.jsonl")

    def write(progress: Progress) -> None:
        report(progress)
        if progress.figures and all(map(math.isfinite, progress.figures.values())):
            _measured(measured, progress)
        if progress.measured is not None:
            name = f"epoch-{weights.count + 1}-step-{progress.step}.json"
            progress.measured.genotype.save(folder.path / "genotypes" / name)
        if progress.result is not None:
            where = {"stage": progress.stage, "warmup": progress.is_warmup, "epoch": progress.epoch}
            weights.add(where | progress.result.weights.to_lists())
            progress.result.genotype.save(folder.path / "genotypes" / f"epoch-{weights.count}.json")

    return folder.epochs(search, write, epoch_line)


def _measured(lines: JsonLines, progress: Progress) -> None:
    """A line of what was measured in the middle or at the end of an epoch, in place of those of steps that were undone by a kill."""
    here = progress.stage, progress.epoch, progress.step
    lines.drop(lambda line: line["stage"] == here[0] and (line["epoch"], line["step"]) >= here[1:])
    lines.add({"stage": here[0], "warmup": progress.is_warmup, "epoch": here[1], "step": here[2], **progress.figures})


def config_of_seeds(plan: Plan) -> dict[str, Any]:
    """config.json of the folder above several seeds."""
    job = with_absolute_paths(to_dict(plan.job))
    return {"method": plan.method.title, "settings": with_absolute_paths(asdict(plan.settings)), "job": job, "data": _about(plan.context)}


def settings_of(plan: Plan, seed: int | None = None) -> str:
    """settings.toml of the run with this seed, or of all seeds together."""
    job = plan.job if seed is None else replace(plan.job, seed=seed, runs=1, consensus=False)
    return as_toml(plan.command, with_absolute_paths(asdict(plan.settings)), with_absolute_paths(to_dict(job)))


def config_of(plan: Plan, seed: int) -> dict[str, Any]:
    return {
        "method": plan.method.title,
        "settings": with_absolute_paths(asdict(plan.settings)),
        "seed": seed,
        "name": plan.context.name,
        "preset": plan.preset,
        "space": plan.space.about(),
        "amp": plan.context.amp,
        "tf32": plan.job.machine.tf32,
        "deterministic": plan.job.machine.deterministic,
        "processes": distributed.world_size(),
        "job": with_absolute_paths(to_dict(plan.job)) | {"seed": seed, "runs": 1, "consensus": False},
        "data": _about(plan.context),
        **environment(plan.context.device),
        "command": plan.words,
    }


def _about(context: SearchContext) -> dict[str, Any]:
    """Which images, and which of them on which side if a split says so."""
    data = context.data
    known = {"name": data.name, "images": len(data.train), "size": list(data.size), "source": data.source, "sha256": data.digest}
    if context.parts is None:
        return known
    indices = "/".join(" ".join(map(str, part.tolist())) for part in context.parts)
    return known | {"split": [len(part) for part in context.parts], "split_sha256": hashlib.sha256(indices.encode()).hexdigest()}


def _provenance(plan: Plan, config: dict[str, Any], seconds: float) -> dict[str, Any]:
    source = {key: config[key] for key in ("command", "seed", "data", "settings", "device", "versions")}
    if plan.preset is not None:
        source["preset"] = plan.preset
    if config["amp"] != "off" or config["processes"] > 1:
        source |= {"amp": config["amp"], "processes": config["processes"]}
    source |= {key: True for key in ("tf32", "deterministic") if config[key]}
    return {
        "method": plan.method.title,
        "paper": plan.method.paper,
        "searched_on": plan.context.data.name,
        "kind": "found by nasarch",
        "source": source | {"seconds": round(seconds, 1)},
        "results": [],
    }
