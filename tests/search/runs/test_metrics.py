"""An epoch in figures, and what is wrong with a cell."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from rich.console import Console

from nasarch.cells.genotype import Cell, Genotype, Op, resolve
from nasarch.cells.space import DARTS
from nasarch.runtime.meter import peak_memory
from nasarch.search.engine.loop import Progress
from nasarch.search.engine.result import ArchitectureWeights, SearchResult
from nasarch.search.runs.metrics import collapse, epoch_line, expense, imagenet_multi_adds, skips
from nasarch.search.runs.seeds import Watch


def cells(*normal: str) -> Genotype:
    """A cell whose normal edges carry these operations, two a node."""
    nodes = tuple(tuple(Op(normal[2 * n + i], i) for i in range(2)) for n in range(len(normal) // 2))
    convolutions = tuple(tuple(Op("sep_conv_3x3", i) for i in range(2)) for _ in nodes)
    concat = DARTS.with_nodes(len(nodes)).concat()
    return Genotype("cell", DARTS.name, {"normal": Cell(nodes, concat), "reduction": Cell(convolutions, concat)})


SKIP, CONV = "skip_connect", "sep_conv_3x3"
NATS_SKIPS = Genotype.from_nats("|skip_connect~0|+|none~0|none~1|+|skip_connect~0|skip_connect~1|skip_connect~2|")


def place(found: SearchResult, **given: Any) -> Progress:
    """The end of an epoch."""
    figures = {"loss": 2.5, "accuracy": 0.25, "images_per_second": 20.0, "learning_rate": 0.2, "temperature": 1.0}
    return Progress(**{"epochs": 4, "step": 3, "steps": 3, "is_warmup": False, "result": found, **figures, **given})


def test_half_of_the_edges_as_skip_connections_are_a_collapse() -> None:
    words = collapse(cells(*[SKIP] * 4, *[CONV] * 4))
    assert words.startswith("4 of the 8 edges of the normal cell are skip connections") and "earlier epoch" in words and "edarts" in words
    assert collapse(cells(*[SKIP] * 3, *[CONV] * 5)) == ""


def test_a_cell_that_costs_too_much_gets_a_width_that_does_not() -> None:
    heavy = cells(*["sep_conv_5x5"] * 8)
    cost = imagenet_multi_adds(heavy)
    assert cost is not None
    words = expense(heavy, max_macs=600)
    assert f"has {cost:.0f} M multi-adds, more than --max-macs 600" in words and "another seed" in words
    channels = int(words.split("about ")[1].split(")")[0])
    assert channels % 2 == 0 and cost * (channels / 48) ** 2 <= 600 < cost * ((channels + 2) / 48) ** 2
    assert expense(heavy, max_macs=cost) == "" and expense(heavy, max_macs=cost - 0.1)


@pytest.mark.parametrize("name", ["darts_v2_cifar", "pc_darts_cifar", "dots_cifar", "darts_minus_cifar"])
def test_nothing_is_wrong_with_a_published_cell(name: str) -> None:
    assert collapse(resolve(name)) == expense(resolve(name), max_macs=600) == ""


def test_a_cell_of_nats_bench_has_skips_and_no_imagenet_network() -> None:
    assert skips(NATS_SKIPS) == {"normal": 4} and imagenet_multi_adds(NATS_SKIPS) is None
    assert "skip connections" in collapse(NATS_SKIPS) and expense(NATS_SKIPS, max_macs=1) == ""


def test_the_line_of_an_epoch_says_all_but_the_tables() -> None:
    """DARTS' second-order cells: two and three skip connections, 529.9 million multi-adds on ImageNet."""
    found = SearchResult(resolve("darts_v2_cifar"), [], ArchitectureWeights(torch.zeros(2, 14, 8), torch.zeros(2, 14)))
    figures = {"loss": 1.5, "accuracy": 0.5, "images_per_second": 10.0, "learning_rate": 0.1, "temperature": 0.75}
    line = json.loads(json.dumps(epoch_line(place(found, stage="topology", epoch=1, step=2, **figures, figures={"eigenvalue": 0.25}))))
    assert line.pop("memory") == pytest.approx(peak_memory(), rel=0.1)
    said = {"stage": "topology", "warmup": False, "epoch": 1, "epochs": 4, "step": 2, "steps": 3} | figures
    assert line == said | {"eigenvalue": 0.25, "skips": {"normal": 2, "reduction": 3}, "multi_adds": 529.9}


@pytest.mark.parametrize(("name", "millions"), [("darts_v1_cifar", 505.9), ("pc_darts_imagenet", 581.6), ("nasnet_a_cifar", 604.0)])
def test_the_cost_of_cells_is_that_of_their_network_on_imagenet(name: str, millions: float) -> None:
    assert imagenet_multi_adds(resolve(name)) == millions


def test_a_collapse_is_said_once_in_the_epoch_that_shows_it() -> None:
    console = Console(record=True, width=400)
    watch = Watch(console)
    for epoch, (is_warmup, operation) in enumerate([(True, SKIP), (False, CONV), (False, SKIP), (False, SKIP)], 1):
        found = SearchResult(cells(*[operation] * 8), [], ArchitectureWeights(torch.zeros(2, 14, 8), torch.zeros(2, 14)))
        watch(place(found, stage="a", is_warmup=is_warmup, epoch=epoch))
    printed = console.export_text()
    assert printed.count("warning") == 1 and "after epoch 3 of 4, 8 of the 8 edges" in printed
