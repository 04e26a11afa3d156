"""Texts of cells as other versions and programs print them are read, or refused with what exactly is wrong."""

from __future__ import annotations

import re

import pytest

from nasarch.cells.genotype import Cell, Genotype, GenotypeError, Op, resolve
from nasarch.models.catalogue import find

NATS_TEXT = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|"
OPERATIONS = ("sep_conv_3x3", "skip_connect", "max_pool_3x3", "dil_conv_3x3")


def text(entries: object, concat: object = range(2, 6), **more: object) -> str:
    fields = {"normal": entries, "normal_concat": concat, "reduce": entries, "reduce_concat": concat, **more}
    return f"Genotype({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


def all_edges(nodes: int) -> list[list[tuple[str, int]]]:
    """For each node one edge from every earlier node."""
    return [[(OPERATIONS[i % 4], i) for i in range(j)] for j in range(2, 2 + nodes)]


@pytest.mark.parametrize(("int_", "str_"), [("np.int64({})", "{!r}"), ("numpy.int32({})", "np.str_({!r})"), ("np.intp({})", "{!r}")])
def test_numbers_and_strings_of_numpy_2_are_read(int_: str, str_: str) -> None:
    pairs = [(operation, source) for operation in OPERATIONS for source in (0, 1)]
    printed = "[" + ", ".join(f"({str_.format(o)}, {int_.format(s)})" for o, s in pairs) + "]"
    concat = "[" + ", ".join(int_.format(j) for j in range(2, 6)) + "]"
    bounds = f"range({int_.format(2)}, {int_.format(6)})"
    read = resolve(f"Genotype(normal={printed}, normal_concat={concat}, reduce={printed}, reduce_concat={bounds})")
    assert read == resolve(text(pairs))


@pytest.mark.parametrize(
    "value", ["np.float64(1.0)", "np.int64(1, 2)", "np.int64(x=1)", "os.int64(1)", "np.load('x')", "int64(1)", "np.int64(-1)"]
)
def test_other_calls_are_refused(value: str) -> None:
    with pytest.raises(GenotypeError):
        resolve(text([("none", 0)]).replace("('none', 0)", f"('none', {value})"))


@pytest.mark.parametrize("printed", [f"Structure(4 nodes with {NATS_TEXT})", NATS_TEXT.replace("+", " + "), f" {NATS_TEXT}\n"])
def test_structures_and_blanks_of_nats_bench_are_read(printed: str) -> None:
    assert resolve(printed) == Genotype.from_nats(NATS_TEXT) == Genotype.from_nats(printed)
    assert find(printed) == resolve(printed), "by the commands, too"


@pytest.mark.parametrize("printed", ["Structure(4 nodes)", f"Structure({NATS_TEXT})", f"Structure(4 nodes with {NATS_TEXT}", "Structure("])
def test_a_damaged_structure_is_refused(printed: str) -> None:
    with pytest.raises(GenotypeError, match="is not a NATS-Bench cell"):
        resolve(printed)


def test_extra_missing_and_positional_arguments_are_named() -> None:
    pairs = [("skip_connect", 0), ("skip_connect", 1)]
    for printed, named in {
        text(pairs, [2], normal_bottleneck=3): "it has ['normal_bottleneck']; legal are exactly normal, normal_concat",
        text(pairs, [2]).replace(", reduce_concat=[2]", ""): "it lacks ['reduce_concat']",
        text(pairs, [2]).replace("reduce_concat", "reduction_concat"): "it has ['reduction_concat'] and lacks ['reduce_concat']",
        f"Genotype({pairs}, [2], {pairs}, [2])": "4 positional arguments; name them normal, normal_concat, reduce, reduce_concat",
    }.items():
        with pytest.raises(GenotypeError, match=re.escape(named)):
            resolve(printed)


@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 6])
def test_flat_entries_of_all_edges_are_grouped_by_the_output(nodes: int) -> None:
    """2, 3, 4, ... edges a node: of four nodes 14 entries, which as pairs would be seven nodes, three of them unused."""
    edges = all_edges(nodes)
    cell = resolve(text([edge for node in edges for edge in node], range(2, 2 + nodes))).cells["normal"]
    assert cell == Cell(tuple(tuple(Op(*edge) for edge in node) for node in edges), tuple(range(2, 2 + nodes)))


def test_pairs_are_read_as_pairs() -> None:
    pairs = [("skip_connect", source) for source in (0, 1, 0, 1, 0, 1, 0, 1)]
    assert [len(node) for node in resolve(text(pairs)).cells["normal"].nodes] == [2, 2, 2, 2]
    assert [len(node) for node in resolve(text(pairs, [3, 5])).cells["normal"].nodes] == [2, 2, 2, 2]


@pytest.mark.parametrize("entries", [12, 14, 16])
def test_entries_that_fit_neither_grouping_are_refused_with_both(entries: int) -> None:
    flat = [("skip_connect", i % 2) for i in range(entries)]
    with pytest.raises(
        GenotypeError, match=rf"{entries} entries: two for each of the nodes 2 to {1 + entries // 2}, .* nodes up to 5; write one list"
    ):
        resolve(text(flat))


def test_a_cell_with_unused_last_nodes_is_printed_so_that_it_comes_back() -> None:
    two = (Op("skip_connect", 0), Op("sep_conv_3x3", 1))
    genotype = Genotype("x", "darts", {kind: Cell((two, two, two), (2, 3)) for kind in ("normal", "reduction")})
    assert "('skip_connect', 4, 0)" in genotype.to_darts() and resolve(genotype.to_darts()) == genotype
