"""Whole searches say and leave what the literal ones do, to 1e-9 in float64: every method, and every setting that changes its path.

Nothing of the wiring is replaced: with float64 as torch's default type networks, architecture parameters and batches take it by
themselves. What a search leaves is watched by hooks on modules and optimisers: weights, running statistics, alpha and beta, the order of
the optimisers' steps and the rates that they are set to. All settings differ from their defaults, so none can be ignored unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch

from nasarch.cells.space import DARTS, NATS, Space
from nasarch.data.dataset import Augmentation, Dataset
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.engine.context import SearchContext
from nasarch.search.recipes import darts, dots, edarts, ftso, pc_darts
from tests.helpers.literal_settings import ONE_STAGE, PC_DARTS, SMALL, UNEQUAL
from tests.helpers.nested import nested
from tests.literal import darts as literal_darts
from tests.literal import dots as literal_dots
from tests.literal import edarts as literal_edarts
from tests.literal import ftso as literal_ftso
from tests.literal import pc_darts as literal_pc_darts
from tests.literal.learner import LiteralSetup
from tests.literal.record import Ended, Watched, assert_same
from tests.literal.small import data, in_float64

LITERAL = {darts: literal_darts, pc_darts: literal_pc_darts, dots: literal_dots, edarts: literal_edarts, ftso: literal_ftso}
PARTS = [1, 4, 2, 28, 9, 15, 20, 21, 26, 11], [0, 3, 27, 6, 25, 17, 14, 5]


class Case(NamedTuple):
    recipe: ModuleType
    settings: Any
    space: Space = DARTS
    seed: int = 3
    data: Dataset | None = None
    parts: tuple[list[int], list[int]] | None = None  # of the training images, in place of a split by the seed

    def context(self, **more: Any) -> SearchContext:
        parts = None if self.parts is None else tuple(map(torch.tensor, self.parts))
        return SearchContext(data=self.data or data(), space=self.space, seed=self.seed, parts=parts, **more)  # type: ignore[arg-type]

    def running(self, **more: Any) -> Any:
        """The package's search."""
        return self.recipe.search(self.context(**more), self.settings)

    def literal(self) -> Ended:
        return LITERAL[self.recipe].search(LiteralSetup(self.data or data(), self.seed, self.space, self.parts), self.settings)


