"""What a search says and leaves: written down by the literal one, watched in one of the package; and their comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from nasarch.cells.genotype import Genotype
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.relaxation import Relaxation
from nasarch.search.engine.result import SearchResult
from nasarch.search.supernet.network import Supernet

from .cells import Clear, Derived
from .network import Network, pairs
from .softmaxes import Allowed, Logits

NEAR = 1e-9


class Epoch(NamedTuple):
    """Means over the training images of an epoch, its settings, what the search would end with, and the tables that say so."""

    loss: float
    accuracy: float
    rate: float
    temperature: float
    derived: Derived
    operations_ZEO: Tensor
    edges_ZE: Tensor
    pairs: dict[tuple[int, int], Tensor]  # weights of the pairs of edges at temperature 1, where pairs are weighed


class Stage(NamedTuple):
    """What a stage leaves: its network and its architecture parameters, those that are read."""

    net: Network
    alpha: Tensor
    beta: Logits
    allowed: Allowed


@dataclass
class Ended:
    """A literal search. `steps` are the optimisers' steps in order: "architecture" or "weights", and the rate."""

    epochs: list[Epoch] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    steps: list[tuple[str, float]] = field(default_factory=list)


class Meter:
    """Sums over the images of an epoch."""

    def __init__(self) -> None:
        self.loss = self.correct = self.images = 0.0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self.loss += float(loss) * len(labels)
        self.correct += sum(int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True))
        self.images += len(labels)

    def means(self) -> tuple[float, float]:
        return self.loss / self.images, self.correct / self.images


class Step(NamedTuple):
    """What an optimiser was set to when it moved its parameters."""

    optimiser: str
    groups: list[dict[str, Any]]


@dataclass
class Watched:
    """A search of the package: its reports at the ends of epochs, its modules by stage, and what moved them."""

    reports: list[Progress] = field(default_factory=list)
    nets: list[Supernet] = field(default_factory=list)
    archs: list[Relaxation] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    found: SearchResult | None = None

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Whatever is called and steps in the block is written down."""

        def called(module: nn.Module, _: Any) -> None:
            for kind, seen in ((Supernet, self.nets), (Relaxation, self.archs)):
                if isinstance(module, kind) and not any(module is other for other in seen):
                    seen.append(module)  # type: ignore[attr-defined]

        def stepped(optimiser: Optimizer, *_: Any) -> None:
            groups = [{name: value for name, value in group.items() if name != "params"} for group in optimiser.param_groups]
            self.steps.append(Step(type(optimiser).__name__, groups))

        handles = register_module_forward_pre_hook(called), register_optimizer_step_pre_hook(stepped)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def going(self, running: Any) -> Iterator[Progress]:
        """The reports of a search, until it ends or is stopped."""
        with self.hooks():
            while True:
                try:
                    report = next(running)
                except StopIteration as end:
                    self.found = end.value
                    return
                except KeyboardInterrupt:
                    return
                if report.ends_epoch:
                    self.reports.append(report)
                yield report

    def follow(self, running: Any) -> Watched:
        """A search to its end."""
        for _ in self.going(running):
            pass
        return self


def near(ours: Any, theirs: Any, what: str) -> None:
    ours, theirs = (torch.as_tensor(value, dtype=torch.float64).detach() for value in (ours, theirs))
    assert ours.shape == theirs.shape, what
    gap = float((ours - theirs).abs().max()) if ours.numel() else 0.0
    assert gap <= NEAR, f"{what} differs by {gap:.3g}"


def same_cell(genotype: Genotype, cells: dict[str, Any], where: str) -> None:
    ours = {kind: [[(op.operation, op.source) for op in node] for node in cell.nodes] for kind, cell in genotype.cells.items()}
    assert ours == cells, where


def same_margins(ours: Sequence[Any], theirs: Sequence[Clear], where: str) -> None:
    assert [(m.kind, m.node, list(m.kept), m.dropped) for m in ours] == [(m.kind, m.node, m.kept, m.dropped) for m in theirs], where
    for margin, clear in zip(ours, theirs, strict=True):
        near(margin.weights, clear.weights, f"weights of a margin, {where}")
        assert (margin.lead is None) == (clear.lead is None)
        near(margin.lead or 0.0, clear.lead or 0.0, f"lead of a margin, {where}")


def same_found(found: SearchResult, epoch: Epoch, where: str) -> None:
    same_cell(found.genotype, epoch.derived.cells, where)
    same_margins(found.margins, epoch.derived.margins, where)
    near(found.weights.operations_ZEO, epoch.operations_ZEO, f"operation weights, {where}")
    near(found.weights.edges_ZE, epoch.edges_ZE, f"edge weights, {where}")
    assert bool(len(found.weights.pairs_ZNS)) == bool(epoch.pairs)
    for (z, j), weights in epoch.pairs.items():
        near(found.weights.pairs_ZNS[z, j - 2, : len(weights)], weights, f"weights of pairs, {where}")


def same_stage(net: Supernet, arch: Relaxation, stage: Stage) -> None:
    """Weights, running statistics, and those architecture parameters that are read."""
    for ours, theirs in pairs(net, stage.net.twin):
        near(ours, theirs, "the network")
    allowed = torch.tensor(stage.allowed)
    near(arch.alpha[allowed], stage.alpha[allowed], "alpha")
    assert hasattr(arch, "beta") == bool(stage.beta)
    for (z, j), logits in stage.beta.items():
        near(arch.beta[z, j - arch.space.inputs, : len(logits)], logits, f"beta of node {j}")


def assert_same(watched: Watched, ended: Ended) -> None:
    """Reports, rates of the optimisers, networks, architecture parameters and what was found."""
    assert len(watched.reports) == len(ended.epochs)
    for number, (report, epoch) in enumerate(zip(watched.reports, ended.epochs, strict=True), 1):
        near(report.loss, epoch.loss, f"loss of epoch {number}")
        near(report.accuracy, epoch.accuracy, f"accuracy of epoch {number}")
        near(report.learning_rate, epoch.rate, f"learning rate of epoch {number}")
        near(report.temperature, epoch.temperature, f"temperature of epoch {number}")
        same_found(report.result, epoch, f"epoch {number}")
    names = {"SGD": "weights", "Adam": "architecture"}
    assert [names[step.optimiser] for step in watched.steps] == [name for name, _ in ended.steps]
    for step, (name, rate) in zip(watched.steps, ended.steps, strict=True):
        near([group["lr"] for group in step.groups], [rate], f"rate of a step of the {name}")
    for net, arch, stage in zip(watched.nets, watched.archs, ended.stages, strict=True):
        same_stage(net, arch, stage)
    assert watched.found is not None
    same_found(watched.found, ended.epochs[-1], "the end")
