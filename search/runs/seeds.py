"""A search with one seed or several: shown as it goes, and at the end what to do with the result."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nasarch.atomic import write_text
from nasarch.cells.space import NATS
from nasarch.console import command_line
from nasarch.console import console as plain_console
from nasarch.models.stem import IMAGENET_STEM_SIZE
from nasarch.runtime import distributed
from nasarch.runtime.json_files import SETTINGS
from nasarch.runtime.loggers import RunLog, TensorBoardLogger
from nasarch.runtime.progress import ProgressDisplay, to_all
from nasarch.runtime.seeds import run_seeds
from nasarch.search.derive.budget import Budget
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import SearchResult
from nasarch.search.training.recipes import CIFAR

from .console import log_epoch, report
from .derive import Searched, derive, figures
from .gather import conclude
from .metrics import collapse, expense
from .nats_table import check_table, lookup
from .run import Plan, Report, config_of, config_of_seeds, run, settings_of

CUTOUT = CIFAR.cutout


def search(plan: Plan, folder: Path) -> None:
    """Search with every seed, or finish that; show it, and say at the end what to do with the result."""
    console = plain_console(quiet=not distributed.is_main())
    if plan.job.nats_table is not None:
        check_table(plan.job.nats_table)
    data, seeds = plan.context.data, range(plan.job.seed, plan.job.seed + plan.job.runs)
    where = str(plan.context.device) + (f", {distributed.world_size()} processes" if distributed.world_size() > 1 else "")
    console.print(f"{plan.method.title} on {data.name}: {len(data.train):,} training images, {data.num_classes} classes; {where}")
    _warn(console, plan.remarks)
    if len(seeds) > 1:
        distributed.run_on_main(lambda: write_text(folder / SETTINGS, settings_of(plan)))
    results = run_seeds(
        lambda seed, path: _one(plan, seed, path, console),
        seeds,
        folder,
        config=config_of_seeds(plan),
        command=f"search {plan.command}",
        console=console,
    )
    if distributed.is_main():
        if len(results) > 1:
            folder = conclude(plan.method, plan.settings, plan.space, results, folder, console, with_consensus=plan.job.consensus)
        console.print(_next_steps(folder, plan), soft_wrap=True)


def _one(plan: Plan, seed: int, folder: Path, console: Console) -> SearchResult:
    loggers = [TensorBoardLogger()] if plan.job.tensorboard and distributed.is_main() else []
    with ProgressDisplay(console, " of this stage") as display, RunLog(loggers, folder, config_of(plan, seed)) as log:
        reports: list[Report] = [partial(report, display, f"seed {seed}"), partial(log_epoch, log), Watch(console)]
        result = run(plan, seed, folder, to_all(reports))
        log.result = result.genotype.to_dict()
    console.print(_choice(result, seed))
    _warn(console, [words for words in (collapse(result.genotype), _over_budget(plan, folder, result)) if words])
    if plan.job.nats_table is not None:
        console.print(lookup(result.genotype, plan.job.nats_table).line(), soft_wrap=True, highlight=False)
    return result


def _over_budget(plan: Plan, folder: Path, result: SearchResult) -> str:
    """A warning if the cell exceeds `--max-macs`, once the best cell that does not is written to derived/ in the run folder."""
    words, budget = expense(result.genotype, plan.job.max_macs), Budget(max_macs=plan.job.max_macs)
    if not words or not distributed.is_main():
        return words
    searched = Searched(
        method=plan.method, settings=plan.settings, space=plan.space, weights=result.weights, like=result.genotype, cells=result.genotype
    )
    try:
        free, within = derive(searched, budget, folder / "derived", replace=True)
    except ValueError as error:
        return f"{words}; or: {error}"
    return f"{words}; or take {folder / 'derived' / 'genotype.json'}: {figures(within)}, score {free.score - within.score:.6f} lower"


class Watch:
    """Warns in the epoch whose cell is the first to have collapsed: the search can be stopped then."""

    def __init__(self, console: Console) -> None:
        self.console, self.has_warned = console, False

    def __call__(self, progress: Progress) -> None:
        if self.has_warned or progress.genotype is None or progress.is_warmup:
            return
        if words := collapse(progress.genotype):
            self.has_warned = True
            _warn(self.console, [f"after epoch {progress.epoch} of {progress.epochs}, {words}"])


def _warn(console: Console, remarks: Sequence[str]) -> None:
    for words in remarks:
        console.print(Text.assemble(("warning:", "yellow"), f" {words}"), soft_wrap=True)


def _choice(result: SearchResult, seed: int) -> Table:
    """A line a node: the edges kept, the best one dropped, and by how much they are apart."""
    table = Table(title=f"seed {seed}: what each node reads", title_justify="left")
    for heading in ("cell", "node", "keeps", "drops first", "lead of the last kept"):
        table.add_column(heading, justify="left" if heading in ("cell", "keeps") else "right")
    for kind, node, weights, kept, dropped, lead in result.margins:
        apart = "" if lead is None else f"{lead:.6f} of {weights[kept[-1]]:.4f}"
        table.add_row(kind, str(node), ", ".join(map(str, kept)), "" if dropped is None else str(dropped), apart)
    return table


def _next_steps(folder: Path, plan: Plan) -> str:
    cell, classes = folder / "genotype.json", plan.context.data.num_classes
    is_nats, large = plan.space.name == NATS.name, min(plan.context.data.size) >= IMAGENET_STEM_SIZE
    model = "nas_bench_201" if is_nats else "nas_224" if large else "nas_cifar"
    side = min(plan.context.data.size)
    recipe = " --recipe nats" if is_nats else " --recipe imagenet" if large else f" --cutout {side // 2}" if side <= CUTOUT else ""
    return "\n".join(
        [
            f"found {cell} (picture: {folder / 'cell.png'})",
            f"build:  import nasarch, timm; timm.create_model('{model}', genotype={str(cell)!r}, num_classes={classes})",
            f"train:  {command_line('train', cell, '--data', plan.job.dataset.data)}{recipe}",
            f"export: {command_line('export', 'onnx', cell, '-o', 'model.onnx')}",
        ]
    )
