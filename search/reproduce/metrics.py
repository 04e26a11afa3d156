"""Metrics of a row, measured from the files that its commands wrote. Each gives a value for each run that it is taken of.

| metric | is |
|---|---|
| test error, top-5 error | 100 - accuracy on the test images, a value for each training |
| best test error | the least of them |
| parameters, multi-adds | of the network that the paper trains (its cells, channels, classes and image size), whatever was trained here |
| search cost | days of each search on this machine, times its processes |
| skip connections | of all searched cells of a kind together (eDARTS, Table II) |
| shallow accuracy, shallow parameters | of the networks of `nasarch compare`, a value for each network |
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from nasarch.cells.genotype import Genotype
from nasarch.models.cost import Cost, network_cost
from nasarch.models.zoo import MODELS
from nasarch.runtime.json_files import read_object
from nasarch.search.recipes.dots import FREE
from nasarch.search.rows.row import CIFAR100, IMAGENET, Figure, Row, Search, Train
from nasarch.search.runs.nats_table import lookup
from nasarch.search.runs.reader import Run, find_runs
from nasarch.search.training.recipes import recipe

from .options import ReproduceOptions
from .stages import chosen_cell, search_folder

Values = Sequence[float] | None
MILLION, DAY = 1e6, 86_400
CLASSES = {CIFAR100: 100, IMAGENET: 1000}
SIZES = {"cifar": 32, "imagenet": 224}


class Results:
    """The files of a row's folder, read when a metric asks for them."""

    def __init__(self, row: Row, options: ReproduceOptions, folder: Path) -> None:
        self.row, self.options, self.folder = row, options, folder

    @cached_property
    def tests(self) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "test").glob("seed-*.json"), key=lambda path: (len(path.name), path.name))
        return [read_object(path, images=int, top1=float) for path in paths]

    @cached_property
    def searches(self) -> list[Run]:
        """The finished searches of the row."""
        if self.row.step(Search) is None or not search_folder(self.options, self.folder).exists():
            return []
        return [run for run in find_runs([search_folder(self.options, self.folder)]) if run.genotype is not None]

    @cached_property
    def cost(self) -> Cost | None:
        """Of the network that the paper trains."""
        step = self.row.step(Train)
        if step is None:
            return None
        if step.model is not None:
            genotype = MODELS[step.model].genotype
        else:
            path = chosen_cell(self.row, self.options, self.folder)
            genotype = Genotype.load(path) if path.is_file() else None
        if genotype is None:
            return None
        named = recipe(step.recipe)
        cells, channels = named.network
        classes, size = CLASSES.get(step.data, 10), SIZES[named.stem]
        return network_cost(genotype, stem=named.stem, cells=cells, channels=channels, size=size, num_classes=classes)

    @cached_property
    def ranking(self) -> list[dict[str, Any]]:
        path = self.folder / "train" / "ranking.json"
        return read_object(path, ranking=list)["ranking"] if path.is_file() else []

    def json(self, *parts: str) -> dict[str, Any]:
        """The content of a file in the folder; nothing without it."""
        path = self.folder.joinpath(*parts)
        return read_object(path) if path.is_file() else {}


class Metric(NamedTuple):
    """A metric: its unit, decimals, and the values that it has in a row's folder (None or nothing where it was not measured)."""

    unit: str
    decimals: int
    values: Callable[[Results], Values]


class Measured(NamedTuple):
    """A figure beside what was measured: mean, standard deviation (n - 1) and number of values."""

    figure: Figure
    mean: float | None
    std: float | None
    runs: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        metric, figure = METRICS[self.figure.metric], self.figure
        reported = {"reported": figure.reported, "reported_std": figure.std, "words": figure.words}
        measured = {"measured": self.mean, "std": self.std, "runs": self.runs}
        return {"metric": figure.metric, "unit": metric.unit, **reported, **measured}


def measure(results: Results) -> list[Measured]:
    """All figures of the row, measured where its stages have run."""
    return [_measured(figure, METRICS[figure.metric].values(results)) for figure in results.row.figures]


def _measured(figure: Figure, values: Values) -> Measured:
    numbers = [value for value in values or () if math.isfinite(value)]
    if not numbers:
        return Measured(figure, None, None, 0)
    return Measured(figure, statistics.fmean(numbers), statistics.stdev(numbers) if len(numbers) > 1 else None, len(numbers))


def _errors(results: Results) -> Values:
    return [100 - test["top1"] for test in results.tests]


def _best_error(results: Results) -> Values:
    return [min(errors)] if (errors := _errors(results)) else None


def _top5(results: Results) -> Values:
    return [100 - test["top5"] for test in results.tests if test.get("top5") is not None]


def _parameters(results: Results) -> Values:
    return [results.cost.parameters / MILLION] if results.cost else None


def _multi_adds(results: Results) -> Values:
    if cost := results.json("train", "result.json").get("cost"):
        return [cost["multi_adds"] / MILLION]  # of a detector
    return [results.cost.multi_adds / MILLION] if results.cost else None


