"""Every method searches the candidates that are named, own operations among them, with or without `none`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from nasarch.cells.space import DARTS
from nasarch.search.engine.context import SearchContext
from nasarch.search.engine.result import SearchResult
from nasarch.search.recipes import dots
from nasarch.search.settings.edarts import Edarts
from tests.helpers.coloured_images import data
from tests.helpers.own_operation import NAME, registered
from tests.helpers.short_methods import METHODS

CASES = ["darts, first order", "pc_darts", "dots", "ftso, operators by gradient", "edarts, all edges"]


@pytest.fixture
def name() -> Iterator[str]:
    with registered() as name:
        yield name


def found_by(case: str, names: tuple[str, ...], **changes: Any) -> SearchResult:
    recipe, settings = METHODS[case]
    running = recipe.search(SearchContext(data=data(), space=DARTS.with_operations(names)), replace(settings, **changes))
    while True:
        try:
            next(running)
        except StopIteration as stop:
            return stop.value


@pytest.mark.parametrize("names", [("none", "skip_connect", NAME), ("skip_connect", NAME, "sep_conv_3x3")], ids=["none", "no none"])
@pytest.mark.parametrize("case", CASES)
def test_every_method_searches_own_operations(name: str, case: str, names: tuple[str, ...]) -> None:
    found = found_by(case, names)
    assert found.weights.operations_ZEO.shape == (2, 14, 3)
    kept = {op.operation for cell in found.genotype.cells.values() for node in cell.nodes for op in node}
    assert kept <= set(names) - {"none"}
    column = names.index(name)
    used_ZE = found.weights.operations_ZEO.any(2)
    assert case == "dots" or (found.weights.operations_ZEO[:, :, column][used_ZE] > 0).all()
    recipe, settings = METHODS[case]
    space = DARTS.with_operations(names).with_nodes(settings.nodes)
    scores = recipe.scores(space, settings, found.weights)
    assert torch.isfinite(scores.operations_ZEO[:, :, column]).any()


def test_own_operations_are_in_dots_group_of_those_with_weights(name: str) -> None:
    assert dots._groups(DARTS) == [list(dots.FREE), list(dots.PARAMETRIC)]
    assert dots._groups(DARTS.with_operations(("none", name, "skip_connect"))) == [["none", "skip_connect"], [name]]
    assert dots._groups(DARTS.with_operations((name, "sep_conv_3x3"))) == [[name, "sep_conv_3x3"]]


def test_edarts_takes_its_own_list_of_operations_where_one_is_given(name: str) -> None:
    assert Edarts().operations == DARTS.operations
    found = found_by("edarts, all edges", ("none", "skip_connect", name), operations=("skip_connect", name))
    assert (found.weights.operations_ZEO[:, :, 0] == 0).all() and (found.weights.operations_ZEO[:, :, 1:] > 0).all()
    with pytest.raises(ValueError, match="unknown operation 'max_pool_3x3'"):
        found_by("edarts, all edges", ("none", "skip_connect", name), operations=("max_pool_3x3", name))