DARTS_FIRST = darts.Darts(order="first", init_std=0.5, fractions=UNEQUAL, **ONE_STAGE)
DOTS = nested(
    dots.Dots(),
    operation_epochs=2,
    topology_epochs=3,
    operation_warmup=1,
    topology_warmup=1,
    operation_layers=3,
    topology_layers=4,
    operation_start=2.0,
    operation_decay=0.6,
    topology_start=0.5,
    topology_decay=0.3,
    operation_scale=0.7,
    operation_arch_betas=(0.6, 0.99),
    topology_arch_betas=(0.7, 0.98),
    fractions=UNEQUAL,
    **{**SMALL, "nodes": 3},
)
EDARTS = edarts.Edarts(images=14, path="01-12", init_std=0.5, **ONE_STAGE)
FTSO = ftso.Ftso(fractions=UNEQUAL, operation="dil_conv_5x5", **{**ONE_STAGE, "nodes": 3})
NATS_STAGE = {**ONE_STAGE, "layers": 1}
CASES = {
    "darts, first order": Case(darts, DARTS_FIRST),
    "darts, second order": Case(darts, replace(DARTS_FIRST, order="second")),
    "darts, exact": Case(darts, replace(DARTS_FIRST, order="exact")),
    "darts, four nodes, more layers": Case(darts, replace(DARTS_FIRST, nodes=4, layers=4, epochs=1), seed=0),
    "darts, NATS-Bench": Case(darts, darts.Darts(order="second", init_std=0.5, fractions=UNEQUAL, **NATS_STAGE), NATS),
    "pc_darts, K = 4": Case(pc_darts, PC_DARTS),
    "pc_darts, K = 1, three nodes": Case(pc_darts, replace(PC_DARTS, partial=1, warmup=0, nodes=3, epochs=1)),
    "pc_darts, no edge normalisation": Case(pc_darts, replace(PC_DARTS, edge_normalisation=False, partial=2)),
    "pc_darts, the rate warms up": Case(pc_darts, replace(PC_DARTS, rate_warmup=2, epochs=3)),
    "pc_darts, random channels": Case(pc_darts, replace(PC_DARTS, random_channels=True, partial=2)),
    "pc_darts, ImageNet's stem and crops": Case(
        pc_darts,
        replace(PC_DARTS, warmup=0, partial=2, epochs=1),
        data=data((64, 64), augmentation=Augmentation(crop_scale=(0.3, 0.6), flip=True)),
    ),
    "pc_darts, NATS-Bench": Case(pc_darts, pc_darts.PcDarts(warmup=0, partial=2, init_std=0.5, **NATS_STAGE), NATS),
    "dots": Case(dots, DOTS),
    "dots, one level and two": Case(dots, nested(DOTS, operation_levels=1, topology_levels=2, operation_scale=1e-3), parts=PARTS),
    "dots, one group": Case(dots, nested(DOTS, grouped=False, nodes=2, topology_warmup=0, operation_warmup=0, topology_layers=3)),
    "dots, operations of a cell": Case(dots, nested(DOTS, operations_from="darts_v2_cifar", nodes=4, channels=2)),
    "edarts": Case(edarts, EDARTS),
    "edarts, first order, no attention": Case(edarts, replace(EDARTS, order="first", attention="off", path="10-20")),
    "edarts, attention at the start": Case(edarts, replace(EDARTS, attention="start", order="first", sparse=False)),
    "edarts, attention by update": Case(edarts, replace(EDARTS, attention="update")),
    "edarts, no path, given parts": Case(edarts, replace(EDARTS, path=None, order="first", nodes=3, images=2500), parts=PARTS),
    "edarts, all images, some operations": Case(
        edarts, replace(EDARTS, images=None, operations=("none", "skip_connect", "sep_conv_5x5", "dil_conv_3x3"), path=None)
    ),
    "ftso": Case(ftso, FTSO),
    "ftso, one iteration": Case(ftso, replace(FTSO, iterations=1)),
    "ftso, some iterations": Case(ftso, replace(FTSO, iterations=4, epochs=3, partial=2)),
    "ftso, three operations": Case(ftso, replace(FTSO, topology_operation=("none", "max_pool_3x3", "skip_connect"), partial=1)),
    "ftso, operators": Case(ftso, replace(FTSO, operator="gradient", operator_epochs=2, epochs=3, iterations=2, operation="none")),
    "ftso, beta itself": Case(ftso, replace(FTSO, edge_softmax=False, epochs=3)),
    "ftso, operators and beta": Case(ftso, replace(FTSO, operator="gradient", operator_beta=True, operator_epochs=2, operation="none")),
    "ftso, operators and beta itself": Case(
        ftso, replace(FTSO, operator="gradient", operator_beta=True, edge_softmax=False, operator_epochs=2, epochs=1, nodes=2)
    ),
    "ftso, NATS-Bench with beta": Case(
        ftso, ftso.Ftso(operator="gradient", operator_beta=True, operator_epochs=1, partial=1, **NATS_STAGE), NATS
    ),
    "ftso, NATS-Bench": Case(ftso, ftso.Ftso(operator="gradient", operator_epochs=2, partial=1, **NATS_STAGE), NATS),
}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with in_float64():
        yield


@cache
def literal(name: str) -> Ended:
    with in_float64():
        return CASES[name].literal()


@pytest.mark.parametrize("name", CASES)
def test_a_search_is_the_literal_one(name: str) -> None:
    assert_same(Watched().follow(CASES[name].running()), literal(name))


STOPS = {  # after so many steps in all: in the middle of epochs, at their ends and in either stage
    "darts, second order": (2, 3),
    "pc_darts, random channels": (3, 5),
    "dots": (2, 5, 10),
    "dots, operations of a cell": (2, 5),
    "edarts, attention by update": (1, 4),
    "ftso, some iterations": (2, 3),
    "ftso, operators": (1, 4),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_search_that_was_stopped_is_the_literal_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time all is built anew, and goes on from the checkpoint."""
    monkeypatch.setattr("nasarch.runtime.loop.INTERVAL", 0.0)  # a report, and so a place to stop, after every step
    watched, path, steps = Watched(), tmp_path / "checkpoint.pt", 0
    for stop in (*STOPS[name], None):
        checkpoint = Checkpoint(path)
        watched.nets, watched.archs = [], []
        for _ in watched.going(CASES[name].running(checkpoint=checkpoint)):
            steps += 1
            checkpoint.stop_requested = steps == stop
        assert (watched.found is None) == (stop is not None)
    ended = literal(name)
    ended = replace(ended, stages=ended.stages[-len(watched.nets) :])
    assert steps == sum(who == "weights" for who, _ in ended.steps)
    assert_same(watched, ended)
