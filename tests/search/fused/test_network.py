"""Networks trained as one are those trained one by one: first weights, gradients, drop path, clipping, statistics, accuracy."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasarch.cells.genotype import Cell, Genotype, resolve
from nasarch.cells.topology import chain, pooled, topologies, unified
from nasarch.compute import seeded
from nasarch.data.loader import Batch, BatchLoader
from nasarch.models.network import CellNetwork
from nasarch.search.fused.cells import Table, gathered
from nasarch.search.fused.learner import FusedLearner
from nasarch.search.fused.network import FusedNetwork, edges_per_node
from nasarch.search.training.recipes import SHALLOW
from tests.helpers.small_training import colours

CELLS, CHANNELS, BATCH = 3, 4, 16
PATHS = topologies()[::60]
FLEETS = {
    "paths, pooled": [pooled(path, chain(4)) for path in PATHS],
    "paths, in both cells": [unified(path) for path in PATHS],
    "cells with other operations": [resolve(name) for name in ("darts_v1_cifar", "pc_darts_cifar", "ftso_cifar")],
}


def nets(genotypes: list[Genotype], classes: int = 3, cells: int = CELLS) -> list[CellNetwork]:
    found = []
    for genotype in genotypes:
        with seeded(0):
            found.append(CellNetwork(genotype, classes, cells=cells, channels=CHANNELS).double())
    return found


SETTINGS = replace(SHALLOW, epochs=2, drop_path=0.4, clip=0.5, lr=0.05, batch_size=BATCH)  # a bound of the gradient that counts


def some_batches(count: int) -> list[Batch]:
    data = colours()
    return list(islice(BatchLoader(data.train, data, batch_size=BATCH, seed=0), count))


def together(genotypes: list[Genotype], count: int) -> FusedNetwork:
    learner = FusedLearner(FusedNetwork(nets(genotypes), cells=CELLS, channels=CHANNELS), SETTINGS, seed=3)
    learner.start_epoch(1)
    for number, (x, y) in enumerate(some_batches(count)):
        learner.step((x.double(), y), number)
    return learner.net


def literally(net: CellNetwork, count: int) -> None:
    """The same steps of one network, as the recipe is written down."""
    optimizer = torch.optim.SGD(net.parameters(), SETTINGS.learning_rate(1), 0.9, weight_decay=3e-4)
    net.set_drop_path(0.2)
    net.train()
    for number, (x, y) in enumerate(some_batches(count)):
        torch.manual_seed(random.Random(f"3 0 {number}").getrandbits(63))
        optimizer.zero_grad()
        F.cross_entropy(net(x.double()), y).backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), SETTINGS.clip)
        assert norm > SETTINGS.clip
        optimizer.step()


@pytest.mark.parametrize("genotypes", FLEETS.values(), ids=FLEETS)
def test_several_steps_of_all_together_are_those_one_by_one(genotypes: list[Genotype]) -> None:
    fleet = together(genotypes, 3)
    for n, net in enumerate(nets(genotypes)):
        literally(net, 3)
        own, after = fleet.weights_of(n), net.state_dict()
        assert own.keys() == after.keys()
        for name, value in after.items():
            torch.testing.assert_close(own[name], value, rtol=1e-10, atol=1e-12)


def test_first_weights_come_back_as_they_were_given() -> None:
    one_by_one = nets(FLEETS["cells with other operations"])
    fleet = FusedNetwork(one_by_one, cells=CELLS, channels=CHANNELS)
    for n, net in enumerate(one_by_one):
        own = fleet.weights_of(n)
        assert own.keys() == net.state_dict().keys()
        assert all(torch.equal(own[name], value) for name, value in net.state_dict().items())


def test_cells_of_another_form_train_alone() -> None:
    assert edges_per_node(resolve("ftso_nats_cifar")) is None
    assert (
        edges_per_node(resolve("nasnet_a_cifar")) != edges_per_node(resolve("darts_v1_cifar")) == edges_per_node(resolve("pc_darts_cifar"))
    )
    whole = resolve("pc_darts_cifar")
    normal = whole.cells["normal"]
    (first, second), *others = normal.nodes
    for nodes in (
        [(first, first._replace(operation="none")), *others],
        [tuple(edge._replace(source=max(1, edge.source)) for edge in node) for node in ((first,), *others)],  # input 0 is not read
        [(first, second), *others[:-1], ()],
    ):
        changed = Cell(tuple(map(tuple, nodes)), normal.concat if nodes[-1] else normal.concat[:-1])
        assert edges_per_node(Genotype("x", whole.space, {**whole.cells, "normal": changed})) is None
    irregular = [name for name in ("fair_darts_a_cifar", "snas_mild_cifar") if edges_per_node(resolve(name)) is None]
    assert irregular
    with pytest.raises(ValueError, match="train them one by one"):
        FusedNetwork(nets([resolve("darts_v1_cifar"), resolve(irregular[0])]), cells=CELLS, channels=CHANNELS)
    smooth = replace(SHALLOW, label_smoothing=0.1)
    with pytest.raises(ValueError, match="label_smoothing=0.1: networks are trained together with"):
        FusedLearner(FusedNetwork(nets(FLEETS["paths, pooled"]), cells=CELLS, channels=CHANNELS), smooth, seed=0)


def test_what_is_gathered_has_the_gradient_of_a_plain_choice() -> None:
    blocks = [(0, 1), (0, 2), (1, 0), (0, 1), (1, 0), (1, 0)]
    table = Table.of(blocks, 2, [3, 2])
    maps = [torch.randn(2, 2 * count, 3, 3, dtype=torch.double, requires_grad=True) for count in (3, 2)]

    def plain() -> Tensor:
        return torch.cat([maps[source][:, 2 * i : 2 * i + 2] for source, i in blocks], dim=1)

    out, expected = gathered(table, maps), plain()
    assert torch.equal(out, expected) and len(table.runs) < len(blocks)
    weight = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, maps, weight), torch.autograd.grad(expected, maps, weight), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert gathered(Table.of([(1, 0), (1, 1)], 2, [3, 2]), maps) is maps[1]
