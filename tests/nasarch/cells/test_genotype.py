"""A genotype is one immutable value in every form, and whatever is wrong with one is said in one line."""

import copy
import dataclasses
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nasarch.cells.genotype import SCHEMA, Cell, Genotype, GenotypeError, names, resolve
from nasarch.cells.space import DARTS, MAX_NODES


def example() -> dict[str, Any]:
    """A legal genotype as a plain object: three inner nodes and four."""
    normal = {"nodes": [[["sep_conv_3x3", 1], ["skip_connect", 0]], [], [["none", 2], ["dil_conv_5x5", 0]]], "concat": [2, 4]}
    reduction = {"nodes": [[["max_pool_3x3", 0]] * 2, [["sep_conv_7x7", 2]], [["skip_connect", 1]], [["none", 4]]], "concat": [2, 3, 4, 5]}
    cells = {"normal": normal, "reduction": reduction}
    provenance = {"method": "by hand", "searched_on": "cifar10", "source": {"seeds": [0, 1], "deeper": {"very": [1.5, None, True, "ü"]}}}
    return {"schema": SCHEMA, "name": "mine", "space": "darts", "cells": cells, "provenance": provenance}


def drawn(random_: random.Random) -> Genotype:
    """A genotype of DARTS' space drawn at random; the last node of each cell has an edge from an input."""

    def node(j: int) -> list[tuple[str, int]]:
        return [(random_.choice(DARTS.legal_operations), random_.randrange(j)) for _ in range(random_.randrange(4))]

    def cell() -> Cell:
        count = random_.randint(1, MAX_NODES)
        nodes = [node(j) for j in range(2, 2 + count)]
        nodes[-1].append((random_.choice(DARTS.operations), random_.randrange(2)))
        return Cell(nodes, sorted({count + 1, *random_.sample(range(2, count + 2), random_.randrange(count))}))  # type: ignore[arg-type]

    return Genotype("drawn", "darts", {"normal": cell(), "reduction": cell()})


def same_to_the_byte(one: Genotype, other: Genotype) -> bool:
    return json.dumps(one.to_dict()) == json.dumps(other.to_dict())


@pytest.mark.parametrize("seed", range(30))
def test_a_random_genotype_comes_back_from_every_form(seed: int, tmp_path: Path) -> None:
    genotype = drawn(random.Random(seed))
    genotype.save(tmp_path / "g.json")
    assert same_to_the_byte(Genotype.load(tmp_path / "g.json"), genotype)
    assert Genotype.from_darts(genotype.to_darts(), name="drawn") == genotype
    assert same_to_the_byte(pickle.loads(pickle.dumps(genotype)), genotype)


def test_resolve_finds_every_form(tmp_path: Path) -> None:
    genotype = resolve("pc_darts_cifar")
    genotype.save(tmp_path / "mine.json")
    for form in (genotype, genotype.to_dict(), tmp_path / "mine.json", str(tmp_path / "mine.json"), genotype.to_darts()):
        assert resolve(form) == genotype
    assert resolve("|none~0|") == Genotype.from_nats("|none~0|")


def test_each_node_takes_one_line_of_the_file(tmp_path: Path) -> None:
    resolve("bayesnas_0005_cifar").save(tmp_path / "g.json")
    lines = (tmp_path / "g.json").read_text().splitlines()
    edges = [["avg_pool_3x3", 0], ["max_pool_3x3", 0], ["sep_conv_3x3", 1], ["sep_conv_5x5", 1], ["max_pool_3x3", 1]]
    assert f"        {json.dumps(edges)}," in lines
    assert sum(line.strip().startswith('[["') for line in lines) == 8


def test_equality_and_hash_ignore_edge_order_and_provenance_but_saving_keeps_the_order() -> None:
    value = example()
    genotype = Genotype.from_dict(value)
    value["cells"]["normal"]["nodes"][0].reverse()
    other = dataclasses.replace(Genotype.from_dict(value), name="other", provenance={})
    assert genotype == other and hash(genotype) == hash(other)
    assert genotype.to_dict()["cells"] != other.to_dict()["cells"] == value["cells"]


@pytest.mark.parametrize("change", [("concat", [2, 3, 4]), ("nodes", [[["sep_conv_3x3", 1]], [], [["none", 2], ["dil_conv_5x5", 0]]])])
def test_other_edges_or_outputs_are_another_genotype(change: tuple[str, Any]) -> None:
    value = example()
    genotype = Genotype.from_dict(value)
    value["cells"]["normal"][change[0]] = change[1]
    assert Genotype.from_dict(value) != genotype
    assert genotype != value and genotype.cells["normal"] != "normal"