def _days(results: Results) -> Values:
    runs = [(run.seconds, run.config.get("processes", 1)) for run in results.searches]
    return [seconds * processes / DAY for seconds, processes in runs if seconds is not None]


def _skips(kind: str) -> Callable[[Results], Values]:
    def values(results: Results) -> Values:
        cells = [run.genotype.cells[kind] for run in results.searches if run.genotype is not None and kind in run.genotype.cells]
        return [sum(op.operation == "skip_connect" for cell in cells for node in cell.nodes for op in node)] if cells else None

    return values


def _shallow(results: Results) -> Values:
    return [accuracy for one in results.ranking for accuracy in one["accuracies"].values()]


def _shallow_parameters(results: Results) -> Values:
    return [one["parameters"] / MILLION for one in results.ranking]


def _eigenvalue(results: Results) -> Values:
    return [run.measured[-1]["eigenvalue"] for run in results.searches if run.measured]


def _tau(results: Results) -> Values:
    tau = results.json("train", "pairs.json").get("tau")
    return None if tau is None else [tau]


def _none_weight(results: Results) -> Values:
    """Of the deepest edge of the normal cell, from the operations' own last epoch."""
    tables = [(run.space, run.weights[-1].operations) for run in results.searches if run.weights and "none" in run.space.operations]
    return [operations[0][-1][space.operations.index("none")] for space, operations in tables]


def _retained(kind: str) -> Callable[[Results], Values]:
    def values(results: Results) -> Values:
        (figure,) = (one for one in results.row.figures if one.metric == f"retained operations, {kind} cell")
        listed = [edge.split("/") for edge in figure.words.split(", ")]
        return [
            sum(one in other for pair, other in zip(retained(run, kind), listed, strict=False) for one in pair) for run in results.searches
        ]

    return values


def retained(run: Run, kind: str) -> list[tuple[str, ...]]:
    """The operations that the operation search of DOTS retained on each edge of a cell, that without weights first."""
    tables = run.weights[-1].operations[run.space.kinds.index(kind)] if run.weights else []
    candidates = [[name for name, weight in zip(run.space.operations, edge, strict=True) if weight > 0] for edge in tables]
    return [tuple(sorted(names, key=lambda name: name not in FREE)) for names in candidates]


def _path(stage: str, end: int) -> Callable[[Results], Values]:
    def values(results: Results) -> Values:
        paths = results.json("search", "paths.json").get("paths", [])
        accuracies = sorted(max(path[stage]["accuracies"].values()) for path in paths if stage in path)
        return [accuracies[end]] if accuracies else None

    return values


def _nats(column: str) -> Callable[[Results], Values]:
    def values(results: Results) -> Values:
        table = results.options.nats_table
        cells = [run.genotype for run in results.searches if run.genotype is not None]
        return None if table is None else [getattr(lookup(cell, table), column) for cell in cells]

    return values


def _precision(name: str) -> Callable[[Results], Values]:
    def values(results: Results) -> Values:
        value = (results.json("train", "result.json").get("val") or {}).get(name)
        return None if value is None else [100 * value]

    return values


METRICS: Mapping[str, Metric] = {
    "test error": Metric("%", 2, _errors),
    "best test error": Metric("%", 2, _best_error),
    "top-5 error": Metric("%", 2, _top5),
    "parameters": Metric("M", 2, _parameters),
    "multi-adds": Metric("M", 0, _multi_adds),
    "search cost": Metric("days", 4, _days),
    "skip connections, normal cell": Metric("", 0, _skips("normal")),
    "skip connections, reduction cell": Metric("", 0, _skips("reduction")),
    "shallow accuracy": Metric("%", 2, _shallow),
    "shallow parameters": Metric("M", 2, _shallow_parameters),
    "largest eigenvalue": Metric("", 4, _eigenvalue),
    "Kendall's tau": Metric("", 2, _tau),
    "Pearson correlation": Metric("", 2, lambda results: None),
    "weight of none on the deepest edge": Metric("", 3, _none_weight),
    "retained operations, normal cell": Metric("of 28", 0, _retained("normal")),
    "retained operations, reduction cell": Metric("of 28", 0, _retained("reduction")),
    "best path accuracy": Metric("%", 2, _path("one", -1)),
    "worst path accuracy": Metric("%", 2, _path("one", 0)),
    "best path in both cells accuracy": Metric("%", 2, _path("both", -1)),
    "NATS-Bench CIFAR-10 accuracy": Metric("%", 2, _nats("c10")),
    "NATS-Bench CIFAR-100 accuracy": Metric("%", 2, _nats("c100")),
    "NATS-Bench ImageNet16-120 accuracy": Metric("%", 2, _nats("in16")),
    "AP": Metric("%", 1, _precision("AP")),
    "AP50": Metric("%", 1, _precision("AP50")),
    "AP75": Metric("%", 1, _precision("AP75")),
    "AP small": Metric("%", 1, _precision("APs")),
    "AP medium": Metric("%", 1, _precision("APm")),
    "AP large": Metric("%", 1, _precision("APl")),
}
