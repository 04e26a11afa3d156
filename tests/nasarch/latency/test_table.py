"""A latency table has every part of a network, predicts by a sum, fits one network alone, and trusts no file."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.random_cells import random_cells
from nasarch.cells.space import DARTS, NATS, Space
from nasarch.latency.table import LatencyTable, WholeNetworks, space_parts
from nasarch.latency.timing import Timing
from nasarch.models.cost import FeatureMap, Part, network_parts
from nasarch.models.zoo import network_of
from tests.helpers.latency_table import made_up_table

CIFAR = network_of(DARTS, "nas_cifar")


@pytest.mark.parametrize(("space", "network"), [(DARTS, "nas_224"), (DARTS.with_nodes(2), "nas_cifar"), (NATS, "nas_bench_201")])
def test_a_table_has_the_parts_of_all_networks_and_no_others(space: Space, network: str) -> None:
    model, drawn = network_of(space, network), random.Random(0)
    parts, seen = space_parts(space, model), set[Part]()
    assert len(set(parts)) == len(parts)
    for i in range(150):
        seen |= {*network_parts(random_cells(space, drawn, f"{i}"), **model.skeleton, num_classes=model.data.num_classes)}
    assert seen == {*parts}


def test_the_prediction_is_the_sum_of_the_parts_above_the_overhead() -> None:
    table = made_up_table(DARTS, CIFAR, scale=0.6)
    cells = random_cells(DARTS, random.Random(1), "cells")
    parts = network_parts(cells, **CIFAR.skeleton, num_classes=10)
    expected = 0.02
    for part in parts:
        expected += table.parts[part].median_ms - 0.02
    assert table.added_ms(cells) == pytest.approx(expected) and table.scale == pytest.approx(0.6)
    assert replace(table, check=None).scale == 1


def test_a_part_that_is_quicker_than_an_empty_graph_adds_nothing() -> None:
    table = made_up_table(DARTS, CIFAR)
    part = next(iter(table.parts))
    quick = replace(table, parts={**table.parts, part: Timing(0.01, (0.01, 0.01))})
    assert quick.part_ms(part) == 0 and table.part_ms(part) > 0


def test_cells_with_an_operation_that_was_not_measured_are_refused() -> None:
    table = made_up_table(DARTS, CIFAR)
    with pytest.raises(ValueError, match=r"the latency table has no sep_conv_7x7, 36x32x32 to 36 channels, stride 1; measure"):
        table.added_ms(random_cells(DARTS.with_operations(["sep_conv_7x7"]), random.Random(0), "large"))
    with pytest.raises(ValueError, match="has no sep_conv_3x3, 37x32x32 to 37"):
        table.part_ms(Part("sep_conv_3x3", (FeatureMap(37, 32),), 37))


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    for table in (made_up_table(DARTS, CIFAR), made_up_table(NATS, network_of(NATS), seed=1, scale=0.9)):
        table.save(tmp_path / "table.json")
        assert LatencyTable.load(tmp_path / "table.json") == table
        assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("network", "nas_224"), ("nodes", 3), ("cells", 19), ("channels", 35), ("size", 33), ("num_classes", 11)],
)
def test_a_table_of_another_network_is_refused(field: str, value: Any) -> None:
    table = made_up_table(DARTS, CIFAR)
    table.check_fits(DARTS, CIFAR)
    other = replace(table, subject=replace(table.subject, **{field: value}))
    with pytest.raises(ValueError, match=rf"of another network \({field} {value} instead of .*\): nasarch measure --network nas_cifar"):
        other.check_fits(DARTS, CIFAR)


def test_a_table_has_to_have_the_operations_of_the_search_and_may_have_more() -> None:
    few = DARTS.with_operations(["skip_connect", "sep_conv_3x3"])
    made_up_table(DARTS, CIFAR).check_fits(few, CIFAR)
    with pytest.raises(ValueError, match="has no operation max_pool_3x3, avg_pool_3x3, sep_conv_5x5, dil_conv_3x3, dil_conv_5x5: nasarch"):
        made_up_table(few, CIFAR).check_fits(DARTS, CIFAR)


def damaged(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    first, rest = value["parts"][0], value["parts"][1:]
    return {
        "another schema": value | {"schema": "nasarch.latency/2"},
        "no schema": {key: one for key, one in value.items() if key != "schema"},
        "no parts": {key: one for key, one in value.items() if key != "parts"},
        "parts are no list": value | {"parts": {}},
        "an unknown key": value | {"more": 1},
        "another backend": value | {"backend": "tvm"},
        "another clock": value | {"time": "sun"},
        "no batch": value | {"batch": 0},
        "batch is text": value | {"batch": "1"},
        "negative overhead": value | {"overhead_ms": -1.0},
        "versions are numbers": value | {"versions": {"torch": 2}},
        "part without shape": value | {"parts": [first | {"inputs": []}, *rest]},
        "part of no channels": value | {"parts": [first | {"channels": 0}, *rest]},
        "part of true channels": value | {"parts": [first | {"inputs": [[True, 3]]}, *rest]},
        "part of negative time": value | {"parts": [first | {"median_ms": -1.0, "quartiles_ms": [-1.0, -1.0]}, *rest]},
        "quartiles beside the median": value | {"parts": [first | {"quartiles_ms": [0.0, 0.0]}, *rest]},
        "three quartiles": value | {"parts": [first | {"quartiles_ms": [0.0, 0.0, 1.0]}, *rest]},
        "no cells": value | {"subject": {key: one for key, one in value["subject"].items() if key != "cells"}},
        "cells are text": value | {"subject": value["subject"] | {"cells": "20"}},
        "scale of zero": value | {"check": value["check"] | {"scale": 0.0}},
        "check is a list": value | {"check": [1]},
    }


def test_a_damaged_table_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    made_up_table(NATS, network_of(NATS), scale=0.9).save(path)
    text = path.read_text()
    for what, value in damaged(json.loads(text)).items():
        path.write_text(json.dumps(value))
        with pytest.raises(ValueError, match=r"table.json: damaged .*measure it again: nasarch measure"):
            LatencyTable.load(path)
            pytest.fail(what)
    for broken in (text[: len(text) // 2], text.replace('"batch": 1', '"batch": NaN'), "[]", ""):
        path.write_text(broken)
        with pytest.raises(ValueError, match=r"table.json: damaged"):
            LatencyTable.load(path)
    with pytest.raises(ValueError, match="can't read .*none.json"):
        LatencyTable.load(tmp_path / "none.json")


def test_whole_networks_are_compared_with_their_sums() -> None:
    """By hand: 5 of 6 pairs are in the same order; measured over added is 2, 1, 1.5, 1, of which 1.25 is the median."""
    check = WholeNetworks.of([2.0, 3.0, 3.75, 4.0], [1.0, 3.0, 2.5, 4.0])
    assert check.kendall == pytest.approx(4 / 6) and check.spearman == pytest.approx(0.8)
    assert check.scale == 1.25
    assert check.error_added == pytest.approx((1 / 2 + 0 + 1 / 3 + 0) / 4)
    assert check.error == pytest.approx((0.375 + 0.25 + 1 / 6 + 0.25) / 4)
    equal = WholeNetworks.of([2.0, 2.0], [1.0, 1.0])
    assert equal.kendall is None and equal.spearman is None and equal.scale == 2
