"""DOTS Table 5: a topology search of the operations that a cell or a finished search has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nasarch.cells.genotype import Genotype, resolve
from nasarch.cells.space import DARTS, NATS
from nasarch.cli.main import main
from nasarch.search.engine.result import ArchitectureWeights
from nasarch.search.recipes.operations_from import given_candidates

EDGE = {(edge.source, edge.target): e for e, edge in enumerate(DARTS.edges)}
OPERATIONS = list(DARTS.operations)
SMALL = ["--channels", "4", "--data", "digits", "--batch-size", "32", "--fractions", "0.05", "0.05", "--topology.layers", "3"]
SMALL += ["--topology.epochs", "3", "--topology.warmup", "1"]


def names(mask: Tensor, source: int, target: int, kind: int = 0) -> set[str]:
    return {OPERATIONS[o] for o in mask[kind, EDGE[source, target]].nonzero().flatten().tolist()}


def test_of_a_cell_alone_an_edge_has_its_operation_or_those_of_its_node() -> None:
    """darts_v2_cifar, normal cell: node 5 reads 0 by skip_connect and 2 by dil_conv_3x3."""
    mask = given_candidates(DARTS, "darts_v2_cifar")
    assert (names(mask, 0, 5), names(mask, 2, 5)) == ({"skip_connect"}, {"dil_conv_3x3"})
    assert names(mask, 1, 5) == names(mask, 3, 5) == names(mask, 4, 5) == {"skip_connect", "dil_conv_3x3"}
    assert names(mask, 0, 2) == names(mask, 1, 2) == {"sep_conv_3x3"}
    reduction = resolve("darts_v2_cifar").cells["reduction"]
    for node, edges in zip((2, 3, 4, 5), reduction.nodes, strict=True):
        for source in range(node):
            own = {op.operation for op in edges if op.source == source}
            assert names(mask, source, node, 1) == (own or {op.operation for op in edges})


def finished_search(folder: Path, weights_ZEO: Tensor) -> str:
    folder.mkdir()
    resolve("darts_v2_cifar").save(folder / "genotype.json")
    (folder / "weights.json").write_text(json.dumps(ArchitectureWeights(weights_ZEO, weights_ZEO.amax(2)).to_lists()))
    return str(folder)


def test_of_a_search_an_edge_that_the_cell_lacks_has_the_strongest_operation_that_is_not_none(tmp_path: Path) -> None:
    weights = torch.rand(2, 14, 8, generator=torch.Generator().manual_seed(0))
    weights[0, EDGE[1, 5]] = torch.tensor([0.9, 0.01, 0.02, 0.03, 0.01, 0.01, 0.01, 0.01])
    weights[0, EDGE[4, 5]] = 0.0  # not searched
    mask = given_candidates(DARTS, finished_search(tmp_path / "run", weights))
    assert (names(mask, 0, 5), names(mask, 2, 5), names(mask, 1, 5)) == ({"skip_connect"}, {"dil_conv_3x3"}, {"skip_connect"})
    assert names(mask, 4, 5) == {"skip_connect", "dil_conv_3x3"}
    best = OPERATIONS[1 + int(weights[0, EDGE[3, 5], 1:].argmax())]
    assert names(mask, 3, 5) == {best} and (mask.sum(2) == 1).sum() == 27


@pytest.mark.parametrize(
    ("origin", "space", "words"),
    [
        ("darts_v2_cifar", DARTS.with_nodes(5), "space 'darts' with 4 inner nodes, searched are 5 of 'darts'"),
        ("darts_v2_cifar", NATS, "searched are 3 of 'nats'"),
        ("nasnet_a_cifar", DARTS.with_nodes(5), "inner nodes|unknown operation"),
        ("darts_v3_cifar", DARTS, "unknown genotype"),
    ],
)
def test_what_gives_no_operations_is_refused(origin: str, space: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        given_candidates(space, origin)  # type: ignore[arg-type]


def test_the_command_searches_the_topology_alone_and_a_resumed_one_wants_the_same_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    resolve("darts_v2_cifar").save(tmp_path / "cell.json")
    found = tmp_path / "found"
    assert main(["search", "dots", "--operations-from", "cell.json", "--out", str(found), *SMALL]) == 0
    lines = [json.loads(line) for line in (found / "metrics.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"]) for line in lines] == [("topology", 1), ("topology", 2), ("topology", 3)]
    config = json.loads((found / "config.json").read_text())
    assert config["settings"]["operations_from"] == str(tmp_path / "cell.json")  # found from any directory
    cells, given = Genotype.load(found / "genotype.json"), resolve("darts_v2_cifar")
    assert cells.to_dict()["provenance"]["source"]["settings"]["operations_from"].endswith("cell.json")
    for kind in DARTS.kinds:
        for searched, own in zip(cells.cells[kind].nodes, given.cells[kind].nodes, strict=True):
            assert {op.operation for op in searched} <= {op.operation for op in own}

    stopped = tmp_path / "stopped"
    monkeypatch.setattr("nasarch.search.runs.run.draw", _interrupted)
    assert main(["search", "dots", "--operations-from", "cell.json", "--out", str(stopped), *SMALL]) != 0
    monkeypatch.undo()
    resolve("pc_darts_cifar").save(tmp_path / "cell.json")
    capsys.readouterr()
    assert main(["search", "dots", "--resume", str(stopped)]) == 2
    assert "among other candidate operations: resume it with the same --operations-from" in capsys.readouterr().err
    given.save(tmp_path / "cell.json")
    assert main(["search", "dots", "--resume", str(stopped)]) == 0
    assert Genotype.load(stopped / "genotype.json").cells == cells.cells
    assert (stopped / "weights.jsonl").read_text() == (found / "weights.jsonl").read_text()


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