def test_key_order_makes_no_difference_to_the_bytes(tmp_path: Path) -> None:
    value = example()
    shuffled = json.loads(json.dumps(value, sort_keys=True))
    shuffled["cells"] = dict(reversed(shuffled["cells"].items()))
    for number, form in enumerate((value, shuffled)):
        Genotype.from_dict(form).save(tmp_path / f"{number}.json")
    assert (tmp_path / "0.json").read_bytes() == (tmp_path / "1.json").read_bytes()


def test_nothing_of_a_genotype_can_be_changed() -> None:
    value = example()
    genotype = Genotype.from_dict(value)
    before = json.dumps(genotype.to_dict())
    value["cells"]["normal"]["nodes"][0].clear()
    value["provenance"]["source"]["seeds"].append(2)
    genotype.to_dict()["cells"]["normal"]["concat"].clear()
    attempts: list[Callable[[], Any]] = [
        lambda: setattr(genotype, "name", "x"),
        lambda: setattr(genotype.cells["normal"], "concat", (2,)),
        lambda: genotype.cells.update(normal=1),  # type: ignore[attr-defined]
        lambda: genotype.provenance["source"].update(seeds=1),
        lambda: genotype.provenance["source"]["seeds"].append(1),
    ]
    for attempt in attempts:
        with pytest.raises((AttributeError, TypeError)):
            attempt()
    assert json.dumps(genotype.to_dict()) == before


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g)), dataclasses.replace])
def test_copies_are_equal_in_all(copied: Callable[[Genotype], Genotype]) -> None:
    genotype = Genotype.from_dict(example())
    assert same_to_the_byte(copied(genotype), genotype) and hash(copied(genotype)) == hash(genotype)


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """A change of the example: put the last of `path` in the place that the others name."""
    *places, key, new = path

    def change(value: Any) -> None:
        for place in places:
            value = value[place]
        value[key] = new

    return change


NODES = ("cells", "normal", "nodes")
BAD: list[tuple[Callable[[dict[str, Any]], Any], list[str]]] = [
    (put("schema", "nasarch.genotype/2"), ["'nasarch.genotype/2'", f"reads '{SCHEMA}'", "update nasarch"]),
    (lambda v: v.pop("cells"), ["no 'cells'", "required are schema, name, space, cells"]),
    (put("colour", "red"), ["unknown key 'colour'", "legal are schema, name, space", "remove or rename"]),
    (put("name", 7), ["name 7;", "is a string", "write"]),
    (put("name", "two\nlines"), ["'two\\nlines'", "printable"]),
    (put("space", "nasbench"), ["unknown space 'nasbench'", "darts, nats", "write one of them"]),
    (put("space", ["darts"]), ["unknown space ['darts']"]),
    (put("cells", []), ["cells is []", "normal, reduction"]),
    (put("cells", "other", example()["cells"]["normal"]), ["'other'", "exactly normal, reduction"]),
    (lambda v: v["cells"].pop("reduction"), ["['normal']", "exactly normal, reduction", "one cell for each"]),
    (put("cells", "normal", "conv"), ["cell 'normal'", "'conv'", "an object"]),
    (put("cells", "normal", "depth", 3), ["cell 'normal'", "unknown key 'depth'", "nodes, concat"]),
    (lambda v: v["cells"]["normal"].pop("concat"), ["cell 'normal'", "no 'concat'"]),
    (put(*NODES, 0, 0, 0, "sep_conv_9x9"), ["cell 'normal': node 2", "operation 'sep_conv_9x9'", "sep_conv_5x5", "did you mean sep_conv"]),
    (put(*NODES, 0, 0, 0, "nor_conv_3x3"), ["unknown operation 'nor_conv_3x3'", "'darts'"]),
    (put(*NODES, 0, 0, 0, "zzz"), ["unknown operation 'zzz'", "write one of them"]),
    (put(*NODES, 0, 0, 0, "x" * 50_000), ["unknown operation 'xxx", "write one of them"]),
    (put(*NODES, 0, 0, 0, 3), ["node 2", "operation 3 ", "is not a name", '"sep_conv_3x3"']),
    (put(*NODES, 0, 0, 1, 2), ["node 2", "source 2 ", "precedes its node", "0 to 1"]),
    (put(*NODES, 0, 0, 1, -1), ["source -1 ", "0 to 1"]),
    (put(*NODES, 0, 0, 1, True), ["source True ", "0 to 1"]),
    (put(*NODES, 0, 0, 1, 1.0), ["source 1.0 ", "0 to 1"]),
    (put(*NODES, 0, 0, 1, 2**40), ["source 1099511627776 ", "0 to 1"]),
    (put(*NODES, 0, 0, ["sep_conv_3x3"]), ["edge ['sep_conv_3x3']", "[operation, source]"]),
    (put(*NODES, 0, 0, "sep_conv_3x3"), ["edge 'sep_conv_3x3'", "[operation, source]"]),
    (put(*NODES, 0, "no list"), ["node 2", "'no list'", "[operation, source]"]),
    (put(*NODES, {}), ["nodes is {}", "a list"]),
    (put(*NODES, []), ["0 inner nodes", "1 to 12"]),
    (put(*NODES, [[]] * 13), ["13 inner nodes", "1 to 12"]),
    (put(*NODES, [[], []]), ["no edge at all", "an inner node must read one", "add"]),
    (put(*NODES, [[], [["skip_connect", 2]], []]), ["no edge at all from an input"]),
    (put("cells", "normal", "concat", [2, 5]), ["concat is [2, 5]", "2 to 4", "write [2, 3, 4]"]),
    (put("cells", "normal", "concat", [1, 2]), ["concat is [1, 2]", "2 to 4"]),
    (put("cells", "normal", "concat", []), ["concat is []", "2 to 4"]),
    (put("cells", "normal", "concat", [3, 2]), ["concat is [3, 2]", "ascending"]),
    (put("cells", "normal", "concat", [2, 2]), ["concat is [2, 2]", "each once"]),
    (put("cells", "normal", "concat", [2, True]), ["concat is [2, True]", "2 to 4"]),
    (put("cells", "normal", "concat", 4), ["concat is 4", "write a list"]),
    (put("cells", "normal", "concat", [3]), ["concat [3]", "without edges", "[2, 4]"]),
    (put("provenance", None), ["provenance", "None", "an object"]),
    (put("provenance", "kind", "guessed"), ["provenance", "kind 'guessed'", "'published'", "'found by nasarch'"]),
    (put("provenance", "paper", "DARTS"), ["paper 'DARTS'", "an object"]),
    (put("provenance", "method", 3), ["method 3", "a string"]),
    (put("provenance", "results", {}), ["results {}", "a list"]),
    (put("provenance", "searched_on", 3), ["searched_on 3", "a string"]),
    (put("provenance", "source", ["a"]), ["source ['a']", "an object"]),
    (put("provenance", "results", [{"dataset": 10, "metric": "test error", "value": 2.5}]), ["result {", "the strings dataset and metric"]),
    (put("provenance", "results", [{"dataset": "CIFAR-10", "metric": "test error", "value": True}]), ["result {", "write it like"]),
    (put("provenance", "results", [{"dataset": "CIFAR-10", "metric": "test error", "value": "2.5"}]), ["result {", "the number value"]),
]


