"""A cell of NATS-Bench's space is looked up in the table that the user has."""

from __future__ import annotations

from pathlib import Path

import pytest

from nasarch.cells.genotype import Genotype, names, resolve
from nasarch.search.runs.nats_table import check_table, lookup
from tests.helpers.paper_numbers import NATS_ALL_CONV, NATS_TABLE_4

ALL_CONV = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
CELL = Genotype.from_nats(ALL_CONV)
TURNED = [[["nor_conv_3x3", i] for i in reversed(range(j))] for j in (1, 2, 3)]
TABLE = Path(__file__).parents[4] / "shared" / "data" / "nats-bench" / "topology-200ep.csv"


def written(folder: Path, text: str) -> Path:
    (folder / "table.csv").write_text(text)
    return folder / "table.csv"


def test_finds_the_row_of_the_cell(tmp_path: Path) -> None:
    table = written(tmp_path, f"index,arch,c10,c100,in16\n0,|none~0|,1,2,3\n1,{ALL_CONV},93.5,70.25,45\n")
    found = lookup(CELL, table)
    assert found == (ALL_CONV, 93.5, 70.25, 45.0)
    assert found.line().endswith("in the table: 93.50 % on CIFAR-10, 70.25 % on CIFAR-100, 45.00 % on ImageNet16-120")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arch,c10,c100\nx,1,2\n", "no column 'in16'; it needs arch, c10, c100, in16"),
        ("arch,c10,c100,in16\nx,1\n", "no column 'c100'"),
        ("arch,c10,c100,in16\n", "has no cell .*nor_conv_3x3~0.*not the table of the whole"),
        ("", "has no cell"),
        (f"arch,c10,c100,in16\n{ALL_CONV},good,1,2\n", "could not convert.*'good'; mend that row"),
    ],
)
def test_a_table_that_is_none_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"--nats-table .*table.csv.*{words}"):
        lookup(CELL, written(tmp_path, text))


def test_what_can_not_be_read_is_said_before_a_search(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't read --nats-table .*nowhere.csv: No such file.*give the path of a CSV"):
        check_table(tmp_path / "nowhere.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(ValueError, match="picture.csv: no CSV; give the path"):
        check_table(tmp_path / "picture.csv")
    check_table(written(tmp_path, "arch,c10,c100,in16\nx,1,2,3\n"))


def test_a_cell_of_another_space_is_refused(tmp_path: Path) -> None:
    table = written(tmp_path, "arch,c10,c100,in16\n")
    with pytest.raises(ValueError, match="space 'darts'"):
        lookup(resolve(next(name for name in names() if resolve(name).space == "darts")), table)


@pytest.mark.skipif(not TABLE.exists(), reason="needs NATS-Bench's table beside the checkout")
def test_the_cell_inferred_for_ftso_reaches_what_it_reports_and_replacing_alone_does_not() -> None:
    assert [round(figure, 2) for figure in lookup(resolve("ftso_nats_cifar"), TABLE)[1:]] == [*NATS_TABLE_4]
    assert [round(figure, 2) for figure in lookup(CELL, TABLE)[1:]] == [*NATS_ALL_CONV]


def test_the_row_is_that_of_the_cell_whatever_stands_around_it_and_columns_go_by_name(tmp_path: Path) -> None:
    """The same edges listed in another order are the same cell; its row is the last one, with its columns exchanged."""
    turned = Genotype.from_dict(CELL.to_dict() | {"cells": {"normal": CELL.to_dict()["cells"]["normal"] | {"nodes": TURNED}}})
    other = ALL_CONV.replace("nor_conv_3x3~2", "skip_connect~2")
    table = written(tmp_path, f"in16,c100,arch,c10\n1,2,{other},3\n45.5,70.25,{ALL_CONV},93.5\n")
    assert lookup(turned, table) == lookup(CELL, table) == (ALL_CONV, 93.5, 70.25, 45.5)
    assert lookup(Genotype.from_nats(other), table)[1:] == (3, 2, 1)


def test_a_byte_order_mark_and_blanks_in_a_cell_are_read_over(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"\xef\xbb\xbf" + f"arch,c10,c100,in16\n{ALL_CONV.replace('+', ' + ')},1,2,3\n".encode())
    assert lookup(CELL, tmp_path / "table.csv")[1:] == (1, 2, 3)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "100.5", "1e400"])
def test_what_is_no_accuracy_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{value} is no accuracy in %; mend that row"):
        lookup(CELL, written(tmp_path, f"arch,c10,c100,in16\n{ALL_CONV},{value},1,2\n"))
