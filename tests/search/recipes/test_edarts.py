"""eDARTS' four parts: the given path, rare updates, attention and few images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from nasarch.cells.space import DARTS, NATS
from nasarch.cells.topology import read_path
from nasarch.runtime.checkpoint import Checkpoint
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.result import SearchResult
from nasarch.search.recipes.edarts import Edarts, search
from tests.helpers.coloured_images import data
from tests.helpers.paper_numbers import ATTENTION

TINY = Edarts(order="first", epochs=3, images=20, layers=3, channels=4, batch_size=8)  # 20 of 48 are 21 and 18 by class
CONSTANTS_O = torch.tensor([ATTENTION[name] for name in DARTS.operations])


@contextmanager
def counted() -> Iterator[list[str]]:
    """The optimisers by name, in the order of their steps."""
    steps: list[str] = []
    handle = register_optimizer_step_post_hook(lambda optimizer, *_: steps.append(type(optimizer).__name__))
    try:
        yield steps
    finally:
        handle.remove()


def finish(settings: Edarts) -> tuple[SearchResult, torch.Tensor]:
    """What was found, and alpha at the end."""
    with TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder) / "checkpoint.pt")
        running = search(SearchContext(data=data(), checkpoint=checkpoint), settings)
        while True:
            try:
                next(running)
            except StopIteration as stop:
                ((alpha, _),) = [stage["arch"]["alpha"] for stage in checkpoint.stages.values()]
                return stop.value, alpha


@pytest.mark.parametrize(
    ("images", "batch_size", "expected"),
    [(20, 8, "wAww"), (18, 9, "Aww"), (9, 9, "Aw")],
    ids=["a ragged last batch", "whole batches", "one step an epoch"],
)
@pytest.mark.parametrize("order", ["first", "second"])
def test_alpha_moves_once_an_epoch(order: Any, images: int, batch_size: int, expected: str) -> None:
    with counted() as steps:
        finish(replace(TINY, order=order, images=images, batch_size=batch_size))
    assert "".join({"SGD": "w", "Adam": "A"}[step] for step in steps) == expected * TINY.epochs


def test_alpha_moves_in_every_step_otherwise() -> None:
    with counted() as steps:
        finish(replace(TINY, sparse=False))
    assert steps.count("Adam") == steps.count("SGD") == 9


@pytest.mark.parametrize(
    ("attention", "sparse", "in_alpha", "in_weights"),
    [("start", True, 1, 1), ("forward", True, 0, 1), ("forward", False, 0, 1), ("update", True, 3, 3), ("update", False, 9, 9)],
)
def test_the_constants_are_added_as_the_reading_says(attention: Any, sparse: bool, in_alpha: int, in_weights: int) -> None:
    """With a learning rate of zero nothing else moves alpha: in it, and in the logits of the weights, are so many times the constants."""
    still = replace(TINY, arch_lr=0.0, sparse=sparse)
    found, alpha = finish(replace(still, attention=attention))
    plain, before = finish(replace(still, attention="off"))
    torch.testing.assert_close(alpha - before, (in_alpha * CONSTANTS_O).expand_as(alpha), rtol=0, atol=1e-6)
    rows = plain.weights.edges_ZE > 0
    change = (found.weights.operations_ZEO[rows] / plain.weights.operations_ZEO[rows]).log()
    torch.testing.assert_close(change - change[:, :1], (in_weights * CONSTANTS_O).expand_as(change), rtol=0, atol=3e-6)


def test_the_edges_of_the_path_are_the_only_candidates_and_all_stay() -> None:
    found, _ = finish(replace(TINY, path="01-12-03-24"))
    for z, cell in enumerate(found.genotype.cells.values()):
        assert [{edge.source for edge in node} for node in cell.nodes] == [{0, 1}, {1, 2}, {0, 3}, {2, 4}]
        searched = {edge for edge, weight in zip(DARTS.edges, found.weights.operations_ZEO[z], strict=True) if weight.any()}
        assert searched == {(0, 2), (1, 2), (1, 3), (2, 3), (0, 4), (3, 4), (2, 5), (4, 5)}
    assert all(margin.lead is None for margin in found.margins)


def test_a_sub_search_space_holds_its_operations_alone() -> None:
    found, _ = finish(replace(TINY, operations=("none", "skip_connect", "max_pool_3x3", "dil_conv_3x3")))
    chosen = {edge.operation for cell in found.genotype.cells.values() for node in cell.nodes for edge in node}
    assert chosen <= {"skip_connect", "max_pool_3x3", "dil_conv_3x3"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("01-01-01", "has 3 nodes; for 4 nodes write 4 groups of 2 earlier nodes, such as 01-01-01-01"),
        ("01-01-01-06", "node 5 can't read '06'"),
        ("02-01-01-01", "node 2 can't read '02'"),
        ("01-11-01-01", "node 3 can't read '11'"),
        ("01-0-01-01", "node 3 can't read '0'"),
        ("01-012-01-01", "node 3 can't read '012'"),
        ("01-011-01-01", "node 3 can't read '011'"),
        ("01-01-04-01", "node 4 can't read '04'"),
        ("01-ab-01-01", "node 3 can't read 'ab'"),
        ("", "has 1 nodes"),
    ],
)
def test_a_path_that_the_cell_has_not_is_refused(path: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Edarts(path=path)


def test_a_path_is_read_node_by_node() -> None:
    assert read_path("01-20-13-04", DARTS) == [(0, 1), (2, 0), (1, 3), (0, 4)]
    assert read_path("01-01", DARTS.with_nodes(2)) == [(0, 1), (0, 1)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"images": 25}, "images=25 for each side: the data have 48 training images; choose 24 or fewer, or none"),
        ({"images": 0}, "images=0: choose 1 or more"),
        ({"operations": ("none",)}, "operations: give one at least that is not none"),
        ({"operations": ("skip",)}, "unknown operation 'skip'"),
    ],
)
def test_what_can_not_be_searched_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        next(search(SearchContext(data=data()), replace(TINY, **settings)))


def test_the_space_of_nats_bench_is_refused() -> None:
    with pytest.raises(ValueError, match="belong to space 'darts', not 'nats': search it with darts, pc-darts or ftso"):
        next(search(SearchContext(data=data(), space=NATS), TINY))
