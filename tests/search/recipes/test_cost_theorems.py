"""FTSO's Theorems 1 and 2: the figures of the text, the formulas against plain counting, and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from nasarch.cells.space import DARTS
from nasarch.cli.main import main
from nasarch.search.recipes.cost_theorems import Costs, costs, table

PAPER = {"kernel": 5, "channels": 512, "nodes": 7, "operations": 8}


def count(*, kernel: int, channels: int, nodes: int, operations: int, size: int) -> list[tuple[int, int]]:
    """Operations and parameters of DARTS and of both stages of FTSO, edge by edge."""
    edges = replace(DARTS, nodes=nodes - 3).edges
    convolution = sum(1 for _ in range(channels) for _ in range(kernel * kernel * channels + 1))
    darts = [convolution for _ in edges for _ in range(operations)]
    kept = [convolution for _ in range(nodes - 3) for _ in range(2) for _ in range(operations)]
    return [(len(darts), sum(darts)), (len(edges), len(edges)), (len(kept), sum(kept))]


def test_the_ratios_are_those_of_the_text() -> None:
    found = costs(**PAPER, size=32)
    _, parameters, flops = found.topology.over(found.darts)
    assert (f"{parameters:.1e}", f"{flops:.1e}") == ("1.9e-08", "9.8e-06")
    assert Fraction(found.topology.parameters, found.darts.parameters) == Fraction(1, 8 * (25 * 512 + 1) * 512)
    assert Fraction(found.topology.flops, found.darts.flops) == Fraction(1, 8 * (25 * 512 + 1))
    assert [cost.operations for cost in found] == [112, 14, 64]


@pytest.mark.parametrize("nodes", [4, 5, 7, 9])
@pytest.mark.parametrize(("kernel", "channels", "operations"), [(1, 1, 1), (3, 4, 5), (5, 2, 8)])
def test_the_formulas_count_what_a_cell_has(nodes: int, kernel: int, channels: int, operations: int) -> None:
    shape = {"kernel": kernel, "channels": channels, "nodes": nodes, "operations": operations, "size": 3}
    assert [(cost.operations, cost.parameters) for cost in costs(**shape)] == count(**shape)


def test_flops_are_in_proportion_to_the_map_and_ratios_do_not_depend_on_it() -> None:
    small, large = costs(**PAPER, size=7), costs(**PAPER, size=14)
    assert [4 * cost.flops for cost in small] == [cost.flops for cost in large]
    assert small.topology.over(small.darts) == pytest.approx(large.topology.over(large.darts), rel=1e-12)


def test_one_convolution_costs_what_the_proof_says() -> None:
    found: Costs = costs(kernel=3, channels=16, nodes=4, operations=1, size=32)
    assert found.darts.parameters == 2 * (9 * 16 + 1) * 16 and found.darts.flops == 2 * 32 * 32 * 16 * (9 * 16 + 1)
    assert found.operators == found.darts  # two edges in all, two kept


def test_the_command_prints_the_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost"]) == 0
    default = capsys.readouterr().out
    assert all(words in default for words in ("1.9e-08", "9.8e-06", "112", "734,060,544", "plain convolution"))
    assert main(["cost", "--kernel", "5", "--channels", "512", "--nodes", "7", "--operations", "8"]) == 0
    assert capsys.readouterr().out == default


def test_the_command_as_json_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--size", "8", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    found = costs(**PAPER, size=8)
    assert value["topology"]["count"] == found.topology._asdict()
    assert value["operators"]["ratio"]["operations"] == 64 / 112 and value["darts"]["ratio"] == dict.fromkeys(found.darts._fields, 1.0)


@pytest.mark.parametrize(("flag", "value", "words"), [("--nodes", "3", "take 4 or more"), ("--channels", "0", "channels 0")])
def test_a_cell_that_can_not_be_is_one_line(flag: str, value: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", flag, value]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_one_cell_of_darts_by_hand() -> None:
    """n = 5, p = 3, k = 3, C = 2, maps of 4 x 4: 5 edges; a convolution has 18 weights and a bias for each of 2 channels."""
    found = costs(kernel=3, channels=2, nodes=5, operations=3, size=4)
    assert found.darts == (15, 15 * 19 * 2, 15 * 16 * 2 * 19)  # 15 operations, 570 parameters, 9,120 FLOPs
    assert found.topology == (5, 5, 5 * 16 * 2)
    assert found.operators == (12, 12 * 19 * 2, 12 * 16 * 2 * 19)  # 2 inner nodes of 2 edges with 3 operations
    assert found.operators.over(found.darts) == pytest.approx((0.8, 0.8, 0.8))
    assert found.topology.over(found.darts) == pytest.approx((1 / 3, 5 / 570, 160 / 9120))
    assert found.to_dict()["operators"] == {
        "count": {"operations": 12, "parameters": 456, "flops": 7296},
        "ratio": {"operations": 0.8, "parameters": 0.8, "flops": 0.8},
    }


def test_the_table_has_counts_and_below_those_of_ftso_their_ratios() -> None:
    shown = table(costs(**PAPER, size=32))
    rows = [list(column.cells) for column in shown.columns]
    assert rows[0] == ["DARTS", "FTSO, topology search", "  of DARTS'", "FTSO, operator search", "  of DARTS'"]
    assert rows[1] == ["112", "14", "0.125", "64", "0.571"]
    assert rows[2] == ["734,060,544", "14", "1.9e-08", "419,463,168", "0.571"]
    assert rows[3][2] == "9.8e-06" and rows[3][1] == "7,340,032"
    assert [column.header for column in shown.columns] == ["", "operations", "parameters", "FLOPs"]


@pytest.mark.parametrize("name", ["kernel", "channels", "operations", "size"])
def test_numbers_begin_at_one_and_nodes_at_four(name: str) -> None:
    least = {"kernel": 1, "channels": 1, "nodes": 4, "operations": 1, "size": 1}
    assert costs(**least).darts == (2, 4, 4)
    with pytest.raises(ValueError, match=f"{name} 0; it has to be at least 1"):
        costs(**least | {name: 0})
    with pytest.raises(ValueError, match="3 nodes: two are inputs and one is the output; take 4 or more"):
        costs(**least | {"nodes": 3})
