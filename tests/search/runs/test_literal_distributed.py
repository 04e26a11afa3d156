"""A whole search of two processes is the literal one: rank r sees its images of each batch, and all move by the mean of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing

from nasarch.cells.genotype import Genotype
from nasarch.cells.space import DARTS
from nasarch.runtime import distributed
from nasarch.search.engine.context import SearchContext
from nasarch.search.recipes import pc_darts
from nasarch.search.supernet.candidates import all_candidates
from nasarch.search.supernet.network import Supernet
from tests.helpers.literal_settings import PC_DARTS
from tests.literal.cells import darts_rule
from tests.literal.data import Batch, Side, split
from tests.literal.gradients import grad
from tests.literal.learner import LiteralSetup, cosine
from tests.literal.network import Network, cross_entropy, pairs
from tests.literal.optimisers import Adam, Sgd
from tests.literal.record import Meter, Watched, near, same_cell
from tests.literal.small import data, in_float64
from tests.literal.softmaxes import candidates, edge_weights, operation_weights, start

PROCESSES, SEED = 2, 3
SPACE = DARTS.with_nodes(PC_DARTS.nodes)


def process(rank: int, folder: str) -> None:
    """One of the processes: searches, and writes down what it has in the end."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    with in_float64():
        watched = Watched().follow(pc_darts.search(SearchContext(data=data(), seed=SEED), PC_DARTS))
    (net,), (arch,) = watched.nets, watched.archs
    assert watched.found is not None
    said = {
        "net": net.state_dict(),
        "arch": dict(arch.named_parameters()),
        "epochs": [(report.loss, report.accuracy, report.steps) for report in watched.reports],
        "cells": watched.found.genotype.to_dict(),
    }
    torch.save(said, Path(folder) / f"{rank}.pt")
    distributed.destroy()


class Literal(NamedTuple):
    """One network for each rank, of the same weights and with running statistics of its own images."""

    nets: list[Network]
    alpha: Tensor
    beta: dict[tuple[int, int], Tensor]
    epochs: list[tuple[float, float, int]]


def literal() -> Literal:
    """PC-DARTS as one process would compute what the ranks compute together."""
    allowed = candidates(SPACE)
    alpha, beta = start(SPACE, PC_DARTS.init_std, SEED, edges=True)
    arch = [alpha, *beta.values()]
    shape = {"channels": PC_DARTS.channels, "layers": PC_DARTS.layers, "partial": PC_DARTS.partial}
    nets = [LiteralSetup(data(), SEED).network(allowed, space=SPACE, **shape) for _ in range(PROCESSES)]
    parts = split(data().train.labels.tolist(), PC_DARTS.fractions, SEED)
    train, valid = (
        [Side(data(), part, PC_DARTS.batch_size, 2 * SEED + i, rank=rank, ranks=PROCESSES) for rank in range(PROCESSES)]
        for i, part in enumerate(parts)
    )
    others = [side.endless() for side in valid]
    sgds = [Sgd(net.parameters, momentum=PC_DARTS.momentum, weight_decay=PC_DARTS.weight_decay, clip=PC_DARTS.clip) for net in nets]
    adam = Adam(arch, rate=PC_DARTS.arch_lr, betas=PC_DARTS.arch_betas, weight_decay=PC_DARTS.arch_weight_decay)
    epochs = []

    def mean(batches: Sequence[Batch], inputs: Sequence[list[Tensor]], meter: Meter | None = None) -> list[Tensor]:
        slopes = []
        for net, batch, of in zip(nets, batches, inputs, strict=True):
            logits = net.logits(batch[0], operation_weights(SPACE, alpha, allowed), edge_weights(SPACE, beta))
            loss = cross_entropy(logits, batch[1])
            slopes.append(grad(loss, of))
            if meter is not None:
                meter.add(loss.detach(), logits, batch[1])
        return [sum(slope) / PROCESSES for slope in zip(*slopes, strict=True)]

    for epoch in range(PC_DARTS.epochs):
        meter, steps = Meter(), 0
        for batches in zip(*(side.epoch() for side in train), strict=True):
            if epoch >= PC_DARTS.warmup:
                adam.step(mean([next(stream) for stream in others], [arch] * PROCESSES))
            slopes = mean(batches, [net.parameters for net in nets], meter)
            for sgd in sgds:
                sgd.step(slopes, cosine(PC_DARTS.lr, PC_DARTS.lr_end, epoch, PC_DARTS.epochs))
            steps += 1
        epochs.append((*meter.means(), steps))
    return Literal(nets, alpha, beta, epochs)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes has to say."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(process, (str(folder),), nprocs=PROCESSES)
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(PROCESSES)]


def test_two_processes_search_as_the_literal_mean_of_their_shares(said: list[dict[str, Any]]) -> None:
    with in_float64():
        expected = literal()
        for rank, (one, other) in enumerate(zip(said, expected.nets, strict=True)):
            net = Supernet(SPACE, all_candidates(SPACE), channels=4, layers=3, partial=PC_DARTS.partial, num_classes=3)
            net.load_state_dict(one["net"])
            for ours, theirs in pairs(net, other.twin):
                near(ours, theirs, f"the network of rank {rank}")
            near(one["arch"]["alpha"], expected.alpha, f"alpha of rank {rank}")
            for (z, j), logits in expected.beta.items():
                near(one["arch"]["beta"][z, j - 2, : len(logits)], logits, f"beta of rank {rank}")
            near(one["epochs"], expected.epochs, f"loss, accuracy and steps of rank {rank}")


def test_the_processes_have_the_same_weights_to_the_bit_and_statistics_of_their_own(said: list[dict[str, Any]]) -> None:
    first, second = (one["net"] for one in said)
    differ = {name.rpartition(".")[2] for name in first if not torch.equal(first[name], second[name])}
    assert differ == {"running_mean", "running_var"}
    assert all(torch.equal(said[0]["arch"][name], said[1]["arch"][name]) for name in said[0]["arch"])
    assert said[0]["cells"] == said[1]["cells"]
    assert [steps for _, _, steps in said[0]["epochs"]] == [3, 3], "17 images are batches of 6, 6 and 5, of which 4 are shared"


def test_the_cell_is_the_one_of_the_literal_weights(said: list[dict[str, Any]]) -> None:
    with in_float64():
        allowed, arch = candidates(SPACE), said[0]["arch"]
        beta = {(z, j): arch["beta"][z, j - 2, :j] for z in (0, 1) for j in (2, 3)}
        found = darts_rule(SPACE, operation_weights(SPACE, arch["alpha"], allowed).detach(), allowed, edge_weights(SPACE, beta))
    same_cell(Genotype.from_dict(said[0]["cells"]), found.cells, "the cell")


@pytest.mark.parametrize(
    ("device", "available", "own"),
    [("cpu", True, "cpu"), ("auto", False, "cpu"), ("auto", True, "cuda:1"), ("cuda", False, "cuda:1"), ("cuda", True, "cuda:1")],
)
def test_each_process_has_a_device_of_its_own(device: str, available: bool, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for name, value in {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert distributed.rank_and_world_size() == (3, 4) and distributed.own_device(device) == own
    assert taken == ([own] if own != "cpu" else [])
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert distributed.own_device("cuda:0") == "cuda:0"