@pytest.mark.parametrize(("change", "says"), BAD, ids=[says[0] for _, says in BAD])
def test_a_bad_genotype_is_refused_in_one_line(change: Callable[[dict[str, Any]], Any], says: list[str], tmp_path: Path) -> None:
    value = example()
    change(value)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(value))
    with pytest.raises(GenotypeError) as caught:
        resolve(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < len(str(path)) + 500
    assert [part for part in says if part not in message] == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", ["not JSON", "line 1, column 1", "give a JSON file"]),
        (b"\xff\xfe\x00", ["not UTF-8"]),
        (b"[]", ["a JSON object", "[]"]),
        (b'{"schema": NaN}', ["NaN", "finite"]),
        (b'{"name": "a", "name": "b"}', ["'name' occurs twice", "remove one"]),
        (b'{"n": ' + b"9" * 5000 + b"}", ["integer of 5000 digits"]),
        (b"[" * 60_000, ["nested too deep", "flatten"]),
        (b'{"a":' * 12_000, ["nested too deep", "flatten"]),
        (b"[" * 10_000_000, ["more than 65536 bytes", "another file"]),
        (b'{"n": "' + b" " * 66_000 + b'"}', ["more than 65536 bytes"]),
    ],
    ids=["empty", "binary", "list", "nan", "twice", "digits", "lists", "objects", "10 MB", "long"],
)
def test_a_file_that_is_no_genotype_is_refused_in_one_line(content: bytes, says: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(GenotypeError) as caught:
        resolve(str(path))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert [part for part in says if part not in str(caught.value)] == []


@pytest.mark.parametrize("path", ["missing.json", "", "folder/missing.json"])
def test_a_file_that_can_not_be_read_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(GenotypeError, match=r"can't read it: .*nasarch models"):
        resolve(tmp_path / path)


def loop() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = value
    return value


@pytest.mark.parametrize(
    ("provenance", "says"),
    [
        ({"note": float("nan")}, "finite"),
        ({"note": 2**64}, "64 bits"),
        ({"note": 10**5000}, "64 bits"),
        ({"note": "\ud800"}, "surrogate"),
        ({"note": {1, 2}}, "is a set"),
        ({1: "one"}, "not a string"),
        (loop(), "nested too deep"),
    ],
    ids=["nan", "65 bits", "5000 digits", "surrogate", "set", "key", "loop"],
)
def test_provenance_that_json_can_not_hold_is_refused(provenance: dict[Any, Any], says: str) -> None:
    with pytest.raises(GenotypeError, match=f"provenance: .*{says}"):
        dataclasses.replace(resolve("darts_v2_cifar"), provenance=provenance)


def test_limits_of_names_and_nodes_from_both_sides() -> None:
    """A name has 1 to 100 characters; a cell of DARTS has the nodes 2 to 13 at most."""
    cells = dict(resolve("darts_v2_cifar").cells)
    assert Genotype("x" * 100, "darts", cells).name[-1] == "x"
    for name in ("", "x" * 101):
        with pytest.raises(GenotypeError, match="a string of 1 to 100"):
            Genotype(name, "darts", cells)
    nodes = [[("sep_conv_3x3", 0)]] * MAX_NODES
    assert Cell(nodes, [13]).inner_nodes == range(2, 14)  # type: ignore[arg-type]
    assert (
        len(Genotype.from_nats("+".join("|" + "".join(f"none~{i}|" for i in range(j)) for j in range(1, 13))).cells["normal"].nodes) == 12
    )


def test_the_texts_of_others_take_name_and_provenance_along() -> None:
    about = {"method": "m", "searched_on": "cifar100"}
    darts, nats = resolve("darts_v2_cifar"), resolve("ftso_nats_cifar")
    for genotype in (
        Genotype.from_darts(darts.to_darts(), name="n", provenance=about),
        Genotype.from_nats(nats.to_nats(), name="n", provenance=about),
    ):
        assert genotype.name == "n" and genotype.to_dict()["provenance"] == about
    assert Genotype.from_darts(darts.to_darts()).name == Genotype.from_nats(nats.to_nats()).name == "unnamed"


def test_hidden_files_are_no_genotypes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that is being written."""
    for name in ("b.json", "a.json", ".c.json", "d.txt"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr("nasarch.cells.genotype._folder", lambda: tmp_path)
    assert names() == ["a", "b"]


def test_a_nats_cell_puts_out_its_last_node() -> None:
    value = resolve("ftso_nats_cifar").to_dict()
    value["cells"]["normal"]["concat"] = [2, 3]
    with pytest.raises(GenotypeError, match=r"concat is \[2, 3\].*last node: write \[3\]"):
        Genotype.from_dict(value)


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("pc_dart_cifar", "did you mean pc_darts_cifar"),
        ("DARTS_V2_CIFAR", "darts_v2_cifar"),
        ("qqq", "give one of those"),
        ("q" * 10**6, "give one of those"),
    ],
    ids=["letter", "case", "nothing", "long"],
)
def test_an_unknown_name_gets_what_comes_close(name: str, close: str) -> None:
    with pytest.raises(GenotypeError, match=f"unknown genotype '{name[0]}.*`nasarch models` lists.*{close}") as caught:
        resolve(name)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("form", [3, None, b"bytes", ["list"]])
def test_what_can_not_mean_a_genotype_is_refused(form: Any) -> None:
    with pytest.raises(GenotypeError, match="legal are a name"):
        resolve(form)


def test_cells_of_another_space_are_refused() -> None:
    cell = resolve("ftso_nats_cifar").cells["normal"]
    with pytest.raises(GenotypeError, match="cell 'normal': .*2 inputs.*inputs=2"):
        Genotype("mine", "darts", {"normal": cell, "reduction": cell})
    with pytest.raises(GenotypeError, match="inputs 0"):
        Cell(cell.nodes, cell.concat, 0)


def test_saving_leaves_nothing_half_written(tmp_path: Path) -> None:
    genotype = resolve("darts_v2_cifar")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="can't write .*choose a file"):
        genotype.save(tmp_path / "file" / "g.json")
    with pytest.raises(ValueError, match="can't write "):
        genotype.save(tmp_path)
    with pytest.raises(GenotypeError, match="at most 65536.*shorten its provenance"):
        dataclasses.replace(genotype, provenance={"note": "x" * 70_000}).save(tmp_path / "g.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_node_has_at_most_its_distinct_edges() -> None:
    """Eleven operations on each earlier node; repeated edges count, as in NASNet's cells."""
    pairs = [(operation, source) for source in (0, 1) for operation in DARTS.legal_operations]
    for nodes in ([pairs], [pairs[:1] * 22]):
        cell = Cell(nodes, (2,))  # type: ignore[arg-type]
        assert len(Genotype("x", "darts", {"normal": cell, "reduction": cell}).cells["normal"].nodes[0]) == 22
    cell = Cell([[*pairs, pairs[0]]], (2,))  # type: ignore[arg-type]
    with pytest.raises(GenotypeError, match="node 2: 23 edges; 2 sources x 11 operations are 22: remove repeated ones"):
        Genotype("x", "darts", {"normal": cell, "reduction": cell})
